"""Decoding articles every way for ``train evaluate``, kept on disk article by article, so that a cut run goes on.

The model is warmed up; plain decoding and every drafter decode the same article one after the other, in an order that
turns round from article to article, so each ratio compares runs of one process within one minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters.base import Drafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.lengths import Carried
from fastllm.rules import lossless
from fastllm.targets.base import Target, TargetSession
from fastllm.trace import Trace, from_json, to_json
from train.claim import claim
from train.content import fingerprint
from train.data import Pair
from train.library import library_generate


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
        assistant: the T5 to time under transformers' assisted generation, too.
        limit: most tokens of a summary.
        seed: that of the first article; each later one has the next.
        method: of every drafter's job that has none of its own.
        library: whether greedy decoding is timed beside transformers' own.
    """

    target: Target
    jobs: tuple[Job, ...]
    assistant: T5Drafter | None
    top_p: float
    limit: int
    top: int
    seed: int
    method: Method = Method()
    library: bool = True

    def settings(self, job: Job, number: int) -> Settings:
        sampling = Sampling(job.temperature, 0, self.top_p, self.target.preset.no_repeat_ngram_size)
        method = (job.method or self.method).settings() if job.drafter else {}
        return Settings(job.gamma, sampling, self.seed + number, self.limit, self.top, **method)

    @property
    def greedy(self) -> Job | None:
        """Greedy plain decoding, which says what every greedy text must be."""
        return next((j for j in self.jobs if not j.drafter and j.temperature == 0), None)

    @property
    def paired(self) -> list[Job]:
        """Our greedy runs with the assistant."""
        return [
            j
            for j in self.jobs
            if self.assistant and j.drafter is self.assistant and j.temperature == 0 and not j.method
        ]

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
            "assistant": self.assistant and self.assistant.sha256,
            **{k: getattr(self, k) for k in ("top_p", "limit", "top", "seed")},
            **self.method.departures(),
        }


@dataclass(frozen=True)
class Timing:
    """One decoding of one article, encoder included: seconds, tokens, and whether the text was not the target's own."""

    seconds: float
    tokens: int
    differs: bool

    @classmethod
    def of(cls, seconds: float, tokens: Sequence[int], wanted: Sequence[int]) -> Timing:
        return cls(seconds, len(tokens), list(tokens) != list(wanted))


@dataclass(frozen=True)
class Measured:
    """One article: a trace per job, in their order, and timings with the encoder by who decoded.

    The timings, of greedy decoding only: ``generate`` and ``assisted`` are transformers', ``ours`` is plain, and the
    assistant's gammas, as text, are ours with it.
    """

    traces: tuple[Trace, ...]
    timings: Mapping[str, Timing]
    seconds: float


def decode(session: TargetSession, job: Job, settings: Settings) -> Trace:
    """Run a job to its end."""
    steps = speculative(session, job.drafter, settings) if job.drafter else autoregressive(session, settings)
    return make_trace(session, job.drafter, settings, list(steps))


@torch.inference_mode()
def time_generate(
    target: Target, prompt_ids: Sequence[int], settings: Settings, assistant: T5Drafter | None = None
) -> tuple[float, list[int]]:
    """Seconds and tokens of transformers' own greedy generate on a prompt's ids, its encoder pass included.

    With `assistant`, assisted generation (its speculative decoding) with that T5 as it comes: twenty assistant tokens
    at most, fewer where the assistant is unsure.
    """
    ids = torch.tensor([list(prompt_ids)], device=target.device)
    model, helper = target.model, assistant.model if assistant else None
    started = time.perf_counter()
    out = library_generate(
        model,
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        settings.max_new_tokens,
        target.eos_ids,
        target.start_id if model.config.is_encoder_decoder else None,
        target.first_id,
        settings.sampling.no_repeat_ngram_size,
        assistant=helper,
    )
    before = 1 if model.config.is_encoder_decoder else ids.shape[1]
    return time.perf_counter() - started, out[0, before:].tolist()


def measure_article(plan: Plan, article: str, number: int, carried: Carried | None = None) -> Measured:
    """Decode one article every way: the jobs, turned round for odd numbers, then what is timed with the encoder.

    `carried`: thresholds that each job's earlier articles left; None begins anew.
    """
    started, carried = time.perf_counter(), carried or Carried()
    session = plan.target.open(article)
    order = plan.jobs if number % 2 == 0 else plan.jobs[::-1]
    here = {job: decode(session, job, carried.begin(plan.settings(job, number), job)) for job in order}
    timings = {}
    if (greedy := plan.greedy) and plan.library:
        wanted, settings = here[greedy].tokens, plan.settings(greedy, number)
        timings["generate"] = Timing.of(*time_generate(plan.target, session.source.prompt_ids, settings), wanted)
        if plan.assistant:
            assisted = time_generate(plan.target, session.source.prompt_ids, settings, plan.assistant)
            timings["assisted"] = Timing.of(*assisted, wanted)
        for name, job in (("ours", greedy), *((str(j.gamma), j) for j in plan.paired)):
            # The drafter's own encoder runs inside the first draft; a fresh session pays for the target's, too.
            fresh = decode(plan.target.open(article), job, plan.settings(job, number))
            timings[name] = Timing.of(fresh.seconds + fresh.seconds_encode, fresh.tokens, wanted)
    return Measured(tuple(here[j] for j in plan.jobs), timings, time.perf_counter() - started)


def measure(plan: Plan, pairs: Iterable[Pair], state: Path | None = None) -> list[Measured]:
    """Every article, in order; those that `state` holds are read from there.

    Raises:
        ValueError: the state was made by another target, drafter or setting.
    """
    if state:
        claim(state, plan.as_dict(), "an evaluation", any(state.glob("*.jsonl")))
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


def compared(plan: Plan, found: Sequence[Measured]) -> dict | None:
    """Milliseconds a token, encoder included, of transformers' decoders and of ours; None where nothing was greedy."""
    if plan.greedy is None or not plan.library:
        return None
    names = list(found[0].timings)
    ms = {n: 1e3 * sum(f.timings[n].seconds for f in found) / sum(f.timings[n].tokens for f in found) for n in names}
    differing = {n: sum(f.timings[n].differs for f in found) for n in names}
    result: dict[str, Any] = {
        "ms_per_token_generate": round(ms["generate"], 3),
        "ms_per_token_ours": round(ms["ours"], 3),
        "generate_over_ours": round(ms["generate"] / ms["ours"], 3),
        "texts_that_differ": differing["generate"],
    }
    if plan.assistant:
        best = min((str(j.gamma) for j in plan.paired), key=ms.__getitem__)
        result["assisted"] = {
            "drafter": plan.assistant.name,
            "ms_per_token_assisted": round(ms["assisted"], 3),
            "ms_per_token_ours": round(ms[best], 3),
            "ours_at_gamma": int(best),
            "assisted_over_ours": round(ms["assisted"] / ms[best], 3),
            "speedup_over_generate": round(ms["generate"] / ms["assisted"], 3),
            "texts_that_differ": differing["assisted"],
        }
    return result


def _write(file: Path, one: Measured) -> None:
    """A line of timings and the article's seconds, then a trace a line."""
    head = {"seconds": one.seconds, "timings": {k: asdict(v) for k, v in one.timings.items()}}
    write_whole(file, "\n".join([json.dumps(head), *map(to_json, one.traces)]) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file of a state: swapped in, so that a cut leaves no half."""
    fresh = file.with_suffix(".tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(file)


def _read(file: Path, pair: Pair) -> Measured:
    # Not splitlines: an article may hold other line separators.
    head, *traces = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    facts = json.loads(head)
    one = Measured(
        tuple(map(from_json, traces)), {k: Timing(**v) for k, v in facts["timings"].items()}, facts["seconds"]
    )
    if one.traces[0].article.text != pair.article:
        raise ValueError(f"{file} is of another article: --data is not what it was. Give an empty folder to --state.")
    return one
