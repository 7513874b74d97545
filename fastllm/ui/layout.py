"""The page: its header and its tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from fastllm.targets.base import Target
from fastllm.ui import limits, parts, render, stage
from fastllm.ui.lab import tab as lab_tab
from fastllm.ui.league import tab as league_tab
from fastllm.ui.private import PrivateBlocks
from fastllm.ui.study import tab as study_tab
from fastllm.ui.targets import Targets
from fastllm.ui.watch import tab as watch
from fastllm.ui.whatif import tab as whatif_tab

QUEUE_SIZE = 64


# Each tab's name and the function that puts its components into it and returns what other tabs need of it. A further
# tab is one more line.
TABS: tuple[tuple[str, Callable[[stage.Stage], Any]], ...] = (
    ("Watch", watch.build),
    ("League", league_tab.build),
    ("Lab", lab_tab.build),
    ("What if", whatif_tab.build),
    ("Study", study_tab.build),
)

# Both are in the address, so that a link and a reload bring them back; Gradio itself reads __theme.
_TOGGLE_DARK = """() => {
  const query = new URLSearchParams(location.search);
  query.set('__theme', document.body.classList.toggle('dark') ? 'dark' : 'light');
  history.replaceState(history.state, '', `${location.pathname}?${query}${location.hash}`);
}"""
_TABS = """() => {
  const box = document.querySelector('.fl-tabs');
  const slug = (tab) => tab.textContent.trim().toLowerCase().replace(/ /g, '-');
  const all = () => [...box.querySelectorAll('button[role=tab]')];
  const asked = new URLSearchParams(location.search).get('tab');
  if (asked) all().find((tab) => slug(tab) === asked.toLowerCase())?.click();
  new MutationObserver(() => {
    const chosen = all().find((tab) => tab.getAttribute('aria-selected') === 'true');
    const query = new URLSearchParams(location.search);
    const name = chosen && chosen !== all()[0] ? slug(chosen) : null;
    if (name === query.get('tab')) return;
    if (name) query.set('tab', name);
    else query.delete('tab');
    history.replaceState(history.state, '', `${location.pathname}?${query}${location.hash}`);
  }).observe(box, {subtree: true, attributes: true, attributeFilter: ['aria-selected']});
}"""
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
    """The page, started with one target, with its queue set up."""
    with PrivateBlocks(
        title="FastLLM: speculative decoding, seen",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(limits.CACHE_SECONDS, limits.CACHE_SECONDS),
    ) as page:
        # The page's states (teacher view, veiled) are classes of this column: Gradio's own prefix of every rule in a
        # style sheet leaves out whatever hangs on the body.
        with gr.Column(elem_id="fastllm"):
            with gr.Row(elem_classes="fl-header"):
                parts.html(render.header_html())
                on = stage.build(Targets(target))
                teacher = gr.Button("Teacher view", size="sm", elem_classes="fl-view", min_width=90, scale=0)
                dark = gr.Button("Light / dark", size="sm", elem_classes="fl-dark", min_width=90, scale=0)
            stage.wire(on, page)
            built: dict[str, Any] = {}
            with gr.Tabs(elem_classes="fl-tabs") as tabs:
                for name, build_tab in TABS:
                    with gr.Tab(name, id=name):
                        parts.html(f'<h2 class="fl-unseen">{name}</h2>', elem_classes="fl-heading")
                        built[name] = build_tab(on)
            whatif_tab.follow(built["Watch"], built["What if"], tabs, "What if")
            lab_tab.follow(built["Watch"], built["Lab"], on, tabs, "Lab")
        dark.click(None, js=_TOGGLE_DARK, **parts.HIDDEN)
        teacher.click(None, js=_TOGGLE_TEACHER, **parts.HIDDEN)
        page.load(None, js=_OPEN_TEACHER, **parts.HIDDEN)
        page.load(None, js=_TABS, **parts.HIDDEN)
    return page.queue(max_size=QUEUE_SIZE)
