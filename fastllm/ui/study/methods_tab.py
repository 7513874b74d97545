"""The methods' part of the study tab: all methods of a target against each other, as recorded. Runs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from fastllm.config import PRESETS
from fastllm.targets.base import Target
from fastllm.ui import parts, render
from fastllm.ui.study import methods_view


def build(target: Target, recorded: Mapping[str, dict[str, Any]] | None = None) -> None:
    """The section's components and events, inside the current Blocks; nothing where nothing was recorded.

    Args:
        recorded: results by target; None reads those of the presets in assets/.
    """
    if recorded is None:
        recorded = {name: found for name in PRESETS if (found := methods_view.recorded(name))}
    if not recorded:
        return
    here = target.preset.name if target.preset.name in recorded else next(iter(recorded))
    chosen = gr.Radio(
        list(recorded), value=here, label="Target of the methods", elem_id="methods-target", visible=len(recorded) > 1
    )

    def show(name: str) -> Sequence[Any]:
        result = recorded[name if name in recorded else here]
        lines = result["lines"]
        stale = name == target.preset.name and result["target"]["sha256"] != target.sha256
        note = render.notices_html(["It was recorded with other weights of this target."]) if stale else ""
        said = f'{note}<p class="fl-lab-intro">{render.escape(methods_view.words(lines))}</p>'
        return methods_view.header_html(result) + said, methods_view.figure(lines), methods_view.table_html(lines)

    words, figure, table = show(here)
    about = parts.html(words, "methods-words")
    drawn = parts.panel("Methods against each other", figure, "methods-figure")
    rows = parts.html(table, "methods-table")
    parts.redraw([chosen], show, [about, drawn, rows])
