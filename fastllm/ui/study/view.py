"""What the study of rejections shows: three figures, and a header that says when and with what it was made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from fastllm.analysis.metrics import wilson
from fastllm.analysis.rejections import KINDS
from fastllm.analysis.study import Group, Study
from fastllm.ui.plots import BLUE, FEW, GREEN, GREY, ORANGE, PURPLE, RED, label, share_words, styled
from fastllm.ui.render import token_name
from fastllm.ui.study.looks import look_of
from fastllm.ui.study.multiples import Axes, Bar, Panel, Point, bars_html, lines_html

# A kind has a colour and a pattern, a drafter a name and a colour (looks.py).
_KINDS = dict(
    zip(
        KINDS,
        ((BLUE, ""), (ORANGE, "/"), (GREEN, "x"), (PURPLE, "\\"), (RED, "."), (GREY, "-")),
        strict=True,
    )
)

RULES = (
    "The kind is that of the token that the target wanted: name/number (a name, or a word with digits), function word "
    "(the, of, was …), word piece (a word goes on), sentence boundary (. ! ?), end of text, and other. "
    "The exact rules stand in fastllm/analysis/rejections.py."
)


def header_html(study: Study) -> str:
    """What the study is: recorded, when, with what, over how much."""
    tested = sum(g.total.tested for g in study.groups)
    refused = sum(g.total.rejected for g in study.groups)
    data = ", ".join(str(d.get("name", "?")) for d in study.data) or "data not recorded"
    made = f"on {study.made[:10]}" if study.made else "at a time not recorded"
    commit = f", commit {study.commit[:10]}" if study.commit else ""
    machine = f" on {study.machine}" if study.machine else ""
    return (
        '<div class="fl-lab-intro"><p><b>Which tokens do drafters miss?</b> '
        f"Counted over {study.articles} articles, {tested:,} tested draft tokens and {refused:,} rejections. "
        f"{escape(RULES)}</p>"
        f'<p class="fl-recorded"><b>Recorded, not live:</b> target {escape(study.target)} '
        f"({escape(study.target_hash[:12])}), {escape(data)}, {escape(made)}{escape(machine)}{escape(commit)}. "
        f"<small>Made by <code>{escape(study.command or 'a command not recorded')}</code>.</small></p></div>"
    )


def choices(study: Study) -> tuple[list[float], list[int]]:
    """Temperatures and draft lengths that the study holds."""
    return sorted({g.temperature for g in study.groups}), sorted({g.gamma for g in study.groups})


def chosen(study: Study, temperature: float, gamma: int) -> list[Group]:
    """The groups of one temperature and draft length, a drafter each, in the order of the page."""
    found = [g for g in study.groups if g.temperature == temperature and g.gamma == gamma]
    return sorted(found, key=lambda g: look_of(g.drafter).order)


def by_kind(groups: Sequence[Group]) -> go.Figure:
    """Of all rejections of a drafter, the share that falls to each kind: one stacked bar a drafter."""
    figure = go.Figure()
    for kind, (colour, pattern) in _KINDS.items():
        counts = [g.kinds[kind].rejected for g in groups]
        totals = [max(1, g.total.rejected) for g in groups]
        figure.add_bar(
            y=[label(look_of(g.drafter).name) for g in groups],
            x=[100 * n / t for n, t in zip(counts, totals, strict=True)],
            orientation="h",
            name=kind,
            marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": "#fff", "size": 6}},
            hovertext=[f"{kind}: {n:,} of {t:,} rejections" for n, t in zip(counts, totals, strict=True)],
            hoverinfo="text",
        )
    styled(figure, "share of rejections, %", "", height=150 + 42 * len(groups))
    figure.update_xaxes(range=[0, 101], tickvals=[0, 25, 50, 75, 100])
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure.update_layout(barmode="stack", bargap=0.35, legend={"traceorder": "normal"})


def refused_of_kind(groups: Sequence[Group]) -> str:
    """Of the tested tokens of each kind, the share that was refused: how hard each kind is for each drafter."""
    panels = []
    for g in groups:
        tested = [k for k in KINDS if g.kinds[k].tested]
        counts = [(g.kinds[k].rejected, g.kinds[k].tested) for k in tested]
        look = look_of(g.drafter)
        bars = []
        for k, (n, m) in zip(tested, counts, strict=True):
            low, high = wilson(n, m)
            bars.append(Bar(k, 100 * n / m, 100 * low, 100 * high, f"{n:,} refused of {m:,} tested", m < FEW))
        panels.append((look.name, look.colour, bars))
    return bars_html(panels, "Refused of the tested tokens of each kind")


def by_position(groups: Sequence[Group]) -> str:
    """Refused / tested at each place in the draft with its interval, a panel a drafter; hollow where tests are few."""
    panels = []
    for g in groups:
        rows = [(n, c) for n, c in enumerate(g.positions, 1) if c.tested]
        points = []
        for n, c in rows:
            kinds = "; ".join(f"{k} {v}" for k, v in g.position_kinds[n - 1].items()) or "none refused"
            points.append(refused_at(n, c.rejected, c.tested, kinds))
        look = look_of(g.drafter)
        panels.append(Panel(look.name, look.colour, tuple(points)))
    return lines_html(panels, PLACES, "Refused of the tested at each place in the draft")


# What both halves of the page draw by place: the same share, to the same scale, in the same words.
PLACES = Axes("place in the draft", "Refused of the tested", (0, 25, 50, 75, 100), "%")


def refused_at(place: int, refused: int, tested: int, more: str = "") -> Point:
    """The share refused of the tokens tested at a place in the draft, from 1."""
    low, high = wilson(refused, tested)
    said = f"; {more}" if more else ""
    words = f"place {place}: {refused:,} refused of {tested:,} ({share_words(refused, tested)}{said})"
    return Point(place, 100 * refused / tested, 100 * low, 100 * high, words, tested < FEW)


def missed_html(groups: Sequence[Group]) -> str:
    """The tokens that the target put in place most often, a row a drafter."""
    rows = "".join(
        f'<tr><th scope="row">{escape(look_of(g.drafter).name)}</th><td>'
        + (", ".join(f"{escape(_token(t))} ×{n}" for t, n in g.missed) or "none often")
        + "</td></tr>"
        for g in groups
    )
    return (
        '<table class="fl-table fl-missed"><thead><tr><th scope="col">drafter</th>'
        f'<th scope="col">what the target put in place most often</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _token(text: str) -> str:
    return token_name(text, text == "</s>")


def say(groups: Sequence[Group]) -> str:
    """What the figures show, in one line a drafter: the hardest kind with enough tests to say so."""
    parts = []
    for g in groups:
        enough = {k: c for k, c in g.kinds.items() if c.tested >= 30}
        if enough and g.total.tested:
            worst = max(enough, key=lambda k: enough[k].rate or 0.0)
            parts.append(
                f"{look_of(g.drafter).name}: {g.total.rate:.0%} of the tested tokens were refused, and most where the "
                f"target's token was of the kind {worst} ({enough[worst].rate:.0%} of {enough[worst].tested:,})."
            )
    return "\n".join(parts) or "Too few tested tokens to say which kind is the hardest."
