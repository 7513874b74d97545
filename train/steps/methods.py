"""``python -m train methods``: every method of a target against plain decoding and against each other, in one run.

All of them decode the same articles by turns, at T = 0 and 1; of each method (train/named.py) the setting that was
fastest on one half of them goes into the table, as measured on the other, beside the figure that its paper reports.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastllm import console
from fastllm.config import ASSETS, Sampling, Settings
from fastllm.publishable import said_without_folders
from fastllm.recorded import recorded_name, recorded_place
from fastllm.targets.load import load_target
from train.checks import at_least, numbers
from train.contest import halves, jobs_of, join, lines_of, load, row_of_halves, table
from train.data import HUB_NAME, sample_pairs
from train.files import write_json
from train.measure import Job, Plan, measure, mismatches
from train.named import NAMED, Named
from train.record import Record
from train.results import plain_row, read_results
from train.table import check_marks, write_between


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles not trained on: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=50)
    parser.add_argument("--methods", default="all", help="names separated by commas, such as self,staged,bild, or all")
    parser.add_argument("--drafters", default="all", help="of the methods' drafters only these, such as lstm,t5+lookup")
    parser.add_argument("--gamma", default="1,2,4,8", help="draft lengths of methods that have none of their own")
    parser.add_argument("--temperature", default="0,1")
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch; also ENGINE=")
    parser.add_argument("--state", type=Path, default=None, help="folder to keep each article in, to go on after a cut")
    parser.add_argument("--json", type=Path, default=ASSETS, help="file or folder; in assets/ Study draws it")
    parser.add_argument(
        "--merge", default=None, help="measure nothing: join these results, A.json,B.json, of one target and articles"
    )
    parser.add_argument("--table", type=Path, default=None, help="write the table into this file, between its marks")


def _only(named: Sequence[Named], specs: Sequence[str]) -> list[Named]:
    """The methods with those of `specs` that they have; methods without one are left out.

    Raises:
        ValueError: a spec that no method has.
    """
    known = dict.fromkeys(spec for one in named for spec in one.drafters)
    if unknown := [spec for spec in specs if spec not in known]:
        raise ValueError(
            f"--drafters names {unknown[0]!r}, of no method here: give some of {', '.join(known)}, or all."
        )
    found = [replace(one, drafters=tuple(spec for spec in one.drafters if spec in specs)) for one in named]
    return [one for one in found if one.drafters]


def _write(result: dict, args: argparse.Namespace) -> None:
    name = result["target"]["name"]
    write_json(recorded_place(args.json, "methods", name), result)
    text = table(result)
    if args.table:
        write_between(args.table, recorded_name("methods", name), text)
    print(text)


def run(args: argparse.Namespace) -> None:
    """Decode every article every way; write JSON and print the table."""
    if args.merge:
        merged = join(read_results(args.merge, "methods", dict, {"lines", "lacking"}))
        if args.table:
            check_marks(args.table, recorded_name("methods", merged["target"]["name"]))
        _write(merged, args)
        return
    at_least(4, args, "articles")  # two to choose settings on, two to measure them on
    at_least(1, args, "max_new_tokens")
    at_least(0, args, "seed")
    gammas, temperatures = numbers(args, int, "gamma"), numbers(args, float, "temperature")
    for gamma, temperature in itertools.product(gammas, temperatures):
        Settings(gamma, Sampling(temperature))
    keys = [one.key for one in NAMED] if args.methods == "all" else [k.strip() for k in args.methods.split(",")]
    if unknown := sorted(set(keys) - {one.key for one in NAMED}):
        known = ", ".join(one.key for one in NAMED)
        raise ValueError(f"--methods names {unknown[0]!r}, which is none: give some of {known}, or all.")
    named = [one for one in NAMED if one.key in keys]
    if args.drafters != "all":
        named = _only(named, [d.strip() for d in args.drafters.split(",") if d.strip()])
    record = Record("methods", vars(args), [args.data])
    target = load_target(args.target, engine=args.engine)
    console.tell(target.notes)
    if args.table:
        check_marks(args.table, recorded_name("methods", args.target))
    drafters, lacking = load(target, named)
    ways = jobs_of(named, drafters, gammas, temperatures)
    if not any(ways.values()):
        raise ValueError(f"{args.target} has no drafter of these methods: name others, or train some.")
    pairs = sample_pairs(args.data, args.split, args.articles)
    if len(pairs) < args.articles:
        raise ValueError(f"{args.data} has {len(pairs)} usable pairs; --articles asks for {args.articles}.")
    jobs = [Job(None, 1, t) for t in temperatures]
    # A way that belongs to two methods is measured once.
    jobs += dict.fromkeys(job for some in ways.values() for job in some)
    limit = args.max_new_tokens or target.preset.max_new_tokens
    plan = Plan(target, tuple(jobs), 1.0, limit, 0, args.seed)
    found = measure(plan, pairs, args.state)
    traces = dict(zip(jobs, zip(*(one.traces for one in found), strict=True), strict=True))
    plain = {job.temperature: traces[job] for job in jobs if not job.drafter}
    rows = {
        key: [row_of_halves(job, traces[job], plain[job.temperature], args.seed) for job in some]
        for key, some in ways.items()
        if some
    }
    wrong = mismatches(plan, found)
    result = record.result(
        {
            "target": {
                "name": args.target,
                "sha256": target.sha256,
                "plain": [plain_row(t, p) for t, p in plain.items()],
            },
            "engine": target.engine.name,
            "articles": args.articles,
            "chosen_on": len(halves(args.articles)[0]),
            "lines": lines_of(named, rows),
            "rows": rows,
            "lacking": {spec: said_without_folders(why) for spec, why in lacking.items()},
            "greedy_mismatches": wrong,
            "seconds": round(sum(one.seconds for one in found), 1),
        }
    )
    _write(result, args)
    if wrong:
        raise ValueError(f"{wrong} greedy texts differ from plain decoding's; in float32 that is a bug.")
