"""``python -m train evaluate``: acceptance, block efficiency, speed and ROUGE over articles not trained on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from fastllm.drafters import available, load_drafter
from fastllm.drafters.base import Drafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.target import Target, load_target
from train.corpus import split_sentences
from train.data import HUB_NAME, Pair, sample_pairs
from train.measure import Job, Plan, compared, measure, mismatches
from train.pseudo import generate
from train.record import Record
from train.results import best_gammas, merge, plain_row, row_of
from train.rouge import rouge
from train.table import update_readme
from train.traces import write_traces


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles not trained on: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=100)
    parser.add_argument("--rouge-articles", type=int, default=0, help="ROUGE over so many instead, by batched generate")
    parser.add_argument("--drafters", default="all", help="names separated by commas, or all that fit the target")
    parser.add_argument("--gamma", default="1,2,3,4,5,6,7,8")
    parser.add_argument("--temperature", default="0,1")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--top", type=int, default=0, help="inspected tokens a step keeps, as the page does with 5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default=None)
    parser.add_argument("--state", type=Path, default=None, help="folder to keep each article in, to go on after a cut")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument(
        "--merge", default=None, help="measure nothing: join these results, A.json,B.json, of one target"
    )
    parser.add_argument("--traces", type=Path, default=None, help="folder for one JSON trace per article and job")
    parser.add_argument("--readme", type=Path, default=None, help="write the table into this file, between its marks")


def _numbers(text: str, kind: type, name: str) -> list:
    try:
        return [kind(x) for x in text.split(",") if x]
    except ValueError:
        raise ValueError(f"--{name} must be numbers separated by commas, not {text!r}.") from None


def summary_rouge(target: Target, pairs: Sequence[Pair], max_new_tokens: int) -> dict[str, float]:
    """ROUGE of the target's greedy summaries, by batched generate."""
    texts: list[str] = []
    bar = tqdm(total=len(pairs), desc="summaries for ROUGE", unit="article")
    for batch in generate(target, [p.article for p in pairs], 0.0, max_new_tokens, 32):
        texts += [target.text(ids) for ids in batch]
        bar.update(len(batch))
    bar.close()
    return rouge(texts, [p.summary for p in pairs])


def _write(result: dict, args: argparse.Namespace) -> None:
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(update_readme(result, args.readme))


def assistant_of(drafters: Sequence[Drafter]) -> T5Drafter | None:
    """The T5 to compare with transformers' assisted generation: a distilled one before others."""
    found = [d for d in drafters if isinstance(d, T5Drafter)]
    return min(found, key=lambda d: not d.name.endswith("@distilled"), default=None)


def run(args: argparse.Namespace) -> None:
    """Decode every article every way; write JSON and print the table."""
    if args.merge:
        _write(merge([json.loads(Path(p).read_text()) for p in args.merge.split(",")]), args)
        return
    gammas, temperatures = _numbers(args.gamma, int, "gamma"), _numbers(args.temperature, float, "temperature")
    record = Record("evaluate", vars(args), [args.data])
    target = load_target(args.target, args.device)
    specs = [i.spec for i in available(target)] if args.drafters == "all" else args.drafters.split(",")
    drafters = [load_drafter(target, spec) for spec in specs if spec]
    wanted = max(args.articles, args.rouge_articles)
    pairs = sample_pairs(args.data, args.split, wanted)
    if len(pairs) < args.articles:
        raise ValueError(f"{args.data} has {len(pairs)} usable pairs; --articles asks for {args.articles}.")
    jobs = [Job(None, 1, t) for t in temperatures]
    jobs += [Job(d, g, t) for d in drafters for g in gammas for t in temperatures]
    limit = args.max_new_tokens or target.preset.max_new_tokens
    plan = Plan(target, tuple(jobs), assistant_of(drafters), args.top_p, limit, args.top, args.seed)
    found = measure(plan, pairs[: args.articles], args.state)
    traces = dict(zip(jobs, zip(*(one.traces for one in found), strict=True), strict=True))
    if args.traces:
        write_traces(args.traces, traces.values(), record)
    plain = {job.temperature: traces[job] for job in jobs if not job.drafter}
    rows = [row_of(job, traces[job], plain[job.temperature], args.seed) for job in jobs if job.drafter]
    wrong = mismatches(plan, found)
    if args.rouge_articles:
        scores = summary_rouge(target, pairs[: args.rouge_articles], limit)
    elif 0.0 in plain:
        scores = rouge([t.text for t in plain[0.0]], [p.summary for p in pairs[: args.articles]])
    else:
        scores = {}
    scored = pairs[: args.rouge_articles or args.articles]
    lead = rouge([" ".join(split_sentences(p.article)[:3]) for p in scored], [p.summary for p in scored])
    result = {
        "target": {
            "name": args.target,
            "sha256": target.sha256,
            **scores,
            "lead3": lead,
            "rouge_articles": args.rouge_articles or args.articles,
            "plain": [plain_row(t, ts) for t, ts in plain.items()],
            "generate": compared(plan, found),
        },
        "rows": rows,
        "best": best_gammas(rows),
        "articles": args.articles,
        "greedy_mismatches": wrong,
        **record.as_dict(),
        "seconds": round(sum(one.seconds for one in found), 1),
    }
    _write(result, args)
    if wrong:
        raise ValueError(f"{wrong} greedy texts differ from plain decoding's; in float32 that is a bug.")
