"""Training state on disk: accelerate's own, and where the run stands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator


def load_progress(state: Path) -> dict[str, Any]:
    """What :func:`save_state` was given last, or nothing."""
    file = state / "latest" / "progress.json"
    return json.loads(file.read_text()) if file.exists() else {}


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
