"""What figures recorded of a target are called: file in assets/, marks of the table in docs/figures.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastllm.config import ASSETS

EMBEDDED = "mini"
# What of it is a table in docs/figures.md; `study` is drawn only.
TABLES = ("benchmark", "alpha", "methods", "exact")


def recorded_name(kind: str, target: str) -> str:
    """The name of what was recorded: `kind` for the embedded target, elsewhere the target's name behind it.

    Args:
        kind: one of TABLES, or ``study``.
        target: a preset, or the folder or hub name that a target was loaded by, of which the last part counts.

    >>> recorded_name("benchmark", "mini"), recorded_name("benchmark", "smollm2"), recorded_name("alpha", "you/mini")
    ('benchmark', 'benchmark-smollm2', 'alpha-mini')
    """
    return kind if target == EMBEDDED else f"{kind}-{Path(target).name}"


def recorded_file(kind: str, target: str, folder: Path = ASSETS) -> Path:
    """Where it lies."""
    return folder / f"{recorded_name(kind, target)}.json"


def recorded_place(place: Path, kind: str, target: str) -> Path:
    """Where figures recorded of a target go: to `place`, or, where that is a folder, into it under their own name."""
    return recorded_file(kind, target, place) if place.is_dir() else place


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file that a page can do without: empty where there is none, or none that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
