"""Components that several tabs share, each with the settings that make it look the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from fastllm.ui.examples import load_examples

# Of an event that only the page itself needs: at once, without a spinner, and no part of the API.
HIDDEN: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

# A button begins something and its Stop can be pressed: said in the browser, so that nothing waits for the server.
BEGUN = """() => [{__type__: 'update', interactive: false}, {__type__: 'update', interactive: true}]"""


def html(value: str, elem_id: str | None = None, **settings) -> gr.HTML:
    """HTML of ours, without Gradio's own look."""
    # The label is not shown; it names the value for those who use the page as an API. A small letter would make it a
    # key of Gradio's own translations.
    label = (elem_id or "").capitalize()
    return gr.HTML(value, label=label, elem_id=elem_id, js_on_load=None, apply_default_css=False, **settings)


def title(text: str) -> gr.HTML:
    """The heading of a figure."""
    return html(f'<p class="fl-chart-title">{escape(text)}</p>')


def slider(
    low: float, high: float, value: float, label: str, elem_id: str, step: float = 1, min_width: int = 130, **settings
) -> gr.Slider:
    """A slider with its number beside it, and no button to reset it."""
    return gr.Slider(
        low, high, value, step=step, label=label, elem_id=elem_id, min_width=min_width, buttons=[], **settings
    )


def plot(figure: go.Figure, elem_id: str, **settings) -> gr.Plot:
    """A plotly figure without a frame."""
    return gr.Plot(figure, show_label=False, container=False, elem_id=elem_id, **settings)


def panel(heading: str, figure: go.Figure, elem_id: str, **column) -> gr.Plot:
    """A figure with its heading, in a column of its own."""
    with gr.Column(elem_classes="fl-panel", **column):
        title(heading)
        return plot(figure, elem_id, elem_classes="fl-plot")


def article(elem_id: str, lines: int, example: str = "", **settings) -> gr.Textbox:
    """The box of the article, which holds our example of that topic, or the first."""
    examples = load_examples()
    value = next((e.text for e in examples if e.topic == example), examples[0].text if examples else "")
    return gr.Textbox(value, label="Article", lines=lines, max_lines=lines, elem_id=elem_id, **settings)


def seed(elem_id: str | None = None, min_width: int = 120) -> gr.Number:
    """The seed of a run."""
    return gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, elem_id=elem_id, min_width=min_width)


def redraw(choices: Sequence[Any], show: Callable, outputs: Sequence[gr.components.Component]) -> None:
    """Show what was recorded anew when any choice changes: no model, so no queue."""
    for choice in choices:
        choice.interactive = True  # which its event does not tell where it is rendered later
    gr.on(
        [c.change for c in choices],
        show,
        list(choices),
        list(outputs),
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
