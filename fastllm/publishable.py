"""Records without the folders of the machine that made them: what is committed or sent names files, never places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastllm.drafters import WHOLE, split_pair

# Where a path outside the repository begins: the root, the home folder, the folder above, a drive.
_PLACE = r"(?:~[/\\]|\.\.[/\\]|[A-Za-z]:[\\/]|/(?!/))"
# One that is the whole of a value, maybe the place of a drafter (``t5:../models/small``).
_VALUE = re.compile(rf"((?:(?:{'|'.join(WHOLE)}):)?)({_PLACE}.*)", re.DOTALL)
# One among words: it ends at a blank or at what closes a quotation, and does not begin within a word or an address.
_AMONG = re.compile(
    rf"(?<![\w/.~\\])(?:{'|'.join(f'(?<={family}:)' for family in WHOLE)}|(?<!:)){_PLACE}[^\s'\"“”‘’(){{}}\[\],;]*"
)
# Folders that say nothing by themselves: the one that they lie in is named, too.
_NAMELESS = ("out", "state", "latest", "record.json")


def without_folders(text: str) -> str:
    """A path, a drafter's name, or a list of them with commas, without the folders of this machine: file names only.

    Paths within the repository stay, as do texts that are no paths. A path may hold blanks.

    >>> without_folders("~/data/a.parquet,checkpoints/mini,lookup-then-lm:../models/small")
    'a.parquet,checkpoints/mini,lookup-then-lm:small'
    """
    return ",".join(map(_named, text.split(",")))


def said_without_folders(sentence: str) -> str:
    """A sentence whose paths, which hold no blanks, are file names.

    >>> said_without_folders("There is no 'lm:/models/small' (looked in ~/models/x).")
    "There is no 'lm:small' (looked in x)."
    """
    return _AMONG.sub(lambda found: _last(found[0]), sentence)


def publishable(value: Any) -> Any:
    """`value`, of mappings, lists and texts, with every text and path in it through :func:`without_folders`."""
    if isinstance(value, Path | str):
        return without_folders(str(value))
    if isinstance(value, Mapping):
        return {without_folders(k) if isinstance(k, str) else k: publishable(v) for k, v in value.items()}
    return [publishable(v) for v in value] if isinstance(value, list | tuple) else value


def _named(part: str) -> str:
    if pair := split_pair(part):
        first, way, second = pair
        return f"{_named(first)}{way}{_named(second)}"
    found = _VALUE.fullmatch(part)
    return f"{found[1]}{_last(found[2])}" if found else part


def _last(place: str) -> str:
    """The last part of a path, and those before it where it says nothing by itself."""
    parts = [p for p in re.split(r"[/\\]", place) if p not in ("", ".", "..", "~")]
    keep = next((i for i in range(len(parts), 0, -1) if parts[i - 1] not in _NAMELESS), len(parts))
    return "/".join(parts[keep - 1 :] if keep else parts)
