"""What the plotly figures of the tabs share: colours that stand on light and dark alike, and one plain layout. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from fastllm.analysis.metrics import wilson
from fastllm.ui.theme import SURFACES
from fastllm.visible import visible

# Each is at least 3:1 against white and against the dark panel; text is coloured by assets/lab.css.
BLUE, ORANGE, GREEN, PURPLE, GREY = PALETTE = ("#2b8cc4", "#d0661b", "#1a9873", "#9a62d8", "#7f8a99")
RED, OLIVE, PINK = "#b5485d", "#6f7a3a", "#c0488f"

# A share of fewer tests is drawn hatched (bars) or hollow (points).
FEW = 10


def label(text: str, longest: int = 28) -> str:
    """A text as plotly shows it literally: plotly reads its own HTML-like tags in labels."""
    shown = visible(text)
    return escape(shown if len(shown) <= longest else shown[: longest - 1] + "…", quote=False)


def shares(counts: Sequence[tuple[int, int]]) -> tuple[list[float], dict, list[bool]]:
    """Shares as they are drawn.

    Args:
        counts: successes and tests, tests above 0.

    Returns:
        percentages; plotly's error bars, Wilson's 95 % intervals; and which rest on fewer than FEW tests.
    """
    percent = [100 * a / n for a, n in counts]
    ends = [wilson(a, n) for a, n in counts]
    bars = {
        "array": [100 * high - p for (_, high), p in zip(ends, percent, strict=True)],
        "arrayminus": [p - 100 * low for (low, _), p in zip(ends, percent, strict=True)],
        "thickness": 1,
        "width": 3,
    }
    return percent, bars, [n < FEW for _, n in counts]


def share_words(successes: int, n: int) -> str:
    """`25%, 95 % interval 7% to 59%`, and a warning where the tests are few."""
    low, high = wilson(successes, n)
    few = ": too few to say much" if n < FEW else ""
    return f"{successes / n:.0%}, 95 % interval {low:.0%} to {high:.0%}{few}"


def axis(title: str, standoff: int) -> dict:
    """An axis that cannot be zoomed, so that scrolling over a figure scrolls the page."""
    # The colours of light mode are written in for whoever saves the figure; on the page the style sheets override them.
    muted, line = SURFACES["muted"][0], SURFACES["line"][0]
    look = {"color": muted, "gridcolor": line, "linecolor": line, "zeroline": False, "fixedrange": True}
    return {**look, "title": {"text": title, "standoff": standoff}}


# Of plotly's own template what figures here do not set themselves: it is 7 kB in each of them.
_TEMPLATE = go.layout.Template(
    layout={
        "autotypenumbers": "strict",
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "xaxis": {"ticks": "", "automargin": True},
        "yaxis": {"ticks": "", "automargin": True},
    },
    data={
        "bar": [
            go.Bar(marker={"line": {"width": 0.5}, "pattern": {"fillmode": "overlay", "size": 10, "solidity": 0.2}})
        ]
    },
)


def styled(
    figure: go.Figure,
    x: str,
    y: str,
    legend: bool = True,
    height: int | None = 300,
    margin: tuple[int, int, int, int] | None = None,
) -> go.Figure:
    """`figure` with the page's layout: titles of the axes, transparent ground, legend above.

    `margin` is left, right, top, bottom; without `height` the figure fills its box.
    """
    left, right, top, bottom = margin or (54, 10, 34 if legend else 12, 44)
    return figure.update_layout(
        template=_TEMPLATE,
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": SURFACES["muted"][0]},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        dragmode=False,
        xaxis={**axis(x, 6), "automargin": True},
        yaxis=axis(y, 4),
    )


def say(figure: go.Figure, text: str) -> go.Figure:
    """An empty figure explains itself."""
    look = {"font": {"color": SURFACES["muted"][0]}, "showarrow": False}
    return figure.add_annotation(text=text, xref="paper", yref="paper", x=0.5, y=0.5, **look)
