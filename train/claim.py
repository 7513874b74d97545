"""What a folder of state was made with: a later run goes on from it only if it would have made the same."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

FILE = "claim.json"


def claim(place: Path, what: Mapping[str, Any], made: str, begun: bool, no_longer: Collection[str] = ()) -> None:
    """Mark what a run is about to make as made with `what`, or see that what is there was.

    A run that failed before it made anything leaves no claim that counts: mended arguments may differ.

    Args:
        place: a folder, which keeps the claim in it, or a file, which has it beside it.
        made: what lies there, for the sentence: ``an evaluation``.
        begun: whether anything has been made there yet.
        no_longer: names in older claims of what decides nothing any more.

    Raises:
        ValueError: it was made with something else, or nobody knows with what; the sentence names what differs.
    """
    alone = place.suffix == ".jsonl"
    file = place.with_suffix(".claim.json") if alone else place / FILE
    another = "another file" if alone else "an empty folder"
    wanted = json.loads(json.dumps(what))
    if not begun:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
        return
    if not file.exists():
        raise ValueError(f"{place} holds {made} that does not say what it was made with: give {another}.")
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        differing = sorted(k for k in {*wanted, *before} if k not in no_longer and before.get(k) != wanted.get(k))
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{file} is damaged: give {another}.") from None
    if differing:
        raise ValueError(
            f"{place} holds {made} with other {', '.join(differing)}: give the arguments of then, or {another}."
        )
