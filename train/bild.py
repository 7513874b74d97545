"""Quality against speed of Big Little Decoder (Kim et al. 2023), over pairs of a fallback and a rollback threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastllm.analysis.metrics import summarise
from fastllm.drafters.base import Drafter
from fastllm.trace import Trace
from train.measure import Job, Method
from train.results import row_of
from train.rouge import rouge

# The paper's most tokens of a draft, and thresholds around its own and the code's (papers: fallback .1 to .9, rollback
# 1 to 10 nats).
GAMMA = 10
GRID = "0.9:0,0.6:0,0.6:1,0.6:2,0.6:3,0.4:3,0.3:3,0.3:5,0.2:6"


def thresholds(grid: str) -> list[tuple[float, float]]:
    """Pairs of fallback and rollback as they stand on the command line.

    Raises:
        ValueError: something else stands there, or a threshold is out of range.
    """
    try:
        pairs = [(float(a), float(b)) for a, _, b in (one.partition(":") for one in grid.split(","))]
        if not all(0 <= a <= 2 and 0 <= b <= 100 for a, b in pairs):
            raise ValueError
    except ValueError:
        raise ValueError(f"--bild must be pairs of fallback:rollback, as in {GRID}, not {grid!r}.") from None
    return pairs


def jobs_of(drafters: Sequence[Drafter], grid: Sequence[tuple[float, float]]) -> list[Job]:
    """Greedy jobs, each drafter with each pair."""
    return [
        Job(d, GAMMA, 0.0, Method("bild", f"bild:{fallback:g}", rollback))
        for d in drafters
        for fallback, rollback in grid
    ]


def point_of(job: Job, traces: Sequence[Trace], plain: Sequence[Trace], references: Sequence[str], seed: int) -> dict:
    """One point of the curve: its thresholds, quality and speed.

    ``rouge1``, ``rouge2``, ``rougeL`` are against `references`, ``to_plain`` is ROUGE-L against plain decoding's texts;
    ``handed_over`` and ``rolled_back`` count calls after an unsure drafter and calls that refused a token, per 100
    tokens written.
    """
    if job.drafter is None or job.method is None:
        raise ValueError("a point is of a drafter with thresholds of its own")
    row, metrics = row_of(job, traces, plain, seed), summarise(*traces)
    texts = [t.text for t in traces]
    steps = [s for t in traces for s in t.steps]
    kept = ("drafter", "gamma", "articles", "tau", "accepted_drafted", "measured_speedup", "speedup_interval",
            "texts_changed")  # fmt: skip
    return {
        "fallback": float(job.method.lengths.partition(":")[2]),
        "rollback": job.method.rollback,
        **{k: row[k] for k in kept},
        **rouge(texts, references),
        "to_plain": rouge(texts, [t.text for t in plain])["rougeL"],
        "handed_over": round(100 * sum(s.stop == "unsure" for s in steps) / metrics.tokens, 2),
        "rolled_back": round(100 * sum(s.accepted < len(s.draft) for s in steps) / metrics.tokens, 2),
    }


def curve_of(
    traces: Mapping[Job, Sequence[Trace]], plain: Sequence[Trace], references: Sequence[str], seed: int
) -> dict | None:
    """The curve for the JSON key ``bild``, plain decoding's ROUGE beside it; None where no job has the rule."""
    points = [
        point_of(job, found, plain, references, seed)
        for job, found in traces.items()
        if job.method and job.method.rule == "bild" and job.temperature == 0
    ]
    if not points:
        return None
    return {"plain": {"articles": len(plain), **rouge([t.text for t in plain], references)}, "points": points}
