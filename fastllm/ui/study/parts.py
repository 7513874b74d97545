"""Components that both halves of Study share."""

from __future__ import annotations

import gradio as gr

from fastllm.ui import parts


def multiples(heading: str, html: str, elem_id: str) -> gr.HTML:
    """A panel of small multiples (multiples.py) with its heading."""
    with gr.Column(elem_classes="fl-panel"):
        parts.title(heading)
        return parts.html(html, elem_id)
