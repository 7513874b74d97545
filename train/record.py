"""The record that every training step leaves beside what it made: enough to know how, and to do it again."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from fastllm.checkpoints import file_sha256

PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "sentencepiece",
    "kenlm",
    "onnxruntime",
    "rouge-score",
    "numpy",
)


def git_commit() -> str:
    """The commit of the working tree, with ``+changes`` when tracked files differ from it; ``unknown`` outside git."""
    root = Path(__file__).resolve().parent.parent
    try:
        run = lambda *a: subprocess.run(a, cwd=root, capture_output=True, text=True, check=True).stdout.strip()  # noqa: E731
        commit = run("git", "rev-parse", "HEAD")
        return commit + ("+changes" if run("git", "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a training step computes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


# Where a path outside the repository begins: the root, the home folder, the folder above, a drive.
_PLACE = re.compile(r"(?:/|~[/\\]|\.\.[/\\]|[A-Za-z]:[\\/])")
# Folders that say nothing by themselves: the one that they lie in is named, too.
_NAMELESS = ("out", "state", "latest", "record.json")


def without_folders(text: str) -> str:
    """A path, or a list of them with commas, without the folders of this machine: file names only.

    Paths within the repository stay, as do texts that are no paths. A drafter's place (``t5:../models/small``) counts.

    >>> without_folders("~/data/a.parquet,checkpoints/mini")
    'a.parquet,checkpoints/mini'
    """

    def name(part: str) -> str:
        head, place = (part[:3], part[3:]) if part.startswith("t5:") else ("", part)
        if not _PLACE.match(place):
            return part
        parts = [p for p in re.split(r"[/\\]", place) if p not in ("", ".", "..", "~")]
        keep = next((i for i in range(len(parts), 0, -1) if parts[i - 1] not in _NAMELESS), len(parts))
        return head + "/".join(parts[keep - 1 :] if keep else parts)

    return ",".join(map(name, text.split(",")))


def _cleaned(value: Any) -> Any:
    """`value` with every text and path in it through :func:`without_folders`."""
    if isinstance(value, Path | str):
        return without_folders(str(value))
    if isinstance(value, Mapping):
        return {k: _cleaned(v) for k, v in value.items()}
    return [_cleaned(v) for v in value] if isinstance(value, list | tuple) else value


def command_line(argv: Sequence[str]) -> str:
    """The command as one could type it elsewhere: its arguments, and of paths the file names."""
    words = []
    for word in argv:
        flag, equals, value = word.partition("=")
        words.append(f"{flag}={without_folders(value)}" if flag.startswith("--") and equals else without_folders(word))
    return shlex.join(["python", "-m", "train", *words])


def describe_data(path: str) -> dict[str, Any]:
    """Name and, for local files, size and hash of one data source."""
    file = Path(path)
    if file.is_file():
        return {"name": file.name, "bytes": file.stat().st_size, "sha256": file_sha256(file)}
    return {"name": without_folders(path)}


@dataclass
class Record:
    """Collects what a step did; :meth:`write` puts it beside the step's product as ``record.json``.

    ``seconds`` counts wall-clock time since construction plus what earlier, resumed runs had spent.
    """

    step: str
    arguments: Mapping[str, Any]
    data: list[str]
    seconds_before: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    _started: float = field(default_factory=time.time)

    def seconds(self) -> float:
        return self.seconds_before + time.time() - self._started

    def as_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "command": command_line(sys.argv[1:]),
            "arguments": _cleaned(dict(self.arguments)),
            "commit": git_commit(),
            "versions": versions(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "data": [describe_data(d) for d in self.data],
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds(), 1),
            **_cleaned(self.notes),
        }

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
