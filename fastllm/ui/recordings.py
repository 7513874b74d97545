"""The recorded runs in assets/traces, made by ``make traces`` from our own articles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastllm.config import ASSETS
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
