"""The recorded runs in assets/traces, made by ``make traces`` from our own articles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastllm.checkpoints import folder_sha256
from fastllm.config import ASSETS, PRESETS
from fastllm.drafters import outdated
from fastllm.trace import Trace, from_json

FOLDER = ASSETS / "traces"
INDEX = "index.json"


@dataclass(frozen=True)
class Recording:
    """A packaged trace: its file's name without the ending, and its line in the menu."""

    name: str
    title: str


@lru_cache(maxsize=4)
def listed(folder: Path = FOLDER) -> tuple[Recording, ...]:
    """The packaged recordings, in the order of the index file; none where there is none."""
    index = folder / INDEX
    if not index.is_file():
        return ()
    titles = json.loads(index.read_text(encoding="utf-8"))
    return tuple(Recording(name, title) for name, title in titles.items())


def load(name: str, folder: Path = FOLDER) -> Trace:
    """The packaged trace of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in [r.name for r in listed(folder)]:
        raise ValueError("There is no recorded run of that name: choose one from the list.")
    return from_json((folder / f"{name}.json").read_text(encoding="utf-8"))


def earlier(trace: Trace) -> list[str]:
    """The models of `trace`, by name, that lie here with other weights than it was recorded with. Loads nothing."""
    preset = PRESETS.get(trace.target)
    if preset is None or not Path(preset.model).is_dir():
        return []
    target = [] if folder_sha256(Path(preset.model)) == trace.target_hash else [trace.target]
    return target + (outdated(preset, {trace.drafter: trace.drafter_hash}) if trace.drafter else [])
