"""What a target call costs by the tokens that it scores, on each engine, and other people's decoders. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from fastllm.config import ASSETS
from fastllm.recorded import read_object
from fastllm.ui.plots import BLUE, GREY, ORANGE, styled

FILE = ASSETS / "calls.json"
LOOKS = {"onnx": ("ONNX Runtime", BLUE, "circle"), "torch": ("torch", ORANGE, "square")}


def recorded(name: str) -> dict[str, Any]:
    """The curve of the target `name` that lies in assets/, or nothing."""
    return read_object(FILE).get(name, {})


def words(curve: Mapping[str, Any]) -> str:
    """The curve in a sentence: the price of five and of nine tokens, and how near the floor a single one is."""
    lengths = curve["lengths"]
    parts = []
    for name, ms in curve["ms"].items():
        at = dict(zip(lengths, ms, strict=True))
        parts.append(
            f"{LOOKS[name][0]} scores one token in {at[1]:.1f} ms, five in {at[5] / at[1]:.2f} and nine in "
            f"{at[9] / at[1]:.2f} times that"
        )
    return (
        f"{'; '.join(parts)}. A call reads {curve['bytes'] / 1e6:.0f} MB of weights, which this machine's memory gives "
        f"in {curve['floor_ms']:.1f} ms ({curve['bandwidth'] / 1e9:.1f} GB/s): a further token costs little as long as "
        "the call waits for memory, and that is what speculative decoding lives from."
    )


def figure(curve: Mapping[str, Any]) -> go.Figure:
    """Milliseconds of a call by tokens scored, a line an engine, dashed the floor of the memory."""
    made = go.Figure()
    for name, ms in curve["ms"].items():
        title, colour, symbol = LOOKS[name]
        made.add_scatter(
            x=curve["lengths"],
            y=ms,
            name=title,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"symbol": symbol, "size": 8},
            hovertext=[
                f"{title}: {k} token{'s' * (k > 1)} scored in {x:.2f} ms, {x / ms[0]:.2f} times one"
                for k, x in zip(curve["lengths"], ms, strict=True)
            ],
            hoverinfo="text",
        )
    made.add_hline(
        y=curve["floor_ms"],
        line={"color": GREY, "width": 1, "dash": "dash"},
        annotation={"text": "weights read once", "font": {"color": GREY}},
    )
    styled(made, "tokens scored in one call", "ms", height=320)
    return made.update_yaxes(rangemode="tozero").update_xaxes(tickvals=list(curve["lengths"]))


def peers_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """The benchmark's comparison with other people's decoders as a table; nothing where it was not made."""
    if not rows:
        return ""
    threads = sorted({r["threads"] for r in rows})
    found = {(r["name"], r["threads"]): r for r in rows}
    head = "".join(f"<th scope='col'>{n} thread{'s' * (n > 1)}</th>" for n in threads)
    body = []
    for name in dict.fromkeys(r["name"] for r in rows):
        cells = []
        for n in threads:
            r = found.get((name, n))
            cells.append(f"<td>{r['ms_token']:.2f} ({r['texts_equal']}/{r['articles']})</td>" if r else "<td>–</td>")
        body.append(f"<tr><th scope='row'>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        '<div class="fl-lab-intro"><p><b>Beside other decoders:</b> milliseconds a token at T = 0, encoder or prompt '
        "included, everybody in turn on the same articles; in brackets how many texts are our plain decoding's.</p>"
        f'<table class="fl-table"><thead><tr><th scope="col">decoder</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
