"""Decoding articles every way for ``train evaluate``, kept on disk article by article, so that a cut run goes on.

The model is warmed up; plain decoding and every drafter decode the same article one after the other, in an order that
turns round from article to article, so each ratio compares runs of one process within one minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters.base import Drafter
from fastllm.lengths import Carried
from fastllm.rules import lossless
from fastllm.targets.base import Target, TargetSession
from fastllm.trace import Trace, from_json, to_json
from train.claim import claim
from train.content import fingerprint
from train.data import Pair
from train.files import write_whole


@dataclass(frozen=True)
class Method:
    """How drafts are judged and how long they get: the settings of those names. The defaults are Algorithm 1's; a rule
    for trees has nodes and a width above 0."""

    rule: str = "token"
    lengths: str = "constant"
    rollback: float = 0.0
    nodes: int = 0
    width: int = 0

    @property
    def lossless(self) -> bool:
        """Whether greedy texts must be plain decoding's."""
        return lossless(self.rule, self.rollback)

    def settings(self) -> dict[str, Any]:
        """The arguments of :class:`Settings`, which has sizes of its own for trees that are not asked for."""
        return {k: v for k, v in asdict(self).items() if v or k not in ("nodes", "width")}

    def departures(self) -> dict[str, Any]:
        """What is not Algorithm 1's: a claim from before there were methods names none, and still holds."""
        return {k: v for k, v in asdict(self).items() if v != getattr(Method(), k)}


@dataclass(frozen=True)
class Job:
    """One way to decode an article; `drafter` None is plain decoding, `method` None that of the plan."""

    drafter: Drafter | None
    gamma: int
    temperature: float
    method: Method | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that decides what is measured of an article.

    Attributes:
        limit: most tokens of a summary.
        seed: that of the first article; each later one has the next.
        method: of every drafter's job that has none of its own.
    """

    target: Target
    jobs: tuple[Job, ...]
    top_p: float
    limit: int
    top: int
    seed: int
    method: Method = Method()

    def settings(self, job: Job, number: int) -> Settings:
        sampling = Sampling(job.temperature, 0, self.top_p, self.target.preset.no_repeat_ngram_size)
        method = (job.method or self.method).settings() if job.drafter else {}
        return Settings(job.gamma, sampling, self.seed + number, self.limit, self.top, **method)

    @property
    def greedy(self) -> Job | None:
        """Greedy plain decoding, which says what every greedy text must be."""
        return next((j for j in self.jobs if not j.drafter and j.temperature == 0), None)

    def as_dict(self) -> dict[str, Any]:
        """What two runs must share to be one evaluation."""
        return {
            "target": fingerprint(self.target),
            "engine": self.target.engine.name,
            "jobs": [
                [j.drafter and (j.drafter.name, j.drafter.sha256), j.gamma, j.temperature]
                + ([j.method.departures()] if j.method else [])
                for j in self.jobs
            ],
            **{k: getattr(self, k) for k in ("top_p", "limit", "top", "seed")},
            **self.method.departures(),
        }


@dataclass(frozen=True)
class Measured:
    """One article: a trace per job, in their order, and what all took."""

    traces: tuple[Trace, ...]
    seconds: float


def decode(session: TargetSession, job: Job, settings: Settings) -> Trace:
    """Run a job to its end."""
    steps = speculative(session, job.drafter, settings) if job.drafter else autoregressive(session, settings)
    return make_trace(session, job.drafter, settings, list(steps))


def measure_article(plan: Plan, article: str, number: int, carried: Carried | None = None) -> Measured:
    """Decode one article every way: the jobs, turned round for odd numbers.

    `carried`: thresholds that each job's earlier articles left; None begins anew.
    """
    started, carried = time.perf_counter(), carried or Carried()
    session = plan.target.open(article)
    order = plan.jobs if number % 2 == 0 else plan.jobs[::-1]
    here = {job: decode(session, job, carried.begin(plan.settings(job, number), job)) for job in order}
    return Measured(tuple(here[j] for j in plan.jobs), time.perf_counter() - started)


def measure(plan: Plan, pairs: Iterable[Pair], state: Path | None = None) -> list[Measured]:
    """Every article, in order; those that `state` holds are read from there.

    Raises:
        ValueError: the state was made by another target, drafter or setting.
    """
    if state:
        # Until the peers were measured by themselves, an assistant was timed on each article.
        claim(state, plan.as_dict(), "an evaluation", any(state.glob("*.jsonl")), no_longer=("assistant",))
    found: list[Measured] = []
    warm, carried = False, Carried()
    for number, pair in enumerate(tqdm(pairs, unit="article", mininterval=5)):
        file = state and state / f"{number:05d}.jsonl"
        if file and file.exists():
            found.append(_read(file, pair))
        else:
            if not warm:
                measure_article(plan, pair.article, number)
                warm = True
            found.append(measure_article(plan, pair.article, number, carried))
            if file:
                _write(file, found[-1])
        for job, trace in zip(plan.jobs, found[-1].traces, strict=True):
            carried.end(plan.settings(job, number), job, trace)
    return found


def mismatches(plan: Plan, found: Iterable[Measured]) -> int:
    """Greedy texts that are not plain decoding's and should be; those of a lossy rule may change."""
    if plan.greedy is None:
        return 0
    at = plan.jobs.index(plan.greedy)
    return sum(
        trace.tokens != one.traces[at].tokens
        for one in found
        for job, trace in zip(plan.jobs, one.traces, strict=True)
        if job.temperature == 0 and (job.method or plan.method).lossless
    )


def _write(file: Path, one: Measured) -> None:
    """A line with the article's seconds, then a trace a line."""
    head = {"seconds": one.seconds}
    write_whole(file, "\n".join([json.dumps(head), *map(to_json, one.traces)]) + "\n")


def _read(file: Path, pair: Pair) -> Measured:
    # Not splitlines: an article may hold other line separators.
    head, *traces = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    one = Measured(tuple(map(from_json, traces)), json.loads(head)["seconds"])
    if one.traces[0].article.text != pair.article:
        raise ValueError(f"{file} is of another article: --data is not what it was. Give an empty folder to --state.")
    return one
