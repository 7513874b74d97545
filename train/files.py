"""Files that a step leaves: whole or not at all, so that a cut never leaves half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_whole(file: Path, text: str) -> None:
    """Write a text file (UTF-8), swapped in; folders above it are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Named by the process, since two may write one cache at the same time.
    fresh = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def write_json(file: Path, value: Any) -> None:
    """A step's result, for people to read, too."""
    write_whole(file, json.dumps(value, indent=1) + "\n")
