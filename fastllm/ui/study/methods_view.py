"""All methods of a target against plain decoding, as ``python -m train methods`` recorded them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from fastllm.recorded import read_object, recorded_file
from fastllm.ui.plots import BLUE, GREY, ORANGE, label, say, styled

_COLOURS = (BLUE, ORANGE)
NOTHING = "The machine was too busy to time any of these."
Lines = Sequence[Mapping[str, Any]]


def recorded(name: str) -> dict[str, Any]:
    """The table of the target `name` that lies in assets/, or nothing."""
    found = read_object(recorded_file("methods", name))
    try:
        return found if found["lines"] and found["target"]["sha256"] else {}
    except (KeyError, TypeError):
        return {}


def _setting(line: Mapping[str, Any]) -> str:
    """Drafter, γ, and what differs from Leviathan's algorithm."""
    words = [f"{line['drafter']}, γ {line['gamma']}"]
    words += [line[k] for k, usual in (("rule", "token"), ("lengths", "constant")) if line[k] != usual]
    words += [f"rollback {line['rollback']:g}"] * (line["rollback"] > 0)
    return ", ".join(words)


def _times(line: Mapping[str, Any]) -> str:
    if line["measured_speedup"] is None:
        return "too busy to time"
    low, high = line["speedup_interval"]
    return f"{line['measured_speedup']:.2f}× ({low:.2f} to {high:.2f})"


def figure(lines: Lines) -> go.Figure:
    """Measured speedup of each method with its interval, a colour a temperature; hollow where the text may change."""
    titles = list(dict.fromkeys(line["title"] for line in lines))
    made, timed = go.Figure(), [line for line in lines if line["measured_speedup"] is not None]
    for i, temperature in enumerate(sorted({line["temperature"] for line in timed})):
        some = [line for line in timed if line["temperature"] == temperature]
        made.add_scatter(
            x=[line["measured_speedup"] for line in some],
            y=[line["title"] for line in some],
            name=f"T = {temperature:g}",
            mode="markers",
            marker={
                "color": _COLOURS[i % len(_COLOURS)],
                "symbol": [("circle", "diamond")[i % 2] + "-open" * (not line["lossless"]) for line in some],
                "size": 10,
            },
            error_x={
                "array": [line["speedup_interval"][1] - line["measured_speedup"] for line in some],
                "arrayminus": [line["measured_speedup"] - line["speedup_interval"][0] for line in some],
                "thickness": 1,
                "width": 3,
            },
            hovertext=[
                f"{line['title']} ({label(_setting(line), 60)}): {_times(line)}, {line['tau']:.2f} tokens a call"
                for line in some
            ],
            hoverinfo="text",
        )
    styled(made, "times as fast as plain", "", height=110 + 26 * len(titles))
    if not timed:
        return say(made, NOTHING)
    made.add_vline(x=1, line={"color": GREY, "width": 1, "dash": "dash"})
    made.update_yaxes(categoryorder="array", categoryarray=titles[::-1], automargin=True, title=None)
    return made.update_xaxes(rangemode="tozero")


def words(lines: Lines) -> str:
    """The fastest exact method at each temperature, in a sentence."""
    said = []
    for temperature in sorted({line["temperature"] for line in lines}):
        exact = [x for x in lines if x["temperature"] == temperature and x["lossless"] and x["measured_speedup"]]
        if exact:
            best = max(exact, key=lambda x: x["measured_speedup"])
            said.append(f"at T = {temperature:g} {best['title'].lower()} ({_setting(best)}), {_times(best)}")
    return f"Fastest of the exact methods: {'; '.join(said)}." if said else NOTHING


def table_html(lines: Lines) -> str:
    """The table, with what each paper reports of its own setting beside what was measured here."""
    body = []
    for line in sorted(lines, key=lambda x: x["temperature"]):
        p = line["published"]
        paper = f"{p['figure']} ({p['paper']}: {p['setting']}{'; from memory' if p['memory'] else ''})" if p else "–"
        exact = "yes" if line["lossless"] else f"≠ {line['texts_changed'] or 0:.0%} of texts changed"
        tested = "–" if line["accepted_tested"] is None else f"{line['accepted_tested']:.0%}"
        cells = (f"{line['temperature']:g}", _setting(line), f"{line['tau']:.2f}", tested,
                 f"{line['target_calls'] / line['articles']:.1f}", _times(line), exact, paper)  # fmt: skip
        tds = "".join(f"<td>{escape(c)}</td>" for c in cells)
        body.append(f"<tr><th scope='row'>{escape(line['title'])}</th>{tds}</tr>")
    heads = ("method", "T", "fastest setting", "τ", "kept of the tested", "calls an article", "measured", "exact",
             "published, elsewhere")  # fmt: skip
    head = "".join(f"<th scope='col'>{h}</th>" for h in heads)
    return (
        '<div class="fl-league fl-methods" tabindex="0" role="region" aria-label="Table of methods">'
        f'<table class="fl-table"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def header_html(result: Mapping[str, Any]) -> str:
    """What was measured, on what, over how much."""
    return (
        '<div class="fl-lab-intro"><p><b>Which method pays here?</b> Every method on the same articles by turns; of '
        "each, the setting that was fastest on one half of them, measured on the other. Hollow: the text may be "
        f'another.</p><p class="fl-recorded"><b>Recorded, not live:</b> {result["articles"]} articles, '
        f"{escape(str(result.get('finished', ''))[:10])}, {escape(str(result.get('machine', '')))}, engine "
        f"{escape(str(result.get('engine', '')))}.</p></div>"
    )
