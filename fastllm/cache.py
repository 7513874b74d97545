"""The user's cache folder: what takes long to make and can always be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``FASTLLM_CACHE``, else ``fastllm`` in ``XDG_CACHE_HOME`` or ``~/.cache``. Need not exist."""
    if own := os.environ.get("FASTLLM_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fastllm"
