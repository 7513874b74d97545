"""The record that every training step leaves beside what it made: enough to know how, and to do it again."""

from __future__ import annotations

import json
import os
import platform
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
from fastllm.publishable import publishable, without_folders

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
            "arguments": publishable(dict(self.arguments)),
            "commit": git_commit(),
            "versions": versions(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "data": [describe_data(d) for d in self.data],
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds(), 1),
            **publishable(self.notes),
        }

    def result(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What the step found, then this record, less what `found` says itself; no folder is named."""
        return publishable({**found, **self.as_dict(), **found})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
