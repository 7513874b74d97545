"""The benchmark's part of the study tab: recorded speed and acceptance by draft length. Runs no model."""

from __future__ import annotations

import gradio as gr

from fastllm.drafters import outdated
from fastllm.ui import parts, render
from fastllm.ui.study import benchmark_view, bild_view, calls_view
from fastllm.ui.study.parts import multiples
from fastllm.ui.study.records import Records
from fastllm.ui.watch.expected import recorded


def build(of: Records, benchmark: dict | None = None, curve: dict | None = None, end: str = "") -> None:
    """The section's components and events, inside the current Blocks; one sentence where nothing was recorded. `end`
    makes the elements' ids different."""
    benchmark = recorded(of.preset.name, of.benchmark.parent) if benchmark is None else benchmark
    if not benchmark.get("rows"):
        parts.html(render.notices_html(["There is no recorded benchmark: `make evaluate` makes one."]))
        return
    parts.html(benchmark_view.header_html(benchmark))
    if of.sha256 and benchmark.get("target", {}).get("sha256") != of.sha256:
        parts.html(render.notices_html(["It was recorded with another target than this page's."]))
    elif words := render.earlier_weights(outdated(of.preset, benchmark_view.hashes(benchmark))):
        parts.html(render.notices_html([words]))
    temperatures, variants = benchmark_view.temperatures(benchmark), benchmark_view.variants(benchmark)
    with gr.Row(elem_classes="fl-controls"):
        temperature = gr.Radio(
            [(f"{t:g}", t) for t in temperatures],
            value=temperatures[0],
            label="Temperature",
            elem_id=f"bench-t{end}",
        )
        variant = gr.Radio(
            variants, value=variants[0] if variants else None, label="Drafters", elem_id=f"bench-variant{end}",
            visible=len(variants) > 1,
        )  # fmt: skip

    def show(temperature: float, variant: str | None) -> tuple:
        found = benchmark_view.series(benchmark, temperature, variant or "")
        return (
            f'<p class="fl-lab-intro">{render.escape(benchmark_view.words(found))}</p>',
            benchmark_view.speed_html(found),
            benchmark_view.position_html(found),
        )

    first = show(temperature.value, variant.value)
    said = parts.html(first[0], f"bench-words{end}")
    speed, positions = (
        multiples(title, html, f"bench-{name}{end}")
        for title, html, name in (
            ("Speedup by draft length", first[1], "speed"),
            ("Refused of the tested at each place in the draft, longest drafts", first[2], "positions"),
        )
    )
    if quality := benchmark.get("bild"):
        parts.html(f'<p class="fl-lab-intro">{render.escape(bild_view.words(quality))}</p>', f"bild-words{end}")
        with gr.Row(elem_classes="fl-lab"):
            for value, heading, title in (
                ("rougeL", "Big Little Decoder: quality against speed", "ROUGE-L"),
                ("texts_changed", "Big Little Decoder: changed texts against speed", "% of texts changed"),
            ):
                drawn = bild_view.figure(quality, value, title)
                parts.panel(heading, drawn, f"bild-{value}{end}", scale=1, min_width=320)
    if peers := calls_view.peers_html(benchmark.get("peers") or []):
        parts.html(peers, f"bench-peers{end}")
    curve = calls_view.recorded(of.preset.name) if curve is None else curve
    if curve and of.sha256 in ("", curve.get("sha256")):
        parts.html(f'<p class="fl-lab-intro">{render.escape(calls_view.words(curve))}</p>', f"calls-words{end}")
        parts.panel("A target call by the tokens it scores", calls_view.figure(curve), f"calls{end}")
    parts.redraw([temperature, variant], show, [said, speed, positions])
