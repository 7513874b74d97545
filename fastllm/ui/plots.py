"""What the plotly figures of the tabs share: colours that stand on light and dark alike, and one plain layout. Pure."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from fastllm.ui.render import visible
from fastllm.ui.theme import SURFACES

# Each is at least 3:1 against white and against the dark panel; text is coloured by assets/lab.css.
BLUE, ORANGE, GREEN, PURPLE, GREY = PALETTE = ("#2b8cc4", "#d0661b", "#1a9873", "#9a62d8", "#7f8a99")


def label(text: str, longest: int = 28) -> str:
    """A text as plotly shows it literally: plotly reads its own HTML-like tags in labels."""
    shown = visible(text)
    return escape(shown if len(shown) <= longest else shown[: longest - 1] + "…", quote=False)


def styled(figure: go.Figure, x: str, y: str, legend: bool = True, height: int = 300) -> go.Figure:
    """`figure` with the page's layout: titles of the axes, transparent ground, legend above."""
    muted, line = SURFACES["muted"][0], SURFACES["line"][0]
    axis = {"color": muted, "gridcolor": line, "linecolor": line, "zeroline": False, "fixedrange": True}
    return figure.update_layout(
        height=height,
        margin={"l": 54, "r": 10, "t": 34 if legend else 12, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": muted},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        dragmode=False,
        xaxis={**axis, "title": {"text": x, "standoff": 6}, "automargin": True},
        yaxis={**axis, "title": {"text": y, "standoff": 4}},
    )
