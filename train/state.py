"""Training state on disk: accelerate's own, and where the run stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator


def has_progress(state: Path) -> bool:
    """Whether a run has left anything to go on from."""
    return (state / "latest").exists()


def load_progress(state: Path) -> dict[str, Any]:
    """What :func:`save_state` was given last, or nothing.

    Raises:
        ValueError: it cannot be read.
    """
    file = state / "latest" / "progress.json"
    if not has_progress(state):
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"The state in {state} is damaged ({file.name} cannot be read): give an empty folder.")
    return found


def load_state(accelerator: Accelerator, state: Path) -> None:
    """Weights, optimizer and random numbers of the last :func:`save_state`.

    Raises:
        ValueError: a file of it is missing or damaged.
    """
    try:
        accelerator.load_state(str(state / "latest"))
    # safetensors, pickle and torch have errors of their own for a damaged file; the sentence is true of all.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"The state in {state} is damaged ({reason}): give an empty folder.") from error


def save_state(accelerator: Accelerator, state: Path, progress: dict[str, Any]) -> None:
    """State first into a fresh folder, then swapped in, so that a cut never leaves half a state behind."""
    fresh, latest = state / "fresh", state / "latest"
    accelerator.save_state(str(fresh))
    if accelerator.is_main_process:
        (fresh / "progress.json").write_text(json.dumps(progress))
        if latest.exists():
            latest.rename(state / "old")
        fresh.rename(latest)
        shutil.rmtree(state / "old", ignore_errors=True)
    accelerator.wait_for_everyone()
