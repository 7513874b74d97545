"""``python -m train costs``: what a draft token and the decode loop cost beside a target call, as ratios.

Every call of every run is timed by its own clocks; medians by draft length make them robust on a busy machine, and
plain and speculative runs of an article follow each other, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters import load_drafter
from fastllm.publishable import publishable
from fastllm.targets.base import Target
from fastllm.targets.load import load_target
from fastllm.trace import Step
from train.checks import at_least, numbers
from train.data import HUB_NAME, sample_pairs
from train.files import write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=8)
    parser.add_argument("--drafters", default="lookup,ngram:3,lstm,cnn")
    parser.add_argument("--gamma", type=int, default=4)
    parser.add_argument("--temperature", default="0,1")
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--top", type=int, default=0, help="inspected tokens a step keeps, as the page does with 5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch; also ENGINE=")
    parser.add_argument("--json", type=Path, default=None)


@dataclass(frozen=True)
class Timed:
    """One step and the seconds from asking for it to having it: its record for the watcher is in these alone."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Costs:
    """What one drafter's runs cost. All but the last two are ratios; ``plain`` stands for plain decoding.

    Attributes:
        c: seconds of a draft token / seconds of a plain target call, both of the usual calls.
        loop: share of a step's time that is neither drafter nor target.
        record: seconds of making the record for a watcher / seconds of the step, which its clocks leave out.
        draft_token_us: microseconds of a draft token.
        call_ms: milliseconds of a plain target call.
    """

    drafter: str
    temperature: float
    c: float | None
    loop: float
    record: float
    draft_token_us: float | None
    call_ms: float


def _timed(steps: Iterable[Step]) -> Iterator[Timed]:
    began = time.perf_counter()
    for step in steps:
        yield Timed(step, time.perf_counter() - began)
        began = time.perf_counter()


def costs_of(drafter: str, temperature: float, runs: Sequence[Timed], plain: Sequence[Timed]) -> Costs:
    """The ratios of `runs`, beside the plain decoding of the same articles. The first call of a run, in which the
    drafter reads the article, counts in neither.

    Raises:
        ValueError: a run has no second call.
    """
    # Medians by draft length, each counted as often as it came.
    kinds: dict[int, list[tuple[float, float, float, float]]] = defaultdict(list)
    for one in runs:
        s = one.step
        if s.index:
            row = (s.seconds_draft, s.seconds_target, s.seconds_other, max(0.0, one.seconds - s.seconds))
            kinds[s.drafted].append(row)
    calls = [t.step.seconds_target for t in plain if t.step.index]
    if not kinds or not calls:
        raise ValueError("There were too few calls to time: allow more tokens (--max-new-tokens).")
    draft, target, other, record = sum((len(rows) * np.median(rows, axis=0) for rows in kinds.values()), np.zeros(4))
    drafted, call = sum(k * len(rows) for k, rows in kinds.items()), float(np.median(calls))
    whole, token = draft + target + other, float(draft / drafted) if drafted else None
    return Costs(
        drafter=drafter,
        temperature=temperature,
        c=None if token is None else token / call,
        loop=float(other / whole),
        record=float(record / whole),
        draft_token_us=None if token is None else token * 1e6,
        call_ms=call * 1e3,
    )


def measure_costs(
    target: Target, drafters: Sequence[str], articles: Sequence[str], temperatures: Sequence[float], settings: Settings
) -> list[Costs]:
    """Rows by temperature: plain decoding, then the drafters in the order given."""
    loaded = {name: load_drafter(target, name) for name in drafters}
    found: dict[tuple[float, str], list[Timed]] = defaultdict(list)
    for number, article in enumerate(articles):
        for temperature in temperatures:
            sampling = Sampling(temperature, no_repeat_ngram_size=settings.sampling.no_repeat_ngram_size)
            own = Settings(settings.gamma, sampling, settings.seed + number, settings.max_new_tokens, settings.top)
            session = target.open(article)
            try:
                found[temperature, "plain"] += _timed(autoregressive(session, own))
                for name, drafter in loaded.items():
                    found[temperature, name] += _timed(speculative(session, drafter, own))
            finally:
                session.close()
    return [
        costs_of(name, temperature, found[temperature, name], found[temperature, "plain"])
        for temperature in temperatures
        for name in ("plain", *drafters)
    ]


def table(rows: Sequence[Costs]) -> str:
    """A line a row, for reading."""
    percent = lambda x: f"{100 * x:9.1f} %" if x is not None else " " * 10 + "-"  # noqa: E731
    lines = [f"{'drafter':20}  T  draft token        loop      record   us a draft token   ms a plain call"]
    for r in rows:
        token = f"{r.draft_token_us:19.0f}" if r.draft_token_us is not None else " " * 18 + "-"
        shares = f"{percent(r.c)} {percent(r.loop)} {percent(r.record)}"
        lines.append(f"{r.drafter:20} {r.temperature:2g}  {shares}{token} {r.call_ms:17.2f}")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    at_least(1, args, "articles")
    temperatures = numbers(args, float, "temperature")
    for temperature in temperatures:
        Sampling(temperature)
    Settings(args.gamma, seed=args.seed, top=args.top)
    target = load_target(args.target, engine=args.engine)
    articles = [p.article for p in sample_pairs(args.data, args.split, args.articles, args.seed)]
    settings = Settings(
        args.gamma,
        Sampling(no_repeat_ngram_size=target.preset.no_repeat_ngram_size),
        args.seed,
        args.max_new_tokens or target.preset.max_new_tokens,
        args.top,
    )
    rows = measure_costs(target, [d for d in args.drafters.split(",") if d], articles, temperatures, settings)
    if args.json:
        write_json(args.json, publishable([asdict(r) for r in rows]))
    print(table(rows))
