"""What Big Little Decoder buys its speed with: quality and changed texts against measured speed, as recorded. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from fastllm.ui.plots import GREY, label, say, styled
from fastllm.ui.study.looks import look_of

Points = list[Mapping[str, Any]]
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
NOTHING = "The machine was too busy to time any of these."


def by_drafter(curve: Mapping[str, Any]) -> dict[str, Points]:
    """The points that were timed, by drafter, slowest first."""
    found: dict[str, Points] = {}
    for point in sorted(curve["points"], key=lambda p: p["measured_speedup"] or 0):
        if point["measured_speedup"] is not None:
            found.setdefault(point["drafter"], []).append(point)
    return found


def _hover(point: Mapping[str, Any]) -> str:
    low, high = point["speedup_interval"]
    return (
        f"{label(look_of(point['drafter']).name)}, fallback {point['fallback']:g}, rollback {point['rollback']:g}: "
        f"{point['measured_speedup']:.2f}× ({low:.2f} to {high:.2f}), ROUGE-L {point['rougeL']:.2f}, "
        f"{point['texts_changed']:.0%} of {point['articles']} texts changed"
    )


def figure(curve: Mapping[str, Any], value: str, title: str) -> go.Figure:
    """`value` of each point against its measured speedup, a colour and a symbol a drafter; hollow where rollback is 0,
    which changes no text. ROUGE has plain decoding's dashed beside it.

    Args:
        value: ``rougeL`` (percent) or ``texts_changed`` (a share, drawn in percent).
    """
    made, found = go.Figure(), by_drafter(curve)
    scale = 100 if value == "texts_changed" else 1
    for i, (name, points) in enumerate(found.items()):
        symbol = _SYMBOLS[i % len(_SYMBOLS)]
        made.add_scatter(
            x=[p["measured_speedup"] for p in points],
            y=[scale * p[value] for p in points],
            name=label(look_of(name).name),
            mode="lines+markers",
            line={"color": look_of(name).colour, "width": 1},
            marker={"symbol": [symbol + "-open" * (p["rollback"] == 0) for p in points], "size": 9},
            hovertext=[_hover(p) for p in points],
            hoverinfo="text",
        )
    styled(made, "times as fast as plain", title, height=320)
    if not found:
        return say(made, NOTHING)
    if value in curve["plain"]:
        look = {"color": GREY, "width": 1, "dash": "dash"}
        note = {"text": "plain decoding", "font": {"color": GREY}}
        made.add_hline(y=curve["plain"][value], line=look, annotation=note)
    return made.update_yaxes(rangemode="tozero" if scale == 100 else "normal")


def words(curve: Mapping[str, Any]) -> str:
    """What the curve says, in sentences: the fastest exact setting, and the fastest of all with what it costs."""
    found = [p for points in by_drafter(curve).values() for p in points]
    if not found:
        return NOTHING
    exact = [p for p in found if p["rollback"] == 0]
    fastest = max(found, key=lambda p: p["measured_speedup"])
    name, before = look_of(fastest["drafter"]).name, curve["plain"]["rougeL"]
    text = (
        "Big Little Decoder keeps a guess that the target finds likely enough, so its text may be another: it buys "
        f"speed with other text. Fastest: {name} with fallback {fastest['fallback']:g} and rollback "
        f"{fastest['rollback']:g}, {fastest['measured_speedup']:.2f}×, which changed {fastest['texts_changed']:.0%} of "
        f"{fastest['articles']} texts; ROUGE-L {fastest['rougeL']:.2f}, plain decoding {before:.2f}."
    )
    if exact:
        best = max(exact, key=lambda p: p["measured_speedup"])
        text += f" With rollback 0 (hollow) the text is the target's own: {best['measured_speedup']:.2f}×."
    return text
