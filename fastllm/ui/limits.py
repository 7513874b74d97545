"""What one visitor may take of the machine: numbers in one place, and the clock of a run. Imports no Gradio."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

# Seconds of one run, the waiting in pauses not counted. MAX_SECONDS in the environment changes it.
RUN_SECONDS = 120.0
LAB_SECONDS = 60.0
# Visitors' gr.State kept in memory; the longest unused goes first.
SESSIONS = 500
# Bytes of an uploaded trace: a run of 1,024 tokens with the five likeliest candidates takes about 3 MB.
UPLOAD_BYTES = 8 * 1024 * 1024


def run_seconds() -> float:
    """The time limit of a run: MAX_SECONDS of the environment, else RUN_SECONDS.

    Raises:
        ValueError: MAX_SECONDS is no number above 0.
    """
    text = os.environ.get("MAX_SECONDS", "")
    try:
        value = float(text or RUN_SECONDS)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise ValueError(f"MAX_SECONDS must be a number of seconds above 0, not {text!r}.")
    return value


@dataclass
class Clock:
    """Counts a run's seconds, from the moment it got its turn, against `limit`; :meth:`pause` gives time back."""

    limit: float
    _started: float = field(default_factory=time.monotonic)
    _paused: float = 0.0

    def pause(self, seconds: float) -> None:
        """So many seconds were spent waiting for the viewer, not working."""
        self._paused += seconds

    @property
    def used(self) -> float:
        return time.monotonic() - self._started - self._paused

    @property
    def over(self) -> bool:
        """Whether the run has had its time."""
        return self.used >= self.limit

    def sentence(self, what: str) -> str:
        """What to tell the visitor whose run was ended."""
        return (
            f"Ended after {self.limit:g} seconds, the limit of one run on this page, with {what} done: what you see is "
            "kept. Choose a smaller length limit, or run FastLLM on your own machine, where MAX_SECONDS sets the limit."
        )
