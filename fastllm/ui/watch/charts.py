"""Plotly figures. Pure functions; colours of text and bars come from style.css, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fastllm.analysis.metrics import PositionRow
from fastllm.trace import Step
from fastllm.ui.plots import GREY, axis, say, share_words, shares, styled
from fastllm.ui.theme import STATUSES


def acceptance_figure(rows: Sequence[PositionRow], gamma: int) -> go.Figure:
    """Accepted / tested at each place in the draft with its interval, the counts on the bar and in its tooltip; hatched
    where the tests are few."""
    tested = [r for r in rows if r.tested]
    hover = [
        f"Place {r.position} in the draft: {r.accepted} accepted of {r.tested} tested "
        f"({share_words(r.accepted, r.tested)}); {r.drafted} drafted"
        for r in tested
    ]
    heights, error, few = shares([(r.accepted, r.tested) for r in tested])
    figure = go.Figure(
        go.Bar(
            x=[r.position for r in tested],
            y=heights,
            error_y={**error, "color": GREY},
            text=[f"{r.accepted}/{r.tested}" for r in tested],
            textposition="inside",
            insidetextanchor="start",
            constraintext="none",
            textangle=0,
            textfont={"size": 11},
            cliponaxis=False,
            hovertext=hover,
            hoverinfo="text",
            width=0.62,
            marker={
                "color": STATUSES["accepted"].light,
                "pattern": {"shape": ["/" if f else "" for f in few], "fillmode": "overlay", "size": 6},
            },
        )
    )
    styled(figure, "place in the draft", "accepted, %", legend=False, height=None, margin=(44, 8, 18, 38))
    figure.update_xaxes(range=[0.5, gamma + 0.5], dtick=1)
    figure.update_yaxes(range=[0, 108], tickvals=[0, 25, 50, 75, 100])
    if not tested:
        say(figure, "no draft token tested yet")
    return figure


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
    height = min(max(220, 90 + 7 * len(steps)), 620)
    styled(figure, "measured ms", "step", height=height, margin=(44, 8, 28, 40))
    figure.update_layout(
        barmode="overlay",
        bargap=0.15,
        legend={"y": 1, "itemclick": False, "itemdoubleclick": False},
        xaxis2={**axis("tokens", 6), "domain": [0.82, 1], "anchor": "y", "nticks": 4, "tickangle": 0},
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_layout(xaxis={"domain": [0, 0.78]})
    figure.update_yaxes(range=[max(1, len(steps)) + 0.6, 0.4])
    if not steps:
        say(figure, "no step yet")
    return figure
