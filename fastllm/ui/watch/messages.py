"""What the player in the browser is told: steps in the form of the trace's JSON, with their sentences and figures.

A message holds only what is new, from a stated index on. Gradio shows the newest value of a component, so on a busy
browser one message may hide another: the player notices the gap, and the last message of a run carries all of it.
Its fields are written down in assets/player/fields.json: those of a message, and those that head, step and rejection
have besides the trace's.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from fastllm.analysis.metrics import Metrics, running
from fastllm.analysis.rejections import rejections
from fastllm.analysis.timing import Calls, compare_runs, typical
from fastllm.rules import lossless
from fastllm.trace import Step, Trace
from fastllm.ui import render

State = Literal["running", "done", "stopped"]


def head_of(trace: Trace, recorded: bool = False) -> dict[str, Any]:
    """The run without its steps; `recorded`: it was made at another time; `lossless`: what its rule promises; `timing`
    as of :func:`timing_of`."""
    plain = dataclasses.replace(trace.plain, steps=()) if trace.plain else None
    more = {"recorded": recorded, "lossless": lossless(trace.rule, trace.rollback), "timing": timing_of(trace)}
    return dataclasses.asdict(dataclasses.replace(trace, steps=(), plain=plain)) | more


def timing_of(trace: Trace) -> dict[str, Any] | None:
    """What the comparison is made of, for the race: seconds of each call by the medians (`ours`, `plain`), the speedup,
    its interval, and the trouble where there is none. None where plain decoding is not beside the run."""
    plain = trace.baseline
    found = compare_runs(trace, plain) if plain else None
    if plain is None or found is None:
        return None
    ours, theirs = (typical([Calls.of(run.steps)]).tolist() for run in (trace, plain))
    said = {"speedup": found.speedup, "interval": found.interval, "trouble": found.trouble}
    return {"ours": ours, "plain": theirs, **said}


def step_of(step: Step, eos_ids: Sequence[int], metrics: Metrics) -> dict[str, Any]:
    """A step with a sentence for each of its tokens and the figures of the run up to it."""
    say = [render.draft_sentence(t, step.emitted, eos_ids) for t in step.draft]
    if step.emitted:
        say.append(render.emitted_sentence(step, eos_ids))
    return dataclasses.asdict(step) | {"say": say, "figures": render.figures(metrics)}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pack(value: Any) -> str:
    """`value` as JSON, deflated, in base64: a whole run is ten times smaller so."""
    return base64.b64encode(zlib.compress(_text(value).encode("utf-8", "replace"))).decode()


@dataclass
class Sender:
    """The messages of one run, in order. Each step is put into the form of a message once."""

    eos_ids: Sequence[int]
    run: str = field(default_factory=lambda: uuid4().hex[:8])
    _steps: list[dict[str, Any]] = field(default_factory=list)
    _plain: list[dict[str, Any]] = field(default_factory=list)
    _sent: tuple[int, int] = (0, 0)

    def first(self, head: dict[str, Any]) -> str:
        """The message that begins a run: its settings and its article."""
        return _text({"run": self.run, "state": "running", "head": head})

    def add(self, steps: Sequence[Step], figures: Sequence[Metrics]) -> None:
        """`figures` holds those of the run after each of `steps`."""
        self._steps += [step_of(s, self.eos_ids, m) for s, m in zip(steps, figures, strict=True)]

    def add_plain(self, steps: Sequence[Step]) -> None:
        self._plain += [dataclasses.asdict(s) for s in steps]

    def news(self) -> str:
        """What was added since the last message."""
        steps, plain = self._sent
        self._sent = (len(self._steps), len(self._plain))
        message = {"run": self.run, "state": "running", "from": steps, "steps": self._steps[steps:]}
        return _text(message | {"plain_from": plain, "plain": self._plain[plain:]})

    def last(self, trace: Trace, state: State, recorded: bool = False) -> str:
        """The whole run again, with its rejections."""
        whole = {
            "head": head_of(trace, recorded),
            "from": 0,
            "steps": self._steps,
            "plain_from": 0,
            "plain": self._plain,
            "rejections": [dataclasses.asdict(r) for r in rejections(trace)],
        }
        return _text({"run": self.run, "state": state, "complete": True, "packed": pack(whole)})


def replay(trace: Trace) -> str:
    """A recorded run as one message."""
    sender = Sender(trace.eos_ids)
    sender.add(trace.steps, list(itertools.islice(running(trace.steps), len(trace.steps))))
    sender.add_plain(trace.plain.steps if trace.plain else ())
    return sender.last(trace, "done", recorded=True)
