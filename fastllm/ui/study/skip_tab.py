"""The part of the study tab about what a target leaves out to draft for itself. Runs no model."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from fastllm.ui import parts, render
from fastllm.ui.study import skip_view
from fastllm.ui.study.records import Records


def build(of: Records, folder: Path | None = None, end: str = "") -> None:
    """The section's components, inside the current Blocks; nothing where nothing was searched. `folder`: what
    ``train skip`` wrote; None is that of the target's drafters."""
    if folder is None and of.preset.drafters:
        folder = Path(of.preset.drafters) / "self"
    found = skip_view.recorded(folder)
    if not found:
        return
    with gr.Accordion("What the target leaves out to draft for itself", open=False):
        if of.sha256 and found["target_sha256"] != of.sha256:
            parts.html(render.notices_html(["It was found for other weights of this target."]))
        parts.html(f'<p class="fl-lab-intro">{render.escape(skip_view.words(found))}</p>', f"skip-words{end}")
        parts.html(skip_view.grid_html(found), f"skip-grid{end}")
