"""The page: its header and its tabs."""

from __future__ import annotations

import gradio as gr

from fastllm.target import Target
from fastllm.ui import benchmark_tab, lab_tab, league_tab, limits, parts, render, study_tab, watch, whatif_tab

QUEUE_SIZE = 64


def _study(target: Target) -> None:
    study_tab.build(target)
    benchmark_tab.build(target)


# Each tab's name and the function that puts its components into it. A further tab is one more line.
TABS = (
    ("Watch", watch.build),
    ("League", league_tab.build),
    ("Lab", lab_tab.build),
    ("What if", whatif_tab.build),
    ("Study", _study),
)

_TOGGLE_DARK = "() => { document.body.classList.toggle('dark'); }"
_TOGGLE_TEACHER = """() => {
  const query = new URLSearchParams(location.search);
  if (document.querySelector('#fastllm').classList.toggle('fl-teacher')) query.set('view', 'teacher');
  else query.delete('view');
  history.replaceState(history.state, '', `${location.pathname}?${query}${location.hash}`);
}"""
_OPEN_TEACHER = """() => {
  const view = new URLSearchParams(location.search).get('view');
  document.querySelector('#fastllm').classList.toggle('fl-teacher', view === 'teacher');
}"""


def build(target: Target) -> gr.Blocks:
    """The page for one target, with its queue set up."""
    with gr.Blocks(
        title="FastLLM: speculative decoding, seen",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(limits.CACHE_SECONDS, limits.CACHE_SECONDS),
    ) as page:
        # The page's states (teacher view, veiled) are classes of this column: Gradio's own prefix of every rule in a
        # style sheet leaves out whatever hangs on the body.
        with gr.Column(elem_id="fastllm"):
            with gr.Row(elem_classes="fl-header"):
                parts.html(render.header_html(target.preset.title))
                teacher = gr.Button("Teacher view", size="sm", elem_classes="fl-view", min_width=90, scale=0)
                dark = gr.Button("Light / dark", size="sm", elem_classes="fl-dark", min_width=90, scale=0)
            with gr.Tabs(elem_classes="fl-tabs"):
                for name, build_tab in TABS:
                    with gr.Tab(name):
                        build_tab(target)
        hidden = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        dark.click(None, js=_TOGGLE_DARK, **hidden)
        teacher.click(None, js=_TOGGLE_TEACHER, **hidden)
        page.load(None, js=_OPEN_TEACHER, **hidden)
    return page.queue(max_size=QUEUE_SIZE)
