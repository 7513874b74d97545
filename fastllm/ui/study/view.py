"""What the study page shows: three figures and a header that says when and with what it was recorded. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from fastllm.analysis.rejections import KINDS
from fastllm.analysis.study import Group, Study
from fastllm.ui.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, label, share_words, shares, styled
from fastllm.ui.render import token_name

# A kind has a colour and a pattern, a drafter a colour and a symbol.
_KINDS = dict(
    zip(
        KINDS,
        ((BLUE, ""), (ORANGE, "/"), (GREEN, "x"), (PURPLE, "\\"), (RED, "."), (GREY, "-")),
        strict=True,
    )
)
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "x", "pentagon")
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)

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
    """The groups of one temperature and draft length, a drafter each."""
    return [g for g in study.groups if g.temperature == temperature and g.gamma == gamma]


def by_kind(groups: Sequence[Group]) -> go.Figure:
    """Of all rejections of a drafter, the share that falls to each kind: one stacked bar a drafter."""
    figure = go.Figure()
    for kind, (colour, pattern) in _KINDS.items():
        counts = [g.kinds[kind].rejected for g in groups]
        totals = [max(1, g.total.rejected) for g in groups]
        figure.add_bar(
            y=[label(g.drafter) for g in groups],
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


def refused_of_kind(groups: Sequence[Group]) -> go.Figure:
    """Of the tested tokens of each kind, the share that was refused: how hard each kind is for each drafter."""
    figure = go.Figure()
    for i, g in enumerate(groups):
        tested = [k for k in KINDS if g.kinds[k].tested]
        heights, error, few = shares([(g.kinds[k].rejected, g.kinds[k].tested) for k in tested])
        figure.add_bar(
            x=tested,
            y=heights,
            error_y={**error, "color": GREY},
            name=label(g.drafter),
            marker={
                "color": _COLOURS[i % len(_COLOURS)],
                "pattern": {"shape": ("", "/", "x", "\\", ".", "-")[i % 6]},
                "opacity": [0.45 if f else 1.0 for f in few],
            },
            hovertext=[
                f"{label(g.drafter)}, {k}: {g.kinds[k].rejected:,} refused of {g.kinds[k].tested:,} tested "
                f"({share_words(g.kinds[k].rejected, g.kinds[k].tested)})"
                for k in tested
            ],
            hoverinfo="text",
        )
    styled(figure, "", "refused of the tested, %")
    figure.update_xaxes(categoryorder="array", categoryarray=list(KINDS))
    figure.update_yaxes(range=[0, 105])
    return figure.update_layout(barmode="group", bargap=0.25)


def by_position(groups: Sequence[Group]) -> go.Figure:
    """Refused / tested at each place in the draft with its interval, one line a drafter; hollow where tests are few."""
    figure = go.Figure()
    for i, g in enumerate(groups):
        rows = [(n, c) for n, c in enumerate(g.positions, 1) if c.tested]
        kinds = ["; ".join(f"{k} {v}" for k, v in g.position_kinds[n - 1].items()) for n, _ in rows]
        heights, error, few = shares([(c.rejected, c.tested) for _, c in rows])
        symbol = _SYMBOLS[i % len(_SYMBOLS)]
        figure.add_scatter(
            x=[n for n, _ in rows],
            y=heights,
            error_y=error,
            name=label(g.drafter),
            mode="lines+markers",
            line={"color": _COLOURS[i % len(_COLOURS)], "width": 2},
            marker={"symbol": [symbol + "-open" * f for f in few], "size": 9},
            hovertext=[
                f"{label(g.drafter)}, place {n} in the draft: {c.rejected:,} refused of {c.tested:,} "
                f"({share_words(c.rejected, c.tested)}; {k or 'none refused'})"
                for (n, c), k in zip(rows, kinds, strict=True)
            ],
            hoverinfo="text",
        )
    styled(figure, "place in the draft", "refused of the tested, %")
    figure.update_xaxes(dtick=1)
    figure.update_yaxes(range=[0, 105])
    return figure


def missed_html(groups: Sequence[Group]) -> str:
    """The tokens that the target put in place most often, a row a drafter."""
    rows = "".join(
        f'<tr><th scope="row">{escape(g.drafter)}</th><td>'
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
                f"{g.drafter}: {g.total.rate:.0%} of the tested tokens were refused, and most where the target's token "
                f"was of the kind {worst} ({enough[worst].rate:.0%} of {enough[worst].tested:,})."
            )
    return "\n".join(parts) or "Too few tested tokens to say which kind is the hardest."
