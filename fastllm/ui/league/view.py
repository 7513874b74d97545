"""What the league shows: the measured table and the heat map of beta, drafter by token. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from fastllm.analysis.league import Along
from fastllm.analysis.metrics import Metrics
from fastllm.analysis.timing import Timing
from fastllm.drafters import DrafterInfo
from fastllm.ui.plots import label, styled
from fastllm.ui.watch.expected import size_text
from fastllm.visible import visible

# Pixels of one drafter's row.
ROW = 26

INTRO = (
    '<div class="fl-lab-intro"><p><b>Every drafter on the same text.</b> The target summarises the article once; then '
    "each drafter is asked, after every token of that summary, what it would draft next, and then decodes the article "
    "itself at the chosen draft length. Dark squares of the map are tokens that a drafter could not guess.</p></div>"
)


@dataclass(frozen=True)
class Row:
    """One drafter's results on one article; `timing` beside plain decoding, None where nothing was written."""

    info: DrafterInfo
    along: Along
    metrics: Metrics
    timing: Timing | None


def _cell(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else format(value, form) + unit


def _speedup(timing: Timing | None) -> str:
    if timing is None:
        return "–"
    if timing.speedup is None or timing.interval is None:
        return f"<small>{escape(timing.trouble)}</small>"
    low, high = timing.interval
    return f"{timing.speedup:.2f}× <small>{low:.2f} to {high:.2f}</small>"


def table_html(rows: Sequence[Row], gamma: int, of: str = "") -> str:
    """The table, most tokens a target call first: that order is exact, and no other visitor's work changes it."""
    if not rows:
        return ""
    heads = (
        ("Drafter", ""),
        ("size", ""),
        ("mean β", "along the whole text"),
        ("accepted", "of those tested in its own run"),
        ("τ", "tokens per target call"),
        ("draft token", "microseconds each, the article's reading included"),
        ("c", "its cost beside a target call"),
        ("speedup", "beside plain decoding; 95 %"),
    )
    head = "".join(
        f'<th scope="col">{name}{f"<small>{escape(about)}</small>" if about else ""}</th>' for name, about in heads
    )
    body = []
    for row in sorted(rows, key=lambda r: -(r.metrics.tau or 0)):
        m, t = row.metrics, row.timing
        drafted = 1e6 * t.draft_token if t and t.draft_token is not None else None
        cells = (
            size_text(row.info.size_bytes),
            _cell(row.along.mean_beta, ".3f"),
            _cell(m.accepted_tested, ".1%"),
            _cell(m.tau, ".2f"),
            _cell(drafted, ",.0f", " µs"),
            _cell(t.c if t else None, ".3f"),
            _speedup(t),
        )
        body.append(
            f'<tr><th scope="row">{escape(row.info.title)}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
        )
    return (
        '<div class="fl-league" tabindex="0"><table class="fl-table">'
        f"<caption>Measured just now, on one article: γ = {gamma}{', ' + escape(visible(of)) if of else ''}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def heat_map(rows: Sequence[Row], tokens: Sequence[str]) -> go.Figure:
    """beta of every drafter at every token of the target's text; hovering tells token and guess."""
    figure = go.Figure()
    numbers = list(range(1, len(tokens) + 1))
    if rows:
        hover = [
            [
                f"{label(row.info.title)}<br>token {i}: {label(token)!r}<br>"
                + (f"drafted {label(guess)!r}, β = {beta:.2f}" if guess else "drafted nothing")
                for i, token, guess, beta in zip(numbers, tokens, row.along.guesses, row.along.betas, strict=True)
            ]
            for row in rows
        ]
        figure.add_heatmap(
            z=[row.along.betas for row in rows],
            x=numbers,
            y=[label(row.info.title) for row in rows],
            text=hover,
            hoverinfo="text",
            zmin=0,
            zmax=1,
            # Made to be read alike by all kinds of colour vision (Nuñez et al. 2018).
            colorscale="Cividis",
            xgap=1,
            ygap=2,
            colorbar={"title": {"text": "β"}, "thickness": 12, "tickvals": [0, 0.5, 1]},
        )
    styled(figure, "token of the target's text", "", legend=False, height=150 + ROW * max(3, len(rows)))
    figure.update_xaxes(
        tickvals=numbers, ticktext=[label(t, 10) for t in tokens], tickangle=-90, tickfont={"size": 10}, showgrid=False
    )
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure
