"""``python -m train evaluate``: acceptance, block efficiency, speed and ROUGE over articles not trained on.

Method: the model is warmed up; plain decoding and every drafter decode the same article one after the other, in an
order that turns round from article to article; speedups are ratios of seconds per token within one run of this program.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters import load_drafter
from fastllm.drafters.base import Drafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.metrics import (
    acceptance_by_position,
    cost_coefficient,
    measured_speedup,
    predicted_speedup,
    summarise,
)
from fastllm.target import Target, TargetSession, load_target
from fastllm.trace import Trace
from train.corpus import split_sentences
from train.data import HUB_NAME, Pair, sample_pairs
from train.pseudo import generate
from train.record import Record
from train.rouge import rouge
from train.table import update_readme
from train.traces import write_traces


@dataclass(frozen=True)
class Job:
    """One way to decode an article; `drafter` None is plain decoding."""

    drafter: Drafter | None
    gamma: int
    temperature: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles not trained on: hub name, parquet or jsonl")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--articles", type=int, default=100)
    parser.add_argument("--rouge-articles", type=int, default=0, help="ROUGE over so many instead, by batched generate")
    parser.add_argument("--drafters", default="ngram:1,ngram:2,ngram:3,ngram:4,ngram:5,lookup")
    parser.add_argument("--gamma", default="2,4,8")
    parser.add_argument("--temperature", default="0,1")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--top", type=int, default=0, help="inspected tokens a step keeps, as the page does with 5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default=None)
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


def decode(session: TargetSession, job: Job, settings: Settings) -> Trace:
    """Run a job to its end."""
    steps = speculative(session, job.drafter, settings) if job.drafter else autoregressive(session, settings)
    return make_trace(session, job.drafter, settings, list(steps))


@torch.inference_mode()
def time_generate(
    target: Target, session: TargetSession, settings: Settings, assistant: T5Drafter | None = None
) -> tuple[float, list[int]]:
    """Seconds and tokens of transformers' own greedy generate on the same prompt, its encoder pass included.

    With `assistant`, assisted generation (its speculative decoding) with that T5 as it comes: twenty assistant tokens
    at most, fewer where the assistant is unsure.
    """
    ids = torch.tensor([session.source.prompt_ids], device=target.device)
    helped = {"assistant_model": assistant.model} if assistant else {}
    started = time.perf_counter()
    out = target.model.generate(
        ids,
        do_sample=False,
        num_beams=1,
        max_new_tokens=settings.max_new_tokens,
        no_repeat_ngram_size=settings.sampling.no_repeat_ngram_size,
        **helped,
    )
    return time.perf_counter() - started, out[0, 1:].tolist()


def bootstrap_interval(spec: Sequence[Trace], plain: Sequence[Trace], seed: int, draws: int = 1000) -> list[float]:
    """95 % percentile interval of the measured speedup, articles resampled with replacement (Efron 1979)."""
    sums = np.array([[p.seconds, len(p.tokens), s.seconds, len(s.tokens)] for p, s in zip(plain, spec, strict=True)])
    rows = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    total = sums[rows].sum(1)
    ratios = (total[:, 0] / total[:, 1]) / (total[:, 2] / total[:, 3])
    return [round(float(x), 3) for x in np.percentile(ratios, [2.5, 97.5])]


def row_of(job: Job, spec: Sequence[Trace], plain: Sequence[Trace], seed: int) -> dict:
    """One row of the table: everything measured for one drafter, gamma and temperature."""
    metrics = summarise(*spec)
    alpha, c = metrics.mean_beta, cost_coefficient(spec, plain)
    rounded = {
        "mean_beta": alpha,
        "accepted_tested": metrics.accepted_tested,
        "accepted_drafted": metrics.accepted_drafted,
        "tau": metrics.tau,
        "c": c,
        "predicted_speedup": None if alpha is None or c is None else predicted_speedup(min(1.0, alpha), job.gamma, c),
        "measured_speedup": measured_speedup(spec, plain),
        "overhead_share": metrics.overhead_share,
        "draft_share": metrics.seconds_draft / metrics.seconds,
    }
    return {
        "drafter": job.drafter.name,
        "gamma": job.gamma,
        "temperature": job.temperature,
        "articles": len(spec),
        **{k: None if v is None else round(v, 4) for k, v in rounded.items()},
        "speedup_interval": bootstrap_interval(spec, plain, seed),
        "target_calls": metrics.target_calls,
        "tokens": metrics.tokens,
        "ms_per_target_call": round(1e3 * metrics.seconds_target / metrics.target_calls, 3),
        "us_per_draft_token": round(1e6 * metrics.seconds_draft / metrics.drafted, 1) if metrics.drafted else None,
        "positions": [asdict(r) for r in acceptance_by_position(spec)],
    }


def summary_rouge(target: Target, pairs: Sequence[Pair], max_new_tokens: int) -> dict[str, float]:
    """ROUGE of the target's greedy summaries, by batched generate."""
    texts: list[str] = []
    bar = tqdm(total=len(pairs), desc="summaries for ROUGE", unit="article")
    for batch in generate(target, [p.article for p in pairs], 0.0, max_new_tokens, 32):
        texts += [target.text(ids) for ids in batch]
        bar.update(len(batch))
    bar.close()
    return rouge(texts, [p.summary for p in pairs])


def merge(results: Sequence[dict]) -> dict:
    """Results on one target and one source, one per temperature or family say, as one.

    Each row was measured against plain decoding within its own run, and says over how many articles; of two for the
    same drafter, gamma and temperature the later result's counts. The first result's facts about the machine and its
    ROUGE are kept; the commands of all are named.

    Raises:
        ValueError: the results differ in target or data.
    """
    first = results[0]
    for other in results[1:]:
        same = other["target"]["sha256"] == first["target"]["sha256"] and other["data"] == first["data"]
        if not same:
            raise ValueError("The results to merge differ in target or data: evaluate them alike.")
    rows = {
        (r["drafter"], r["gamma"], r["temperature"]): {"articles": result["articles"], **r}
        for result in results
        for r in result["rows"]
    }
    plain = {p["temperature"]: p for result in results for p in result["target"]["plain"]}
    return {
        **first,
        "target": {**first["target"], "plain": list(plain.values())},
        "rows": list(rows.values()),
        "best": best_gammas(list(rows.values())),
        "articles": max(r["articles"] for r in results),
        "greedy_mismatches": sum(r["greedy_mismatches"] for r in results),
        "command": "`, `".join(r["command"] for r in results),
        "seconds": round(sum(r["seconds"] for r in results), 1),
    }


def _write(result: dict, args: argparse.Namespace) -> None:
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(update_readme(result, args.readme))


def run(args: argparse.Namespace) -> None:
    """Decode every article every way; write JSON and print the table."""
    if args.merge:
        _write(merge([json.loads(Path(p).read_text()) for p in args.merge.split(",")]), args)
        return
    gammas, temperatures = _numbers(args.gamma, int, "gamma"), _numbers(args.temperature, float, "temperature")
    record = Record("evaluate", vars(args), [args.data])
    target = load_target(args.target, args.device)
    drafters = [load_drafter(target, spec) for spec in args.drafters.split(",") if spec]
    wanted = max(args.articles, args.rouge_articles)
    pairs = sample_pairs(args.data, args.split, wanted)
    if len(pairs) < args.articles:
        raise ValueError(f"{args.data} has {len(pairs)} usable pairs; --articles asks for {args.articles}.")
    jobs = [Job(None, 1, t) for t in temperatures]
    jobs += [Job(d, g, t) for d in drafters for g in gammas for t in temperatures]
    assistant = next((d for d in drafters if isinstance(d, T5Drafter)), None)
    traces, generated, mismatches = measure(args, target, jobs, pairs[: args.articles], assistant)
    if args.traces:
        write_traces(args.traces, traces.values(), record)
    plain = {job.temperature: traces[job] for job in jobs if not job.drafter}
    rows = [row_of(job, traces[job], plain[job.temperature], args.seed) for job in jobs if job.drafter]
    limit = args.max_new_tokens or target.preset.max_new_tokens
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
            "plain": [_plain_row(t, ts) for t, ts in plain.items()],
            "generate": generated,
        },
        "rows": rows,
        "best": best_gammas(rows),
        "articles": args.articles,
        "greedy_mismatches": mismatches,
        **record.as_dict(),
    }
    _write(result, args)
    if mismatches:
        raise ValueError(f"{mismatches} greedy texts differ from plain decoding's; in float32 that is a bug.")


@dataclass
class Clock:
    """Seconds, tokens and texts of one way to decode, encoder included."""

    seconds: float = 0.0
    tokens: int = 0
    differing: int = 0

    def add(self, seconds: float, tokens: Sequence[int], wanted: Sequence[int]) -> None:
        self.seconds += seconds
        self.tokens += len(tokens)
        self.differing += list(tokens) != list(wanted)

    @property
    def ms_per_token(self) -> float:
        return 1e3 * self.seconds / self.tokens


def measure(
    args: argparse.Namespace,
    target: Target,
    jobs: Sequence[Job],
    pairs: Iterable[Pair],
    assistant: T5Drafter | None = None,
) -> tuple[dict[Job, list[Trace]], dict | None, int]:
    """Traces of every job, transformers' generate for comparison, and how many greedy texts were not the target's.

    The order of the jobs turns round from article to article; transformers' turn, plain and with `assistant`, comes
    after them, and beside it ours with a fresh session, encoder included: plain, and with the T5 at each gamma.
    """
    traces: dict[Job, list[Trace]] = {job: [] for job in jobs}
    greedy = next((j for j in jobs if not j.drafter and j.temperature == 0), None)
    ours = [j for j in jobs if j.temperature == 0 and assistant is not None and j.drafter is assistant]
    clocks = {"generate": Clock(), "ours": Clock(), "assisted": Clock(), **{j: Clock() for j in ours}}
    mismatches, limit = 0, args.max_new_tokens or target.preset.max_new_tokens
    for number, pair in enumerate(tqdm(pairs, unit="article", mininterval=5)):
        session = target.open(pair.article)

        def settings(job: Job, number: int = number) -> Settings:
            sampling = Sampling(job.temperature, 0, args.top_p, target.preset.no_repeat_ngram_size)
            return Settings(job.gamma, sampling, args.seed + number, limit, args.top)

        if number == 0:
            for job in jobs:
                decode(session, job, settings(job))
            time_generate(target, session, settings(jobs[0]), assistant)
            time_generate(target, session, settings(jobs[0]))
        order = list(jobs) if number % 2 == 0 else list(reversed(jobs))
        here = {job: decode(session, job, settings(job)) for job in order}
        for job, trace in here.items():
            traces[job].append(trace)
            mismatches += job.temperature == 0 and greedy is not None and trace.tokens != here[greedy].tokens
        if not greedy:
            continue
        wanted, plain = here[greedy].tokens, settings(greedy)
        clocks["generate"].add(*time_generate(target, session, plain), wanted)
        if assistant:
            clocks["assisted"].add(*time_generate(target, session, plain, assistant), wanted)
        for name, job in (("ours", greedy), *((j, j) for j in ours)):
            # The drafter's own encoder runs inside the first draft; a fresh session pays for the target's, too.
            fresh = decode(target.open(pair.article), job, settings(job))
            clocks[name].add(fresh.seconds + fresh.seconds_encode, fresh.tokens, wanted)
    return traces, _compared(clocks, ours) if greedy else None, mismatches


def _compared(clocks: dict, ours: Sequence[Job]) -> dict:
    """Milliseconds a token, encoder included, of transformers' decoders and of ours."""
    generate, plain, assisted = clocks["generate"], clocks["ours"], clocks["assisted"]
    result = {
        "ms_per_token_generate": round(generate.ms_per_token, 3),
        "ms_per_token_ours": round(plain.ms_per_token, 3),
        "generate_over_ours": round(generate.ms_per_token / plain.ms_per_token, 3),
        "texts_that_differ": generate.differing,
    }
    if assisted.tokens:
        best = min(ours, key=lambda j: clocks[j].ms_per_token)
        result["assisted"] = {
            "drafter": best.drafter.name,
            "ms_per_token_assisted": round(assisted.ms_per_token, 3),
            "ms_per_token_ours": round(clocks[best].ms_per_token, 3),
            "ours_at_gamma": best.gamma,
            "assisted_over_ours": round(assisted.ms_per_token / clocks[best].ms_per_token, 3),
            "speedup_over_generate": round(generate.ms_per_token / assisted.ms_per_token, 3),
            "texts_that_differ": assisted.differing,
        }
    return result


def best_gammas(rows: Sequence[dict]) -> list[dict]:
    """For each drafter and temperature: the gamma of the highest predicted speedup, and of the highest measured."""
    groups: dict[tuple[str, float], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["drafter"], row["temperature"]), []).append(row)
    found = []
    for (drafter, temperature), some in groups.items():
        measured = max(some, key=lambda r: r["measured_speedup"])
        predicted = max(some, key=lambda r: r["predicted_speedup"] or 0)
        found.append(
            {
                "drafter": drafter,
                "temperature": temperature,
                "predicted_gamma": predicted["gamma"],
                "predicted_speedup": predicted["predicted_speedup"],
                "measured_gamma": measured["gamma"],
                "measured_speedup": measured["measured_speedup"],
            }
        )
    return found


def _plain_row(temperature: float, traces: Sequence[Trace]) -> dict:
    metrics = summarise(*traces)
    return {
        "temperature": temperature,
        "ms_per_target_call": round(1e3 * metrics.seconds_target / metrics.target_calls, 3),
        "tokens_per_second": round(metrics.tokens_per_second, 1),
        "mean_tokens": round(metrics.tokens / len(traces), 1),
        "overhead_share": round(metrics.overhead_share, 4),
    }
