"""``python -m train exact``: whether speculative decoding says what plain decoding says, over many real articles.

At T = 0 the texts are compared token by token, and where one parts, by how little: the gap between the two best logits
there. At T = 1 the p that judged a run is compared bit for bit with the p of scoring the same text one token at a time:
equal p and equal random numbers make equal verdicts, so this is what an engine must hold for exactness to be a theorem.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters import load_drafter
from fastllm.drafters.base import Drafter
from fastllm.recorded import recorded_name, recorded_place
from fastllm.targets.base import Target, TargetSession
from fastllm.targets.load import load_target
from train.checks import at_least
from train.data import HUB_NAME, sample_pairs
from train.files import write_json
from train.record import Record
from train.table import check_marks, write_between


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=1000, help="of which texts are compared at T = 0")
    parser.add_argument("--sampled", type=int, default=100, help="of which p is compared at T = 1")
    parser.add_argument("--drafters", default="lookup,ngram:3,cnn,lstm,t5")
    parser.add_argument("--gamma", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch; also ENGINE=")
    parser.add_argument("--json", type=Path, default=None, help="file, or folder such as assets")
    parser.add_argument("--table", type=Path, default=None, help="write the table into this file, between its marks")


@dataclass(frozen=True)
class Parting:
    """Where a greedy text left plain decoding's.

    Attributes:
        article: its number among those compared, from 0.
        place: of the first token that differs, from 0.
        gap: the best logit less the second best there, as plain decoding had them.
    """

    article: int
    place: int
    gap: float


@dataclass
class Found:
    """What comparing one drafter found: greedy texts compared and those that part, and rows of p compared at T = 1
    and those with another bit."""

    drafter: str
    texts: int = 0
    partings: tuple[Parting, ...] = ()
    rows: int = 0
    rows_apart: int = 0
    largest: float = 0.0


class Keeping:
    """A target's session that keeps what it said: the row of logits after each text that was scored."""

    def __init__(self, session: TargetSession) -> None:
        self._session = session
        self.rows: dict[tuple[int, ...], np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def score(self, prefix: Sequence[int], draft: Sequence[int] = (), *more: Any) -> Any:
        """As :meth:`TargetSession.score`, of a draft that is a chain."""
        logits = self._session.score(prefix, draft, *more)
        for i, row in enumerate(logits):
            self.rows[(*prefix, *draft[:i])] = row.numpy()
        return logits


def tokens_of(session: Any, drafter: Drafter | None, settings: Settings) -> tuple[int, ...]:
    """The tokens of one run; plain decoding where `drafter` is None."""
    steps = autoregressive(session, settings) if drafter is None else speculative(session, drafter, settings)
    return tuple(token for step in steps for token in step.tokens)


def compare_text(
    target: Target, article: str, number: int, drafters: Sequence[tuple[Drafter, Found]], settings: Settings
) -> None:
    """Greedy texts of every drafter beside plain decoding's."""
    session = target.open(article)
    try:
        kept = Keeping(session)
        plain = tokens_of(kept, None, settings)
        for drafter, found in drafters:
            own = tokens_of(session, drafter, settings)
            found.texts += 1
            if own != plain:
                place = next(
                    (i for i, (a, b) in enumerate(zip(own, plain, strict=False)) if a != b), min(len(own), len(plain))
                )
                best = np.sort(kept.rows[plain[:place]])[-2:] if plain[:place] in kept.rows else np.zeros(2)
                found.partings += (Parting(number, place, float(best[1] - best[0])),)
    finally:
        session.close()


def compare_rows(target: Target, article: str, drafters: Sequence[tuple[Drafter, Found]], settings: Settings) -> None:
    """The logits that judged each drafter's run, and those of scoring its text one token at a time in a new session."""
    for drafter, found in drafters:
        judged, alone = target.open(article), target.open(article)
        try:
            kept = Keeping(judged)
            text = tokens_of(kept, drafter, settings)
            for place in range(len(text)):
                row = alone.score(text[:place])[0].numpy()
                found.rows += 1
                if not np.array_equal(row, kept.rows[text[:place]]):
                    found.rows_apart += 1
                    found.largest = max(found.largest, float(np.abs(row - kept.rows[text[:place]]).max()))
        finally:
            judged.close()
            alone.close()


def table(rows: Sequence[Found]) -> str:
    """A line a drafter, for reading."""
    lines = [f"{'drafter':16} texts that part   rows of p with another bit   largest difference"]
    for r in rows:
        lines.append(
            f"{r.drafter:16} {len(r.partings):5} of {r.texts:5} {r.rows_apart:13} of {r.rows:7} {r.largest:20.1e}"
        )
    return "\n".join(lines)


def exact_table(result: Mapping[str, Any]) -> str:
    """Markdown: how it was found, a row a drafter, and where texts part by how little."""
    lines = [
        f"`{result['command']}` on {result['machine']}, {result['finished'][:10]}, commit `{result['commit'][:10]}`: "
        f"engine {result['engine']}, γ {result['gamma']}.",
        "",
        "| drafter | greedy texts that part | smallest gap of the two best logits there | rows of p with another bit | "
        "largest difference of a logit |",
        "| --- | --: | --: | --: | --: |",
    ]
    for r in result["rows"]:
        gap = f"{min(p['gap'] for p in r['partings']):.1e}" if r["partings"] else "–"
        lines.append(
            f"| {r['drafter']} | {len(r['partings'])} of {r['texts']:,} | {gap} | {r['rows_apart']} of {r['rows']:,} | "
            f"{r['largest']:.2g} |"
        )
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """Compare, write, print."""
    at_least(1, args, "articles")
    at_least(0, args, "sampled")
    Settings(args.gamma, seed=args.seed)
    mark, place = recorded_name("exact", args.target), args.json and recorded_place(args.json, "exact", args.target)
    if args.table:
        check_marks(args.table, mark)
    record = Record("exact", vars(args), [args.data])
    target = load_target(args.target, engine=args.engine)
    limit = args.max_new_tokens or target.preset.max_new_tokens
    blocked = target.preset.no_repeat_ngram_size
    pairs = [(load_drafter(target, name), Found(name)) for name in args.drafters.split(",") if name]
    articles = [p.article for p in sample_pairs(args.data, args.split, max(args.articles, args.sampled), args.seed)]
    for number, article in enumerate(tqdm(articles, desc="exact", unit="article", mininterval=5, disable=None)):
        if number < args.articles:
            compare_text(
                target,
                article,
                number,
                pairs,
                Settings(args.gamma, Sampling(0, no_repeat_ngram_size=blocked), max_new_tokens=limit),
            )
        if number < args.sampled:
            sampling = Sampling(1, no_repeat_ngram_size=blocked)
            compare_rows(target, article, pairs, Settings(args.gamma, sampling, args.seed + number, limit))
    found = [f for _, f in pairs]
    result = record.result(
        {
            "target": {"name": args.target, "sha256": target.sha256},
            "engine": target.engine.name,
            "gamma": args.gamma,
            "rows": [asdict(f) for f in found],
        }
    )
    if place:
        write_json(place, result)
    if args.table:
        write_between(args.table, mark, exact_table(result))
    print(table(found))
