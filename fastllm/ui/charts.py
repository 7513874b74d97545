"""Plotly figures. Pure functions; colours of text and bars come from style.css, so that they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fastllm.metrics import PositionRow
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
        figure.add_annotation(
            text="no draft token tested yet",
            showarrow=False,
            xref="paper",
            yref="paper",
            x=0.5,
            y=0.5,
            font={"color": muted},
        )
    return figure
