"""A result belongs to the settings that it was made with: when one of them changes, it is dimmed and says so.

All of it happens in the browser. A result is a block whose elem_id is given; whatever in it has the class `fl-owned` is
dimmed while the block has the class `fl-stale` (assets/style.css).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from fastllm.ui import parts

# What the result was made with is kept on the element; a result that a run did not make is nobody's.
_TAKE = """(...settings) => {
  const box = document.querySelector(SELECTOR);
  box.dataset.madeWith = JSON.stringify(settings);
  box.dataset.madeBy = MAKER;
  box.classList.remove('fl-stale');
}"""
_COMPARE = """(...settings) => {
  const box = document.querySelector(SELECTOR);
  if (!box?.dataset.madeWith || box.dataset.madeBy !== MAKER) return;
  box.classList.toggle('fl-stale', box.dataset.madeWith !== JSON.stringify(settings));
}"""
# A run that was refused left the result of an earlier one, which had other settings.
_CHECK = """() => {
  const box = document.querySelector(SELECTOR);
  if (!document.querySelector(REFUSED)) return;
  box.dataset.madeWith = 'refused';
  box.classList.add('fl-stale');
}"""


def _for(js: str, elem_id: str, maker: str, refused: str = "") -> str:
    js = js.replace("SELECTOR", json.dumps(f"#{elem_id}")).replace("MAKER", json.dumps(maker))
    return js.replace("REFUSED", json.dumps(refused))


def stale_note() -> gr.HTML:
    """The words that a result shows when it is no longer that of the settings."""
    return parts.html('<p class="fl-stale-note" role="status">Settings changed: run again.</p>')


def owned(
    elem_id: str,
    settings: Sequence[Any],
    runs: Sequence[gr.Button],
    ends: Sequence[gr.events.Dependency],
    refused: str,
    maker: str = "",
) -> None:
    """Tie the result `elem_id` to the components `settings`: `runs` are the buttons that make it anew, `ends` the
    events after which it is there; `refused` selects what is on the page only where a run was refused. Where a result
    can be made in several ways, each has its own settings, call and name, `maker`: only the settings that it was made
    with count."""
    inputs = list(settings)
    for button in runs:
        button.click(None, inputs, js=_for(_TAKE, elem_id, maker), **parts.HIDDEN)
    for end in ends:
        end.then(None, None, js=_for(_CHECK, elem_id, maker, refused), **parts.HIDDEN)
    gr.on([c.change for c in inputs], None, inputs, js=_for(_COMPARE, elem_id, maker), **parts.HIDDEN)
