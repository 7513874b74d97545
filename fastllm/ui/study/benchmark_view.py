"""Figures of the recorded benchmark: what each draft length brought, and what each draft position is worth. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from fastllm.ui.plots import BLUE, GREEN, GREY, OLIVE, ORANGE, PURPLE, RED, say, share_words, shares, styled

NOTHING = "Nothing was recorded for this choice."


@dataclass(frozen=True)
class Look:
    """How a drafter is drawn: by colour and by symbol."""

    name: str
    colour: str
    symbol: str


# Of the n-grams the first, the middle and the last order; the table has them all.
LOOKS = {
    "lookup": Look("lookup", GREY, "circle"),
    "lstm": Look("LSTM", BLUE, "diamond"),
    "cnn": Look("CNN", ORANGE, "square"),
    "t5": Look("T5", GREEN, "triangle-up"),
    "ngram:1": Look("N = 1", PURPLE, "cross"),
    "ngram:3": Look("N = 3", RED, "x"),
    "ngram:5": Look("N = 5", OLIVE, "star"),
}
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
    """Each drafter's rows by ascending gamma; those that nothing trained belong to every variant."""
    found: dict[str, Rows] = {}
    for name in LOOKS:
        rows = [
            r
            for r in benchmark["rows"]
            if r["drafter"] in (name, f"{name}@{variant}") and r["temperature"] == temperature
        ]
        if rows:
            found[name] = sorted(rows, key=lambda r: r["gamma"])
    return found


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}×"


def _measured(row: dict) -> str:
    if row["measured_speedup"] is None:
        return "the machine was too busy to time it"
    low, high = row["speedup_interval"]
    return f"measured {row['measured_speedup']:.2f}× ({low:.2f} to {high:.2f})"


def speed_figure(found: dict[str, Rows]) -> go.Figure:
    """Measured speedup over plain decoding at every gamma, with its interval; dotted what the theorem predicts."""
    figure = go.Figure()
    for name, rows in found.items():
        look = LOOKS[name]
        gammas = [r["gamma"] for r in rows]
        speeds = [r["measured_speedup"] for r in rows]
        low, high = zip(*(r["speedup_interval"] or (None, None) for r in rows), strict=True)
        figure.add_scatter(
            x=gammas,
            y=speeds,
            name=look.name,
            mode="lines+markers",
            line={"color": look.colour, "width": 2},
            marker={"symbol": look.symbol, "size": 9},
            error_y={
                "array": [None if s is None else h - s for h, s in zip(high, speeds, strict=True)],
                "arrayminus": [None if s is None else s - lo for lo, s in zip(low, speeds, strict=True)],
                "thickness": 1,
                "width": 2,
            },
            hovertext=[
                f"{look.name}, γ = {r['gamma']}: {_measured(r)}, predicted {_times(r['predicted_speedup'])}, "
                f"{r['tau']:.2f} tokens a call, {r['articles']} articles"
                for r in rows
            ],
            hoverinfo="text",
        )
        figure.add_scatter(
            x=gammas,
            y=[r["predicted_speedup"] for r in rows],
            mode="lines",
            line={"color": look.colour, "width": 1, "dash": "dot"},
            showlegend=False,
            hoverinfo="skip",
        )
    styled(figure, "draft length γ", "times as fast as plain", height=360)
    if not found:
        return say(figure, NOTHING)
    figure.add_hline(y=1, line={"color": GREY, "width": 1, "dash": "dash"})
    figure.update_xaxes(tickvals=sorted({r["gamma"] for rows in found.values() for r in rows}))
    return figure.update_yaxes(rangemode="tozero")


def position_figure(found: dict[str, Rows]) -> go.Figure:
    """Accepted of the tested at each place in a draft, from the runs with the longest drafts, with
    its interval; hollow where tests are few."""
    figure = go.Figure()
    for name, rows in found.items():
        look = LOOKS[name]
        places = [p for p in rows[-1]["positions"] if p["tested"]]
        heights, error, few = shares([(p["accepted"], p["tested"]) for p in places])
        figure.add_scatter(
            x=[p["position"] for p in places],
            y=heights,
            error_y=error,
            name=look.name,
            mode="lines+markers",
            line={"color": look.colour, "width": 2},
            marker={"symbol": [look.symbol + "-open" * f for f in few], "size": 9},
            hovertext=[
                f"{look.name}, place {p['position']} in the draft: {p['accepted']:,} accepted of {p['tested']:,} "
                f"tested ({share_words(p['accepted'], p['tested'])})"
                for p in places
            ],
            hoverinfo="text",
        )
    styled(figure, "place in the draft", "accepted of the tested, %", height=360)
    if not found:
        return say(figure, NOTHING)
    figure.update_xaxes(dtick=1)
    return figure.update_yaxes(range=[0, 105])


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
    slower = sorted(LOOKS[name].name for name, some in found.items() if 0 < max(map(_speed, some)) < 1)
    if not _speed(best):
        return "The machine was too busy to time any of these."
    text = (
        f"Fastest: {best['drafter']} at γ = {best['gamma']}, {best['measured_speedup']:.2f}× plain decoding; "
        f"Theorem 3.8 would choose γ = {chosen['gamma']}, which is {_times(chosen['measured_speedup'])}."
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
