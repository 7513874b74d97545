"""The same experiment with twenty new seeds: what its p-value does when nothing but chance changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from anyio import to_thread

from fastllm.analysis import lab
from fastllm.ui import limits, models, render
from fastllm.ui.lab import view
from fastllm.ui.turns import Frame, said
from fastllm.ui.watch.handlers import Live

SEEDS = 20
MOST_SEEDS = 2**31
# Points of each experiment's path.
POINTS = 20
# Seconds of sampling that hold the models' lock at a time, and between two frames.
BURST, FRAME = 0.04, 0.5


@dataclass(frozen=True)
class Asked:
    """An experiment whose settings were checked. ``prepare`` gives the chain, how texts are written, and what it is."""

    fault: str
    gamma: int
    length: int
    samples: int
    seed: int
    prepare: Callable[[], Awaitable[tuple[lab.Chain, view.Names, str]]]

    def caption(self, of: str, seeds: str = "") -> str:
        """What the result was made with."""
        return view.caption_html(self.fault, self.gamma, self.length, self.samples, seeds or f"seed {self.seed}", of)


async def frames(asked: Asked, live: Live) -> AsyncGenerator[Frame, None]:
    """Frames: status (HTML), the paths of the p-values, their histogram. Ends with what there is when the time is over
    or Stop was pressed."""
    yield said(render.status_html("Preparing the distributions.", "running"))
    chain, _, of = await asked.prepare()
    seeds = [(asked.seed + 1 + i) % MOST_SEEDS for i in range(SEEDS)]
    clock, loop = limits.Clock(limits.LAB_SECONDS), asyncio.get_running_loop()
    counts = lab.repeated(
        chain, asked.gamma, asked.length, asked.samples, seeds, asked.fault, max(1, asked.samples // POINTS)
    )
    paths: list[list[tuple[int, float]]] = [[] for _ in seeds]
    values: list[float] = []

    def drawn(status: str) -> Frame:
        return status, view.path([], asked.samples, [p for p in paths if p]), view.p_values(values)

    while len(values) < SEEDS and not clock.over and not live.stop:
        until = loop.time() + FRAME
        while got := await to_thread.run_sync(models.burst, counts, BURST):
            for i, tally in got:
                value = lab.compare(tally).p_value
                paths[i].append((tally.samples, value))
                if tally.samples == asked.samples:
                    values.append(value)
            if loop.time() >= until or live.stop:
                break
        yield drawn(render.status_html(f"{len(values)} of {SEEDS} experiments with new seeds.", "running"))
        await asyncio.sleep(0.02)
    note = ""
    if len(values) < SEEDS and live.stop:
        note = render.status_html(f"Stopped after {len(values)} of {SEEDS} experiments.", "stopped")
    elif len(values) < SEEDS:
        note = render.notices_html([clock.sentence(f"{len(values)} of {SEEDS} experiments")])
    caption = asked.caption(of, f"seeds {seeds[0]} to {seeds[-1]}")
    yield drawn(note + caption + view.again_html(values, asked.fault))
