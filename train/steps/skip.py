"""``python -m train skip``: what a target leaves out to draft for itself (Draft & Verify, Zhang et al. 2023).

The objective is deterministic, unlike tokens a second: the share of the target's own greedy texts on which the rest of
it agrees, given the tokens before, and the cost of a draft token from a table that is measured once, the row that it
adds to the target's call included; of both, Theorem 3.8's speedup at its best draft length. Each sublayer is first left
out alone; the searches begin from nothing, from all feed-forward layers, and from the least missed ones together.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fastllm.drafters.skipping import FILE, SkipSet
from fastllm.targets.base import TargetError
from fastllm.targets.load import load_target
from fastllm.targets.sublayers import Family, Sublayer, family_of
from train.bits import Bits, Found, at_random, bayesian
from train.checks import at_least
from train.data import HUB_NAME, sample_pairs
from train.files import write_json
from train.record import Record
from train.skips import Costs, Text, agreement, best_gamma, mean_beta, measure_costs, read_texts, torch_engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=16)
    parser.add_argument("--evaluations", type=int, default=80, help="of each search, after the common beginnings")
    parser.add_argument("--least", type=int, default=1, help="leave out so many sublayers or more")
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument(
        "--costs", default=None, help="do not measure them: whole=1,row=0.03,self=0.04,feed=0.05 beside a target call"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", default=None, help="whose costs: auto (ONNX Runtime where it can), onnx or torch")
    parser.add_argument("--out", type=Path, required=True, help="folder, for example checkpoints/mini/self")


def costs_of(text: str, family: Family) -> Costs:
    """A table of costs as it is written on the command line.

    Raises:
        ValueError: it lacks one, or holds something else.
    """
    wanted = ("whole", "row", *family.kinds)
    try:
        given = {name: float(value) for name, _, value in (part.partition("=") for part in text.split(","))}
        if set(given) != set(wanted) or not all(0 <= value < math.inf for value in given.values()):
            raise ValueError
    except ValueError:
        example = ",".join(f"{name}=0.05" for name in wanted)
        raise ValueError(f"--costs must name {', '.join(wanted)}, as in {example}, not {text!r}.") from None
    return Costs(given.pop("whole"), row=given.pop("row"), saved=given)


def beginnings(every: Sequence[Sublayer], alone: Sequence[float]) -> list[Bits]:
    """Nothing, all feed-forward layers, and the least missed sublayers together, in steps of an eighth.

    Args:
        alone: each sublayer's agreement where only it is left out.
    """
    order = sorted(range(len(every)), key=lambda i: -alone[i])
    sizes = sorted({round(len(every) * part / 8) for part in range(1, 7)} - {0})
    feeds = tuple(i for i, (_, kind) in enumerate(every) if kind == "feed")
    return [(), feeds, *(tuple(sorted(order[:n])) for n in sizes)]


def run(args: argparse.Namespace) -> None:
    """Search; write skip.json and record.json."""
    at_least(1, args, "articles", "evaluations", "max_new_tokens")
    at_least(0, args, "seed", "least")
    record = Record("skip", vars(args), [args.data])
    target = load_target(args.target, engine=args.engine)
    config = target.checkpoint.config
    try:
        family = family_of(config)
    except TargetError as error:
        raise ValueError(f"{args.target} cannot draft for itself: {error}.") from None
    every = family.all(config)
    if args.least > len(every) // 2:
        raise ValueError(f"--least must be at most {len(every) // 2}, half of the sublayers, not {args.least}.")
    given = costs_of(args.costs, family) if args.costs else None
    # `evaluate` draws from the beginning of the same order: these are the last it would come to.
    pairs = sample_pairs(args.data, args.split, 10**9)[-args.articles :]
    costs = given or measure_costs(target, family, pairs[0].article)
    texts = read_texts(target, [p.article for p in pairs], args.max_new_tokens or target.preset.max_new_tokens)
    whole = torch_engine(target)
    known: dict[Bits, float] = {}

    def agrees(bits: Bits) -> float:
        if bits not in known:
            known[bits] = agreement(target, whole.without(family, frozenset(every[i] for i in bits)), texts)
        return known[bits]

    def value(bits: Bits) -> float:
        return best_gamma(agrees(bits), costs.of(every[i] for i in bits) + costs.row)[0]

    def valid(bits: Bits) -> bool:
        if len(bits) < args.least:
            return False
        try:
            family.check((every[i] for i in bits), config)
        except TargetError:
            return False
        return True

    alone = [agrees((i,)) for i in tqdm(range(len(every)), desc="each alone", unit="set", mininterval=5)]
    starts = beginnings(every, alone)
    found = {
        name: search(value, len(every), starts, args.evaluations, np.random.default_rng(args.seed), valid)
        for name, search in (("bayesian", bayesian), ("random", at_random))
    }
    bits, speedup = found["bayesian"].best
    skip = tuple(every[i] for i in bits)
    c = costs.of(skip)
    engine = whole.without(family, frozenset(skip))
    record.notes |= {
        "target_sha256": target.sha256,
        "engine": target.engine.name,
        "texts": _sizes(texts),
        "skipped": len(skip),
        "sublayers": len(every),
        "agreement": round(agrees(bits), 4),
        "mean_beta_t1": round(mean_beta(target, whole, engine, texts), 4),
        "c": round(c, 4),
        "gamma": -best_gamma(agrees(bits), c + costs.row)[1],
        "predicted_speedup": round(speedup, 4),
        "costs": {
            "whole": round(costs.whole, 4),
            "row": round(costs.row, 4),
            **{k: round(v, 4) for k, v in costs.saved.items()},
        },
        "agreement_alone": _grid(every, alone),
        "searches": {name: _told(one, every, agrees) for name, one in found.items()},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / FILE, SkipSet(target.sha256, skip).as_dict())
    record.write(args.out / "record.json")
    for name, one in found.items():
        print(f"{name:9} {one.best[1]:.3f}x predicted, {len(one.best[0])} of {len(every)} sublayers left out")


def _sizes(texts: Sequence[Text]) -> dict[str, int]:
    return {"articles": len(texts), "tokens": sum(len(t.ids) for t in texts)}


def _grid(every: Sequence[Sublayer], alone: Sequence[float]) -> dict[str, dict[str, float]]:
    """Agreement by kind and layer, counted from 0, where only that sublayer is left out."""
    grid: dict[str, dict[str, float]] = {}
    for (layer, kind), value in zip(every, alone, strict=True):
        grid.setdefault(kind, {})[str(layer)] = round(value, 4)
    return grid


def _told(found: Found, every: Sequence[Sublayer], agrees) -> dict:
    """The best set, and the best value after each evaluation."""
    bits, value = found.best
    return {
        "predicted_speedup": round(value, 4),
        "agreement": round(agrees(bits), 4),
        "skip": SkipSet("", tuple(every[i] for i in bits)).as_dict()["skip"],
        "evaluations": len(found.tried),
        "best_after": [round(v, 4) for v in found.so_far],
    }
