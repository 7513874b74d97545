"""What the lab shows: histograms, the p-value's path, and the verdict in sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from fastllm.analysis.faults import FAULTS
from fastllm.analysis.lab import LEVEL, Alone, GTest, Tally, Text, largest_excess
from fastllm.ui.plots import BLUE, GREY, ORANGE, label, say, styled
from fastllm.visible import visible

MOST_BARS = 14
Names = Callable[[Text], str]

INTRO = """<div class="fl-lab-intro"><p>Accepting with chance min(1, p/q) and resampling from norm(max(0, p − q)) is
meant to give <b>exactly</b> what the target alone would give. Here you can test it: texts are sampled both ways, many
times, and a G-test asks whether the two piles could come from one distribution. Then break the rule and watch the test
find out.</p></div>"""


def histogram(tally: Tally | None, names: Names, exact: Mapping[Text, float] | None = None) -> go.Figure:
    """Shares of the commonest texts by both samplers, the rest in one bar; `exact` draws the target's own p beside."""
    figure = go.Figure()
    if tally is None:
        say(figure, "no samples yet")
        return styled(figure, "", "", legend=False).update_xaxes(visible=False).update_yaxes(visible=False)
    weight: dict[Any, float] = {
        t: tally.speculative.get(t, 0) + tally.plain.get(t, 0) for t in {*tally.speculative, *tally.plain}
    }
    if exact:
        weight = {**weight, **{t: 2 * tally.samples * p for t, p in exact.items()}}
    ordered = sorted(weight, key=lambda t: (-weight[t], t))
    shown = ordered if len(ordered) <= MOST_BARS + 1 else ordered[:MOST_BARS]
    rest = ordered[len(shown) :]
    ticks = [label(names(t)) for t in shown] + ([f"all {len(rest)} others"] if rest else [])
    looks = (
        ("speculative", tally.speculative, {"color": BLUE}),
        ("plain", tally.plain, {"color": ORANGE, "pattern": {"shape": "/", "fgcolor": "#fff", "size": 5}}),
    )
    for name, counts, marker in looks:
        values = [counts.get(t, 0) for t in shown] + ([sum(counts.get(t, 0) for t in rest)] if rest else [])
        figure.add_bar(
            x=list(range(len(ticks))),
            y=[100 * v / tally.samples for v in values],
            name=name,
            marker=marker,
            hovertext=[f"{t}: {v:,} of {tally.samples:,} {name} samples" for t, v in zip(ticks, values, strict=True)],
            hoverinfo="text",
        )
    if exact:
        known = [exact.get(t) for t in shown]
        figure.add_scatter(
            x=[i for i, p in enumerate(known) if p is not None],
            y=[100 * p for p in known if p is not None],
            name="the target's p",
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 26, "color": GREY, "line": {"width": 2}},
            hovertext=[f"p = {p:.4f}" for p in known if p is not None],
            hoverinfo="text",
        )
    styled(figure, "", "share of samples, %")
    figure.update_xaxes(tickvals=list(range(len(ticks))), ticktext=ticks)
    return figure.update_layout(barmode="group", bargap=0.25)


def path(
    points: Sequence[tuple[int, float]], samples: int, others: Sequence[Sequence[tuple[int, float]]] = ()
) -> go.Figure:
    """The p-value as the samples grew, on a logarithmic scale, with the level below which the lab says `differ`; thin,
    those of `others`, experiments with other seeds."""
    floor = 1e-6
    figure = go.Figure()
    for other in others:
        figure.add_scatter(
            x=[n for n, _ in other],
            y=[max(p, floor) for _, p in other],
            mode="lines",
            line={"color": BLUE, "width": 1},
            opacity=0.6,
            hoverinfo="skip",
        )
    figure.add_trace(
        go.Scatter(
            x=[n for n, _ in points],
            y=[max(p, floor) for _, p in points],
            mode="lines+markers",
            marker={"size": 5},
            line={"color": BLUE, "width": 2},
            hovertext=[f"{n:,} samples each: p-value {p_value(p)}" for n, p in points],
            hoverinfo="text",
        )
    )
    figure.add_hline(y=LEVEL, line={"color": ORANGE, "dash": "dash"})
    figure.add_annotation(
        x=1,
        xref="paper",
        xanchor="right",
        y=-3,
        yanchor="top",
        text=f"{LEVEL:g}: below it they differ",
        showarrow=False,
    )
    styled(figure, "samples by each", "p-value", legend=False, height=230)
    figure.update_xaxes(range=[0, samples * 1.02])
    ticks = [1, 0.1, 0.01, 0.001, 1e-4, 1e-5, floor]
    figure.update_yaxes(
        type="log", range=[-6.3, 0.3], tickvals=ticks, ticktext=["1", "0.1", "0.01", "0.001", "10⁻⁴", "10⁻⁵", "≤ 10⁻⁶"]
    )
    return figure


BINS = 10


def p_values(values: Sequence[float]) -> go.Figure:
    """How many experiments had a p-value in each tenth of 0 to 1, and how many a right rule would have there."""
    counts = [0] * BINS
    for value in values:
        counts[min(int(BINS * value), BINS - 1)] += 1
    names = [f"{i / BINS:g} to {(i + 1) / BINS:g}" for i in range(BINS)]
    figure = go.Figure(
        go.Bar(
            x=[(i + 0.5) / BINS for i in range(BINS)],
            y=counts,
            width=0.9 / BINS,
            marker={"color": BLUE},
            hovertext=[f"p-value {name}: {n} of {len(values)}" for name, n in zip(names, counts, strict=True)],
            hoverinfo="text",
        )
    )
    if values:
        figure.add_hline(y=len(values) / BINS, line={"color": ORANGE, "dash": "dash"})
    styled(figure, "p-value", "experiments", legend=False, height=230)
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.2, 0.4, 0.6, 0.8, 1])
    return figure.update_yaxes(rangemode="tozero", tickformat="d", nticks=6)


def caption_html(fault: str, gamma: int, length: int, samples: int, seeds: str, of: str) -> str:
    """What a result was made with, in one line above it."""
    tokens = f"{length} token{'s' * (length > 1)}"
    made = (FAULTS[fault].title, f"γ {gamma}", tokens, f"{samples:,} samples by each", seeds, of)
    return f'<p class="fl-caption">{escape(visible(" · ".join(made)))}</p>'


def again_html(values: Sequence[float], fault: str) -> str:
    """What experiments that differ in nothing but their seed say together."""
    if not values:
        return '<p class="fl-hint">No experiment was finished.</p>'
    differ, low = sum(v < LEVEL for v in values), sum(v < 0.1 for v in values)
    even = len(values) / BINS
    head = (
        f"{differ} of {len(values)} experiments differ (p-value under {LEVEL:g}); {low} lie under 0.1, where a right "
        f"rule puts {even:.3g}; the smallest is {p_value(min(values))}."
    )
    why = (
        "Where both piles come from one distribution, p-values are spread evenly over 0 to 1: a small one now and then "
        "is chance, and tells nothing. Where the rule is broken they heap up at 0, the more so the more samples."
    )
    kind, glyph = ("different", "✗") if differ > len(values) / 20 else ("identical", "✓")
    if not FAULTS[fault].right and kind == "identical":
        why += " This rule is broken all the same: with so few samples it does not show."
    return (
        f'<div class="fl-verdict fl-{kind}" role="status" aria-live="polite"><p class="fl-verdict-head">'
        f'<i aria-hidden="true">{glyph}</i> {escape(head)}</p><p>{escape(why)}</p></div>'
    )


def p_value(value: float) -> str:
    """A p-value as people read it; never 0."""
    return "under 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def _statistic(test: GTest) -> str:
    freedom = "1 degree" if test.df == 1 else f"{test.df} degrees"
    return f"G = {test.g:.1f} with {freedom} of freedom, p-value {p_value(test.p_value)}"


def running_sentence(tally: Tally, test: GTest, samples: int) -> str:
    """Where the experiment stands."""
    return (
        f"{tally.samples:,} of {samples:,} samples by each. So far {_statistic(test)}; it wanders as the samples grow, "
        "and only the last one counts."
    )


def stopped_sentence(tally: Tally, samples: int) -> str:
    """The experiment was stopped: over what its verdict is."""
    return f"Stopped after {tally.samples:,} of {samples:,} samples by each; the verdict is over these."


def verdict(tally: Tally, test: GTest, fault: str, names: Names) -> tuple[str, str]:
    """The outcome, and why, in sentences; the first word of the first says which it is."""
    why = FAULTS[fault].why
    broken = not FAULTS[fault].right
    if not test.df:
        return (
            f"Nothing to compare: all {tally.samples:,} samples fall into one cell.",
            "Take more samples, or a p that is spread over more texts.",
        )
    if test.differs:
        head = f"They differ: {_statistic(test)}. Chance alone does this in under 1 of 1,000 such experiments."
        if not broken:
            return head, (
                "The rule is the right one, so this should be that one case: choose another seed. If it stays, it is "
                "a bug."
            )
        most = largest_excess(tally)
        seen = ""
        if most:
            text, ours, theirs = most
            name = visible(names(text).strip())
            seen = f" Here '{name}' came out {ours:,} times, and {theirs:,} times by the target alone."
        return head, why + seen
    head = (
        f"No difference found: {_statistic(test)}. Chance alone makes a difference this large in {test.p_value:.0%} of "
        "such experiments."
    )
    if broken:
        n = FAULTS[fault].least
        least = f"It needs drafts and texts of {n} tokens or more. " if n > 1 else ""
        return head, (
            "The rule is broken all the same: with so few samples, or where p and q are so alike (or q is certain), "
            f"this fault does not show. {least}{why}"
        )
    return head, why


def alone_sentence(alone: Alone) -> str:
    """What comparing p to the last bit found."""
    if not alone.unequal:
        return (
            f"Bit by bit: p of the first token was the same alone and with each of {alone.tried} drafts behind it. "
            "Choose a longer draft."
        )
    return (
        f"Bit by bit: with {alone.unequal} of {alone.tried} drafts behind it, p of the first token was not what it is "
        f"alone, by up to {alone.largest:.2g}. Where the samples are too few for the test above, this finds the fault."
    )


def verdict_html(
    tally: Tally,
    test: GTest,
    fault: str,
    names: Names,
    fits: tuple[GTest, GTest] | None = None,
    alone: Alone | None = None,
) -> str:
    """The verdict as the page shows it; `fits` are speculative and plain against the target's exact p, `alone` says
    what a target's p makes of a draft behind it."""
    head, why = verdict(tally, test, fault, names)
    glyph, kind = ("✗", "different") if test.differs else ("✓", "identical") if test.df else ("○", "sampled")
    against = ""
    if fits:
        against = (
            f"<p>Each against the target's own p, computed and not sampled: speculative p-value "
            f"{p_value(fits[0].p_value)}, plain {p_value(fits[1].p_value)}.</p>"
        )
    if alone:
        against += f"<p>{escape(alone_sentence(alone))}</p>"
    return (
        f'<div class="fl-verdict fl-{kind}" role="status" aria-live="polite"><p class="fl-verdict-head">'
        f'<i aria-hidden="true">{glyph}</i> {escape(head)}</p><p>{escape(why)}</p>{against}</div>'
    )
