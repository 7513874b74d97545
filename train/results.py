"""What an evaluation reports: rows from traces, best gammas, and results joined into one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from fastllm.analysis.metrics import (
    acceptance_by_position,
    draft_shares,
    mean_expected_tau,
    predicted_by_drafts,
    summarise,
)
from fastllm.analysis.timing import Calls, compare
from fastllm.trace import Step, Trace
from train.measure import Job


def method_of(record: Trace | Mapping[str, Any]) -> dict[str, Any]:
    """Rule, draft lengths, rollback and size of the trees of a trace or of a row; rows from before there were several
    have the token rule and constant drafts, which are no trees."""
    get = record.get if isinstance(record, Mapping) else lambda k, _: getattr(record, k)
    usual = (("rule", "token"), ("lengths", "constant"), ("rollback", 0.0), ("nodes", 0), ("width", 0))
    return {k: get(k, default) for k, default in usual}


def key_of(row: Mapping[str, Any]) -> tuple:
    """What one line of the table is about, gamma left out: drafter, temperature and method."""
    return row["drafter"], row["temperature"], *method_of(row).values()


def changed(spec: Sequence[Trace], plain: Sequence[Trace]) -> float:
    """Share of articles whose text is not plain decoding's."""
    return sum(a.tokens != b.tokens for a, b in zip(spec, plain, strict=True)) / len(spec)


def row_of(job: Job, spec: Sequence[Trace], plain: Sequence[Trace], seed: int) -> dict:
    """One row of the table: everything measured for one drafter, gamma and temperature.

    ``texts_changed`` is the share of greedy texts that are not plain decoding's: 0 under a lossless rule.
    ``measured_speedup`` and its interval are None where the machine was too busy to time them; ``trouble`` says so.

    Raises:
        ValueError: the job is plain decoding's, or its drafter wrote nothing on any article.
    """
    if job.drafter is None:
        raise ValueError("a row is of a drafter; plain decoding has rows of its own")
    metrics = summarise(*spec)
    timing = compare([Calls.of(t.steps) for t in spec], [Calls.of(t.steps) for t in plain], seed)
    if timing is None:
        raise ValueError(f"{job.drafter.name} wrote nothing on any article: there is nothing to report.")
    positions = acceptance_by_position(spec)
    shares = draft_shares(positions, metrics.target_calls)
    alpha, c = metrics.mean_beta, timing.c
    predicted = expected = None
    method = method_of(spec[0])
    if len({t.lengths for t in spec}) > 1:  # one policy, whose threshold each article left to the next
        method["lengths"] = method["lengths"].partition(":")[0]
    # Equation 1 and Theorem 3.8 are about the token rule: what another one keeps does not follow from alpha.
    if alpha is not None and method["rule"] == "token":
        expected = mean_expected_tau(min(1.0, alpha), shares)
        if c is not None and metrics.tau is not None:
            predicted = predicted_by_drafts(min(1.0, alpha), shares, c, metrics.tau)
    rounded = {
        "mean_beta": alpha,
        "accepted_tested": metrics.accepted_tested,
        "accepted_drafted": metrics.accepted_drafted,
        "tau": metrics.tau,
        "drafted_per_call": sum(shares),
        "expected_tau": expected,
        "c": c,
        "predicted_speedup": predicted,
        "measured_speedup": timing.speedup,
        "overhead_share": _median(spec, lambda s: s.seconds_other / s.seconds),
        "draft_share": _median(spec, lambda s: s.seconds_draft / s.seconds),
        "texts_changed": changed(spec, plain) if job.temperature == 0 else None,
    }
    return {
        "drafter": job.drafter.name,
        "drafter_sha256": job.drafter.sha256,
        "gamma": job.gamma,
        "temperature": job.temperature,
        **method,
        "articles": len(spec),
        **{k: None if v is None else round(v, 4) for k, v in rounded.items()},
        "speedup_interval": timing.interval and [round(x, 4) for x in timing.interval],
        "trouble": timing.trouble,
        "target_calls": metrics.target_calls,
        "tokens": metrics.tokens,
        "ms_per_target_call": round(1e3 * _median(spec, lambda s: s.seconds_target), 3),
        "us_per_draft_token": None if timing.draft_token is None else round(1e6 * timing.draft_token, 1),
        "positions": [asdict(r) for r in positions],
    }


def _median(traces: Sequence[Trace], figure: Callable[[Step], float]) -> float:
    """Of all calls. One call in which the machine did something else does not move it, as it would a mean."""
    return median(figure(s) for t in traces for s in t.steps if s.seconds > 0)


def plain_row(temperature: float, traces: Sequence[Trace]) -> dict:
    """Plain decoding of all articles at one temperature; times are those of the median call."""
    metrics = summarise(*traces)
    return {
        "temperature": temperature,
        "ms_per_target_call": round(1e3 * _median(traces, lambda s: s.seconds_target), 3),
        "tokens_per_second": round(1 / _median(traces, lambda s: s.seconds), 1),
        "mean_tokens": round(metrics.tokens / len(traces), 1),
        "overhead_share": round(_median(traces, lambda s: s.seconds_other / s.seconds), 4),
    }


def best_gammas(rows: Sequence[dict]) -> list[dict]:
    """For each drafter, temperature and method: the gamma of the highest predicted and of the highest measured speedup.

    The predicted one is None where nothing is foretold, as under another rule than the token rule.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(key_of(row), []).append(row)
    found = []
    for some in groups.values():
        measured = max(some, key=lambda r: (r["measured_speedup"] or 0, r["tau"]))
        foretold = [r for r in some if r["predicted_speedup"] is not None]
        predicted = max(foretold, key=lambda r: r["predicted_speedup"], default=None)
        found.append(
            {
                "drafter": some[0]["drafter"],
                "temperature": some[0]["temperature"],
                **method_of(some[0]),
                "predicted_gamma": predicted and predicted["gamma"],
                "predicted_speedup": predicted and predicted["predicted_speedup"],
                "measured_gamma": measured["gamma"],
                "measured_speedup": measured["measured_speedup"],
            }
        )
    return found


def read_results(paths: str, step: str, rows: type, keys: set[str]) -> list[dict]:
    """What earlier runs of `step` wrote with --json, from A.json,B.json.

    Args:
        rows: of what type the step's rows are; keys: what its result has beside those of every result.

    Raises:
        ValueError: a file that is something else.
    """
    found = []
    for file in map(Path, paths.split(",")):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            whole = {"rows", "articles", "data", "command", *keys} <= set(result)
            if not (
                whole and isinstance(result["rows"], rows) and {"name", "plain", "sha256"} <= set(result["target"])
            ):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{file} is no result of `python -m train {step} --json`.") from None
        found.append(result)
    return found


def differ(results: Sequence[Mapping[str, Any]], *keys: str) -> bool:
    """Whether results are not all of one target, or differ in one of `keys`."""
    about = [(one["target"]["sha256"], *(one[k] for k in keys)) for one in results]
    return any(other != about[0] for other in about)


def joined_facts(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What results that are joined have in sum."""
    return {
        "greedy_mismatches": sum(one["greedy_mismatches"] for one in results),
        "command": "`, `".join(one["command"] for one in results),
        "seconds": round(sum(one["seconds"] for one in results), 1),
    }


# What a result says of the target's texts; of one run, as it is about the same articles.
ROUGE = ("rouge1", "rouge2", "rougeL", "lead3", "rouge_articles")


def merge(results: Sequence[dict]) -> dict:
    """Results on one target and one source, one per temperature or family say, as one.

    Each row was measured against plain decoding within its own run, and says over how many articles; of two for the
    same drafter, gamma, temperature and method the later result's counts. So do the comparison with peers and Big
    Little Decoder's curve, whole: their rows were measured in turns and belong together. The target's own figures do
    not go by the order: ROUGE is that of the most articles, plain decoding's of each temperature that of the longest
    run, of as many the later's. The first result's facts about the machine are kept; the commands of all are named.

    Raises:
        ValueError: the results differ in target or data.
    """
    first = results[0]
    if differ(results, "data"):
        raise ValueError("The results to merge differ in target or data: evaluate them alike.")
    rows = {
        (*key_of(r), r["gamma"]): {"articles": result["articles"], **r} for result in results for r in result["rows"]
    }
    longest = sorted(results, key=lambda r: r["articles"])
    plain = {p["temperature"]: p for result in longest for p in result["target"]["plain"]}
    scored = sorted((r["target"] for r in results if "rouge1" in r["target"]), key=lambda t: t.get("rouge_articles", 0))
    of_rouge = {name: scored[-1][name] for name in ROUGE if name in scored[-1]} if scored else {}
    return {
        **first,
        "target": {**first["target"], **of_rouge, "plain": [plain[t] for t in sorted(plain)]},
        "rows": list(rows.values()),
        "best": best_gammas(list(rows.values())),
        "articles": max(r["articles"] for r in results),
        "peers": next((r["peers"] for r in reversed(results) if r.get("peers")), []),
        "bild": next((r["bild"] for r in reversed(results) if r.get("bild")), None),
        **joined_facts(results),
    }
