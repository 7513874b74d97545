"""``python -m train evaluate``: acceptance, block efficiency, speed and ROUGE over articles not trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from fastllm import console
from fastllm.config import Sampling, Settings
from fastllm.drafters import available, load_drafter
from fastllm.drafters.base import Drafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.lengths import lengths_of
from fastllm.recorded import recorded_name, recorded_place
from fastllm.rules import rule_named, rule_of
from fastllm.targets.base import Target
from fastllm.targets.load import load_target
from train import bild
from train.checks import at_least, numbers
from train.corpus import split_sentences
from train.data import HUB_NAME, Pair, sample_pairs
from train.files import write_json
from train.measure import Job, Method, Plan, measure, mismatches
from train.peers import Ours, measure_peers
from train.record import Record
from train.results import best_gammas, merge, plain_row, read_results, row_of
from train.rouge import rouge
from train.summaries import summarise
from train.table import check_marks, update_readme
from train.traces import write_traces


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles not trained on: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=100)
    parser.add_argument("--rouge-articles", type=int, default=0, help="ROUGE over so many instead, plain decoding only")
    parser.add_argument("--drafters", default="all", help="names separated by commas, such as lookup,t5+lookup, or all")
    parser.add_argument("--gamma", default="1,2,3,4,6,8,12,16")
    parser.add_argument("--temperature", default="0,1")
    parser.add_argument("--top-p", type=float, default=1.0)
    console.add_method_arguments(parser)
    parser.add_argument(
        "--bild",
        nargs="?",
        const=bild.GRID,
        default=None,
        metavar="FALLBACK:ROLLBACK,...",
        help="also Big Little Decoder at these thresholds, greedy: quality against speed, in the JSON's key bild",
    )
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--top", type=int, default=0, help="inspected tokens a step keeps, as the page does with 5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default=None)
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch; also ENGINE=")
    parser.add_argument("--state", type=Path, default=None, help="folder to keep each article in, to go on after a cut")
    parser.add_argument(
        "--peer-articles",
        type=int,
        default=None,
        help="articles of the comparison with generate, assisted generation and CTranslate2; all, or 0 for none",
    )
    parser.add_argument("--json", type=Path, default=None, help="file, or folder such as assets")
    parser.add_argument(
        "--merge", default=None, help="measure nothing: join these results, A.json,B.json, of one target"
    )
    parser.add_argument("--traces", type=Path, default=None, help="folder for one JSON trace per article and job")
    parser.add_argument("--table", type=Path, default=None, help="write the table into this file, between its marks")


def summary_rouge(target: Target, pairs: Sequence[Pair], max_new_tokens: int) -> dict[str, float]:
    """ROUGE of the target's greedy summaries, by our own plain decoding."""
    bar = tqdm(pairs, desc="summaries for ROUGE", unit="article")
    texts = [target.text(summarise(target, p.article, 0.0, max_new_tokens)) for p in bar]
    return rouge(texts, [p.summary for p in pairs])


def _write(result: dict, args: argparse.Namespace) -> None:
    if args.json:
        place = recorded_place(args.json, "benchmark", result["target"]["name"])
        write_json(place, result)
    print(update_readme(result, args.table))


def assistant_of(drafters: Sequence[Drafter]) -> T5Drafter | None:
    """The T5 to compare with transformers' assisted generation: a distilled one before others."""
    found = [d for d in drafters if isinstance(d, T5Drafter)]
    return min(found, key=lambda d: not d.name.endswith("@distilled"), default=None)


def method_of(args: argparse.Namespace, gammas: Sequence[int], temperatures: Sequence[float]) -> Method:
    """The rule and the policy that were asked for.

    Raises:
        ValueError: there is none of that name, or it does not go with a temperature or gamma.
    """
    rule = rule_named(args.rule)
    size = (args.nodes, args.width) if rule.tree else (0, 0)
    method = Method(args.rule, args.lengths, rule.threshold(args.rollback), *size)
    for gamma in gammas:
        for temperature in temperatures:
            settings = Settings(gamma, Sampling(temperature, top_p=args.top_p), **method.settings())
            rule_of(settings), lengths_of(settings)
    return method


def run(args: argparse.Namespace) -> None:
    """Decode every article every way; write JSON and print the table."""
    if args.merge:
        merged = merge(read_results(args.merge, "evaluate", list, set()))
        if args.table:
            check_marks(args.table, recorded_name("benchmark", merged["target"]["name"]))
        _write(merged, args)
        return
    if args.table:
        check_marks(args.table, recorded_name("benchmark", args.target))
    at_least(1, args, "articles", "max_new_tokens")
    at_least(0, args, "rouge_articles", "top", "seed", "peer_articles")
    gammas, temperatures = numbers(args, int, "gamma"), numbers(args, float, "temperature")
    method = method_of(args, gammas, temperatures)
    grid = bild.thresholds(args.bild) if args.bild else []
    if grid and 0.0 not in temperatures:
        raise ValueError("--bild is for greedy decoding only: put 0 into --temperature.")
    record = Record("evaluate", vars(args), [args.data])
    target = load_target(args.target, args.device, args.engine)
    console.tell(target.notes)
    specs = [i.spec for i in available(target)] if args.drafters == "all" else args.drafters.split(",")
    drafters = [load_drafter(target, spec.strip()) for spec in specs if spec.strip()]
    if not drafters:
        raise ValueError("--drafters names none: give names separated by commas, such as lookup,ngram:3, or all.")
    wanted = max(args.articles, args.rouge_articles)
    pairs = sample_pairs(args.data, args.split, wanted)
    if len(pairs) < wanted:
        option = "articles" if len(pairs) < args.articles else "rouge-articles"
        raise ValueError(f"{args.data} has {len(pairs)} usable pairs; --{option} asks for {wanted}.")
    jobs = [Job(None, 1, t) for t in temperatures]
    jobs += [Job(d, g, t) for d in drafters for g in gammas for t in temperatures]
    jobs += bild.jobs_of(drafters, grid)
    limit = args.max_new_tokens or target.preset.max_new_tokens
    plan = Plan(target, tuple(jobs), args.top_p, limit, args.top, args.seed, method)
    found = measure(plan, pairs[: args.articles], args.state)
    traces = dict(zip(jobs, zip(*(one.traces for one in found), strict=True), strict=True))
    if args.traces:
        write_traces(args.traces, (found for job, found in traces.items() if not job.method), record)
    plain = {job.temperature: traces[job] for job in jobs if not job.drafter}
    rows = [
        row_of(job, traces[job], plain[job.temperature], args.seed) for job in jobs if job.drafter and not job.method
    ]
    wrong = mismatches(plan, found)
    peers: list[dict] = []
    if plan.greedy and args.peer_articles != 0:
        some = pairs[: args.articles][: args.peer_articles]
        folder = args.state and args.state / "peers"
        # A lossy text is no match for assisted generation's, which is the target's own.
        assistant = assistant_of(drafters) if method.lossless else None
        pair = Ours.best([r for r in rows if assistant and r["drafter"] == assistant.name])
        ours = list(dict.fromkeys(one for one in (Ours.best(rows), pair) if one))
        peers = measure_peers(target, ours, assistant, some, limit, folder)
    if args.rouge_articles:
        scores = summary_rouge(target, pairs[: args.rouge_articles], limit)
    elif 0.0 in plain:
        scores = rouge([t.text for t in plain[0.0]], [p.summary for p in pairs[: args.articles]])
    else:
        scores = {}
    scored = pairs[: args.rouge_articles or args.articles]
    lead = rouge([" ".join(split_sentences(p.article)[:3]) for p in scored], [p.summary for p in scored])
    result = record.result(
        {
            "target": {
                "name": args.target,
                "sha256": target.sha256,
                **scores,
                "lead3": lead,
                "rouge_articles": args.rouge_articles or args.articles,
                "plain": [plain_row(t, ts) for t, ts in plain.items()],
            },
            "rows": rows,
            "best": best_gammas(rows),
            "peers": peers,
            "bild": bild.curve_of(traces, plain.get(0.0, ()), [p.summary for p in pairs[: args.articles]], args.seed),
            "articles": args.articles,
            "method": asdict(method),
            "greedy_mismatches": wrong,
            "seconds": round(sum(one.seconds for one in found), 1),
        }
    )
    _write(result, args)
    if wrong:
        raise ValueError(f"{wrong} greedy texts differ from plain decoding's; in float32 that is a bug.")
