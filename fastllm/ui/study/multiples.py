"""Small multiples: one little figure a drafter, all to one scale, as HTML and SVG, and the same as a table. Pure.

They follow the theme and the width of the page by themselves; every text in them is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Of the drawing area, in the units of the SVG: a panel is shown at about one unit a pixel.
W, H, LEFT, TOP, BOTTOM = 260, 150, 34, 8, 24


@dataclass(frozen=True)
class Point:
    """One measured figure: `low` to `high` is its 95 % interval, `few` says that it rests on few tests."""

    x: float
    y: float
    low: float | None
    high: float | None
    words: str
    few: bool = False


@dataclass(frozen=True)
class Panel:
    """One drafter: a line through `points`, dotted one through `beside` (x, y), and a line of text."""

    name: str
    colour: str
    points: tuple[Point, ...]
    beside: tuple[tuple[float, float], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Axes:
    """What all panels share.

    Attributes:
        ticks: of y, ascending; the first and the last are its range. `unit` is written after each.
        level: a dashed line at this y.
    """

    x: str
    y: str
    ticks: tuple[float, ...]
    unit: str = ""
    level: float | None = None


def lines_html(panels: Sequence[Panel], axes: Axes, label: str) -> str:
    """The panels side by side, as many as fit, then their table."""
    if not panels:
        return '<p class="fl-hint">Nothing was recorded for this choice.</p>'
    xs = sorted({p.x for panel in panels for p in panel.points})
    figures = "".join(_figure(panel, axes, xs) for panel in panels)
    return (
        f'<div class="fl-small-grid" role="group" aria-label="{_text(label)}">{figures}</div>{_table(panels, axes, xs)}'
    )


def _figure(panel: Panel, axes: Axes, xs: Sequence[float]) -> str:
    low, high = axes.ticks[0], axes.ticks[-1]
    span = max(1e-9, xs[-1] - xs[0])

    def at(x: float, y: float) -> tuple[float, float]:
        inside = (W - LEFT - 16) * (x - xs[0]) / span if len(xs) > 1 else (W - LEFT) / 2
        return LEFT + 8 + inside, TOP + (H - TOP - BOTTOM) * (1 - (min(max(y, low), high) - low) / (high - low))

    marks = []
    for tick in axes.ticks:
        _, y = at(xs[0], tick)
        marks.append(f'<line class="grid" x1="{LEFT}" x2="{W}" y1="{y:.0f}" y2="{y:.0f}"/>')
        marks.append(f'<text class="y" x="{LEFT - 4}" y="{y + 4:.0f}">{tick:g}{_text(axes.unit)}</text>')
    if axes.level is not None:
        _, y = at(xs[0], axes.level)
        marks.append(f'<line class="level" x1="{LEFT}" x2="{W}" y1="{y:.0f}" y2="{y:.0f}"/>')
    for x in xs:
        marks.append(f'<text class="x" x="{at(x, low)[0]:.0f}" y="{H - 8}">{x:g}</text>')
    if panel.beside:
        marks.append(f'<polyline class="beside" points="{_path(at(*p) for p in panel.beside)}"/>')
    marks.append(f'<polyline class="line" points="{_path(at(p.x, p.y) for p in panel.points)}"/>')
    ranges = "".join(
        f"M{at(p.x, p.low)[0]:.0f} {at(p.x, p.low)[1]:.0f}V{at(p.x, p.high)[1]:.0f}"
        for p in panel.points
        if p.low is not None and p.high is not None
    )
    marks.append(f'<path class="range" d="{ranges}"/>')
    for p in panel.points:
        x, y = at(p.x, p.y)
        kind = "few" if p.few else "point"
        marks.append(f'<circle class="{kind}" cx="{x:.0f}" cy="{y:.0f}" r="4"><title>{_text(p.words)}</title></circle>')
    # Every point is in the table below: said here are the first and the last.
    said = _text(f"{panel.name}: " + "; ".join(p.words for p in panel.points[:: max(1, len(panel.points) - 1)]))
    note = f"<small>{_text(panel.note)}</small>" if panel.note else ""
    return (
        f'<figure class="fl-small" style="--c: {_text(panel.colour)}"><figcaption><b>{_text(panel.name)}</b>{note}'
        f'</figcaption><svg viewBox="0 0 {W} {H}" role="img" aria-label="{said}">{"".join(marks)}</svg></figure>'
    )


def _path(points) -> str:
    # Whole units of 260: a point is eight wide, and every digit is sent twice.
    return " ".join(f"{x:.0f},{y:.0f}" for x, y in points)


def _table(panels: Sequence[Panel], axes: Axes, xs: Sequence[float]) -> str:
    head = "".join(f'<th scope="col">{x:g}</th>' for x in xs)
    rows = []
    for panel in panels:
        found = {p.x: p for p in panel.points}
        cells = "".join(f"<td>{_cell(found.get(x), axes.unit)}</td>" for x in xs)
        rows.append(f'<tr><th scope="row">{_text(panel.name)}</th>{cells}</tr>')
    return (
        '<details class="fl-as-table"><summary>The same as a table</summary><div class="fl-league">'
        f'<table class="fl-table"><caption>{_text(axes.y)} by {_text(axes.x)}, with 95 % intervals</caption>'
        f"<thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _cell(point: Point | None, unit: str) -> str:
    if point is None:
        return "–"
    ends = "" if point.low is None or point.high is None else f" ({point.low:.3g} to {point.high:.3g})"
    return f"{point.y:.3g}{_text(unit)}{ends}"


@dataclass(frozen=True)
class Bar:
    """A share of 0 to 100 % with its 95 % interval."""

    name: str
    percent: float
    low: float
    high: float
    words: str
    few: bool = False


def bars_html(groups: Sequence[tuple[str, str, Sequence[Bar]]], label: str) -> str:
    """A panel a group (name, colour, bars): a row a bar, its interval as a thin line."""

    def row(bar: Bar) -> str:
        few = " fl-few" if bar.few else ""
        return (
            f'<tr title="{_text(bar.words)}"><th scope="row">{_text(bar.name)}</th>'
            f'<td class="fl-share"><span class="fl-share-bar{few}" style="width:{bar.percent:.1f}%"></span>'
            f'<i style="left:{bar.low:.1f}%;width:{bar.high - bar.low:.1f}%"></i></td>'
            f"<td>{bar.percent:.0f}% <small>{bar.low:.0f} to {bar.high:.0f}</small></td></tr>"
        )

    figures = "".join(
        f'<figure class="fl-small" style="--c: {_text(colour)}"><table><caption><b>{_text(name)}</b></caption><tbody>'
        f"{''.join(row(b) for b in bars)}</tbody></table></figure>"
        for name, colour, bars in groups
    )
    return f'<div class="fl-small-grid fl-wide-grid" role="group" aria-label="{_text(label)}">{figures}</div>'


def _text(text: str) -> str:
    return escape(str(text), quote=True)
