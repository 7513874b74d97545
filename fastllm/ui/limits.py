"""What one visitor may take of the machine: numbers in one place, the clock of a run, the line of waiting visitors.

Imports no Gradio.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

# Seconds of one run from its turn on. MAX_SECONDS in the environment changes it.
RUN_SECONDS = 120.0
LAB_SECONDS = 60.0
# Runs whose model work is interleaved; the others wait in line and are told their place.
AT_ONCE = 4
# Visitors in line; the next one is asked to come back.
LINE = 40
# Visitors' gr.State kept in memory; the longest unused goes first.
SESSIONS = 500
# Seconds after which Gradio deletes files of its own (there should be none: see README, On a Space).
CACHE_SECONDS = 600
# How soon a waiting run notices that its turn has come.
TICK = 0.1


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
    """Counts a run's seconds, from the moment it got its turn, against `limit`."""

    limit: float
    _started: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether the run has had its time."""
        return time.monotonic() - self._started >= self.limit

    def sentence(self, done: str) -> str:
        """What to tell the visitor whose run was ended with so much `done`."""
        return (
            f"Ended after {self.limit:g} s, the limit of one run on this page, with {done} done: what you see is "
            "kept. Choose a smaller length limit, or run FastLLM on your own machine, where MAX_SECONDS sets the limit."
        )


class LineFull(ValueError):
    """Too many visitors are waiting; the message is a sentence for the page."""


class Line:
    """Who has a turn and who waits, first come first served. All calls come from one event loop.

    Attributes:
        at_once: turns at a time.
        longest: visitors that may wait.
    """

    def __init__(self, at_once: int = AT_ONCE, longest: int = LINE) -> None:
        self.at_once, self.longest = at_once, longest
        self._order: list[object] = []  # the first `at_once` have a turn, the others wait

    def enter(self, ticket: object) -> None:
        """Join the end of the line.

        Raises:
            LineFull: it has no room.
        """
        if len(self._order) >= self.at_once + self.longest:
            raise LineFull(
                f"{self.longest} visitors are waiting for their turn already: try again in a minute. "
                "The article is still in the box."
            )
        self._order.append(ticket)

    def leave(self, ticket: object) -> None:
        """Give the place back, whether waiting or not."""
        if ticket in self._order:
            self._order.remove(ticket)

    def place(self, ticket: object) -> int:
        """0 with a turn; 1 for the next one in line, and so on."""
        return max(0, self._order.index(ticket) - self.at_once + 1)


line = Line()


async def in_turn(
    frames: AsyncGenerator[tuple, None],
    waiting: Callable[[str], tuple],
    stopped: Callable[[], bool],
) -> AsyncGenerator[tuple, None]:
    """`frames` once it is this visitor's turn; before that, `waiting(sentence)` whenever the place in line changes.

    Ends without a turn if `stopped()`. The place is given back at the end, and when the visitor leaves.

    Raises:
        LineFull: there is no room to wait.
    """
    ticket, told = object(), 0
    line.enter(ticket)
    try:
        async with aclosing(frames):
            while place := line.place(ticket):
                if stopped():
                    yield waiting("Stopped before the run began.")
                    return
                if place != told:
                    told = place
                    yield waiting(f"Waiting for a turn: number {place} in line, {line.at_once} runs are under way.")
                await asyncio.sleep(TICK)
            async for frame in frames:
                yield frame
    finally:
        line.leave(ticket)
