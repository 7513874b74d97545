"""What an evaluation reports: rows from traces, intervals over articles, best gammas, and results joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from fastllm.metrics import (
    acceptance_by_position,
    cost_coefficient,
    measured_speedup,
    predicted_speedup,
    summarise,
)
from fastllm.trace import Trace
from train.measure import Job


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


def plain_row(temperature: float, traces: Sequence[Trace]) -> dict:
    metrics = summarise(*traces)
    return {
        "temperature": temperature,
        "ms_per_target_call": round(1e3 * metrics.seconds_target / metrics.target_calls, 3),
        "tokens_per_second": round(metrics.tokens_per_second, 1),
        "mean_tokens": round(metrics.tokens / len(traces), 1),
        "overhead_share": round(metrics.overhead_share, 4),
    }


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
