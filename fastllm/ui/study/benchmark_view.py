"""Figures of the recorded benchmark: what each draft length brought, and what each draft position is worth. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from fastllm.ui.study.looks import look_of
from fastllm.ui.study.multiples import Axes, Panel, Point, lines_html
from fastllm.ui.study.view import PLACES, refused_at

NOTHING = "Nothing was recorded for this choice."


# Of the n-grams the first, the middle and the last order; the table in docs/figures.md has them all.
ORDERS = ("1", "3", "5")
Rows = Sequence[dict[str, Any]]


def temperatures(benchmark: dict) -> list[float]:
    """Temperatures that were measured, ascending."""
    return sorted({r["temperature"] for r in benchmark["rows"]})


def variants(benchmark: dict) -> list[str]:
    """What drafters were trained on, distilled first."""
    found = {r["drafter"].partition("@")[2] for r in benchmark["rows"]} - {""}
    return sorted(found, reverse=True)


def hashes(benchmark: dict) -> dict[str, str]:
    """The weights that each drafter was measured with."""
    return {r["drafter"]: r.get("drafter_sha256", "") for r in benchmark["rows"]}


def series(benchmark: dict, temperature: float, variant: str) -> dict[str, Rows]:
    """Each drafter's rows by ascending gamma; those that nothing trained belong to every variant. Of other rules and
    policies of draft lengths than the usual ones none."""
    found: dict[str, list[dict[str, Any]]] = {}
    for r in benchmark["rows"]:
        base, _, taught = r["drafter"].partition("@")
        family, _, order = base.partition(":")
        usual = r.get("rule", "token") == "token" and r.get("lengths", "constant") == "constant"
        shown = family != "ngram" or order in ORDERS
        if usual and shown and r["temperature"] == temperature and taught in ("", variant):
            found.setdefault(r["drafter"], []).append(r)
    ordered = sorted(found, key=lambda spec: look_of(spec).order)
    return {spec: sorted(found[spec], key=lambda r: r["gamma"]) for spec in ordered}


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}×"


def _measured(row: dict) -> str:
    if row["measured_speedup"] is None:
        return "the machine was too busy to time it"
    low, high = row["speedup_interval"]
    return f"measured {row['measured_speedup']:.2f}× ({low:.2f} to {high:.2f})"


def _point(row: dict) -> Point:
    low, high = row["speedup_interval"] or (None, None)
    words = (
        f"γ = {row['gamma']}: {_measured(row)}, predicted {_times(row['predicted_speedup'])}, {row['tau']:.2f} tokens "
        f"a call, {row['articles']} articles"
    )
    return Point(row["gamma"], row["measured_speedup"], low, high, words)


def speed_html(found: dict[str, Rows]) -> str:
    """Measured speedup over plain decoding at every gamma, with its interval; dotted what the theorem predicts."""
    panels = []
    for spec, rows in found.items():
        look = look_of(spec)
        points = tuple(_point(r) for r in rows if r["measured_speedup"] is not None)
        beside = tuple((r["gamma"], r["predicted_speedup"]) for r in rows if r["predicted_speedup"] is not None)
        best = max(rows, key=_speed)
        note = f"{_times(best['measured_speedup'])} at γ = {best['gamma']}" if points else "too busy to time it"
        panels.append(Panel(look.name, look.colour, points, beside, note))
    panels = [p for p in panels if p.points]
    top = max((y for p in panels for y in (*(q.high or q.y for q in p.points), *(y for _, y in p.beside))), default=1)
    step = next(s for s in (0.5, 1, 2, 5, 10, 100) if top / s <= 6)
    ticks = tuple(step * i for i in range(int(top / step) + 2))
    return lines_html(
        panels, Axes("draft length γ", "Times as fast as plain", ticks, "×", 1.0), "Speedup by draft length"
    )


def position_html(found: dict[str, Rows]) -> str:
    """Refused of the tested at each place in a draft, from the runs with the longest drafts, with its interval; hollow
    where tests are few."""
    panels = []
    for spec, rows in found.items():
        look = look_of(spec)
        places = [p for p in rows[-1]["positions"] if p["tested"]]
        points = tuple(refused_at(p["position"], p["tested"] - p["accepted"], p["tested"]) for p in places)
        panels.append(Panel(look.name, look.colour, points, (), f"γ = {rows[-1]['gamma']}"))
    return lines_html([p for p in panels if p.points], PLACES, "Refused of the tested at each place in the draft")


def _speed(row: dict) -> float:
    return row["measured_speedup"] or 0.0


def words(found: dict[str, Rows]) -> str:
    """The fastest drafter in a sentence, and what the theorem's best gamma would have cost."""
    if not found:
        return NOTHING
    rows = [r for some in found.values() for r in some]
    best = max(rows, key=_speed)
    own = [r for r in rows if r["drafter"] == best["drafter"]]
    chosen = max(own, key=lambda r: r["predicted_speedup"] or 0)
    slower = [look_of(spec).name for spec, some in found.items() if 0 < max(map(_speed, some)) < 1]
    if not _speed(best):
        return "The machine was too busy to time any of these."
    text = (
        f"Fastest: {look_of(best['drafter']).name} at γ = {best['gamma']}, {best['measured_speedup']:.2f}× plain "
        f"decoding; Theorem 3.8 would choose γ = {chosen['gamma']}, which is {_times(chosen['measured_speedup'])}."
    )
    return text + (f" Slower than plain decoding at every γ: {', '.join(slower)}." if slower else "")


def header_html(benchmark: dict) -> str:
    """What was measured, on what, over how much."""
    counts = sorted({r["articles"] for r in benchmark["rows"]})
    articles = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        '<div class="fl-lab-intro"><p><b>What does a longer draft bring?</b> Solid: measured, with the 95 % interval '
        "over articles. Dotted: what Theorem 3.8 of Leviathan et al. 2023 predicts from the measured mean β and c, "
        "with the mean number of tokens drafted in place of γ and never more than τ allows; it takes a call that "
        "scores γ + 1 tokens for as quick as a call that scores one.</p>"
        f'<p class="fl-recorded"><b>Recorded, not live:</b> {articles} articles a drafter, '
        f"{escape(str(benchmark.get('finished', ''))[:10])}, {escape(str(benchmark.get('machine', '')))}, commit "
        f"{escape(str(benchmark.get('commit', ''))[:10])}.</p></div>"
    )
