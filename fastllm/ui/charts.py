"""Plotly figures. Pure functions; colours of text and bars come from style.css, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fastllm.metrics import PositionRow
from fastllm.trace import Step
from fastllm.ui.theme import STATUSES, SURFACES


def acceptance_figure(rows: Sequence[PositionRow], gamma: int) -> go.Figure:
    """Accepted / tested at each draft position, with the counts on the bar and in its tooltip."""
    # The colours of light mode are written in for whoever saves the figure; on the page style.css overrides them.
    muted, line = SURFACES["muted"][0], SURFACES["line"][0]
    tested = [r for r in rows if r.tested]
    hover = [
        f"Position {r.position}: {r.accepted} accepted of {r.tested} tested ({r.rate:.0%}); {r.drafted} drafted"
        for r in tested
    ]
    figure = go.Figure(
        go.Bar(
            x=[r.position for r in tested],
            y=[100 * r.rate for r in tested],
            text=[f"{r.accepted}/{r.tested}" for r in tested],
            textposition="outside",
            constraintext="none",
            textangle=0,
            textfont={"size": 11},
            cliponaxis=False,
            hovertext=hover,
            hoverinfo="text",
            width=0.62,
            marker={"color": STATUSES["accepted"].light},
        )
    )
    axis = {"color": muted, "gridcolor": line, "linecolor": line, "zeroline": False, "fixedrange": True}
    figure.update_layout(
        margin={"l": 44, "r": 8, "t": 18, "b": 38},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": muted},
        showlegend=False,
        dragmode=False,
        xaxis={
            **axis,
            "title": {"text": "position in the draft", "standoff": 6},
            "range": [0.5, gamma + 0.5],
            "dtick": 1,
        },
        yaxis={
            **axis,
            "title": {"text": "accepted, %", "standoff": 4},
            "range": [0, 108],
            "tickvals": [0, 25, 50, 75, 100],
        },
    )
    if not tested:
        _say(figure, "no draft token tested yet")
    return figure


def _say(figure: go.Figure, text: str) -> None:
    muted = SURFACES["muted"][0]
    figure.add_annotation(text=text, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"color": muted})


# Part of a step, the field of its seconds, the status whose colour it shares. style.css knows them by their order, in
# which they also stand in every strip.
PARTS = (
    ("drafting", "seconds_draft", "accepted"),
    ("target call", "seconds_target", "resampled"),
    ("everything else", "seconds_other", "ignored"),
)
MAX_STRIPS = 400


def timeline_figure(steps: Sequence[Step]) -> go.Figure:
    """A Gantt strip for each step in measured time, steps end to end as decoding ran them, and its tokens beside it.

    Only the first MAX_STRIPS steps are drawn: more would be thinner than a line.
    """
    muted, line = SURFACES["muted"][0], SURFACES["line"][0]
    steps = steps[:MAX_STRIPS]
    numbers = [s.index + 1 for s in steps]
    figure = go.Figure()
    starts, clock = [], 0.0
    for step in steps:
        starts.append(clock)
        clock += step.seconds
    done = [0.0] * len(steps)
    for name, field, status in PARTS:
        seconds = [getattr(s, field) for s in steps]
        figure.add_bar(
            name=name,
            orientation="h",
            y=numbers,
            base=[1e3 * (a + b) for a, b in zip(starts, done, strict=True)],
            x=[1e3 * t for t in seconds],
            hovertext=[f"Step {n}: {name} {1e3 * t:.2f} ms" for n, t in zip(numbers, seconds, strict=True)],
            hoverinfo="text",
            marker={"color": STATUSES[status].light, "line": {"width": 0}},
        )
        done = [a + b for a, b in zip(done, seconds, strict=True)]
    tokens = [len(s.tokens) for s in steps]
    figure.add_bar(
        name="tokens",
        orientation="h",
        y=numbers,
        x=tokens,
        xaxis="x2",
        hovertext=[f"Step {n}: {t} tokens" for n, t in zip(numbers, tokens, strict=True)],
        hoverinfo="text",
        marker={"color": STATUSES["bonus"].light},
        showlegend=False,
    )
    axis = {"color": muted, "gridcolor": line, "linecolor": line, "zeroline": False, "fixedrange": True}
    time = {"title": {"text": "measured ms", "standoff": 6}, "domain": [0, 0.78], "rangemode": "tozero"}
    count = {"title": {"text": "tokens", "standoff": 6}, "domain": [0.82, 1], "rangemode": "tozero"}
    figure.update_layout(
        barmode="overlay",
        bargap=0.15,
        margin={"l": 44, "r": 8, "t": 28, "b": 40},
        height=min(max(220, 90 + 7 * len(steps)), 620),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": muted},
        dragmode=False,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
        xaxis={**axis, **time},
        xaxis2={**axis, **count, "anchor": "y", "nticks": 4, "tickangle": 0},
        yaxis={**axis, "title": {"text": "step", "standoff": 4}, "range": [max(1, len(steps)) + 0.6, 0.4]},
    )  # fmt: skip
    if not steps:
        _say(figure, "no step yet")
    return figure
