"""The benchmark's part of the study tab: recorded speed and acceptance by draft length. Runs no model."""

from __future__ import annotations

import gradio as gr

from fastllm.drafters import outdated
from fastllm.targets.base import Target
from fastllm.ui import parts, render
from fastllm.ui.study import benchmark_view, bild_view, calls_view
from fastllm.ui.watch.expected import recorded


def build(target: Target, benchmark: dict | None = None, curve: dict | None = None) -> None:
    """The section's components and events, inside the current Blocks; one sentence where nothing was recorded."""
    benchmark = recorded(target.preset.name) or recorded() if benchmark is None else benchmark
    if not benchmark.get("rows"):
        parts.html(render.notices_html(["There is no recorded benchmark: `make evaluate` makes one."]))
        return
    parts.html(benchmark_view.header_html(benchmark))
    if benchmark.get("target", {}).get("sha256") != target.sha256:
        parts.html(render.notices_html(["It was recorded with another target than this page's."]))
    elif words := render.earlier_weights(outdated(target.preset, benchmark_view.hashes(benchmark))):
        parts.html(render.notices_html([words]))
    temperatures, variants = benchmark_view.temperatures(benchmark), benchmark_view.variants(benchmark)
    with gr.Row(elem_classes="fl-controls"):
        temperature = gr.Radio(
            [(f"{t:g}", t) for t in temperatures], value=temperatures[0], label="Temperature", elem_id="bench-t"
        )
        variant = gr.Radio(
            variants, value=variants[0] if variants else None, label="Drafters", elem_id="bench-variant",
            visible=len(variants) > 1,
        )  # fmt: skip

    def show(temperature: float, variant: str | None) -> tuple:
        found = benchmark_view.series(benchmark, temperature, variant or "")
        return (
            f'<p class="fl-lab-intro">{render.escape(benchmark_view.words(found))}</p>',
            benchmark_view.speed_figure(found),
            benchmark_view.position_figure(found),
        )

    first = show(temperature.value, variant.value)
    said = parts.html(first[0], "bench-words")
    with gr.Row(elem_classes="fl-lab"):
        speed = parts.panel("Speedup by draft length", first[1], "bench-speed", scale=1, min_width=320)
        positions = parts.panel(
            "Accepted of the tested at each place in the draft", first[2], "bench-positions", scale=1, min_width=320
        )
    if quality := benchmark.get("bild"):
        parts.html(f'<p class="fl-lab-intro">{render.escape(bild_view.words(quality))}</p>', "bild-words")
        with gr.Row(elem_classes="fl-lab"):
            for value, heading, title in (
                ("rougeL", "Big Little Decoder: quality against speed", "ROUGE-L"),
                ("texts_changed", "Big Little Decoder: changed texts against speed", "% of texts changed"),
            ):
                drawn = bild_view.figure(quality, value, title)
                parts.panel(heading, drawn, f"bild-{value}", scale=1, min_width=320)
    if peers := calls_view.peers_html(benchmark.get("peers") or []):
        parts.html(peers, "bench-peers")
    curve = calls_view.recorded(target.preset.name) if curve is None else curve
    if curve and curve.get("sha256") == target.sha256:
        parts.html(f'<p class="fl-lab-intro">{render.escape(calls_view.words(curve))}</p>', "calls-words")
        parts.panel("A target call by the tokens it scores", calls_view.figure(curve), "calls")
    parts.redraw([temperature, variant], show, [said, speed, positions])
