"""The methods' part of the study tab: all methods of a target against each other, as recorded. Runs no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastllm.ui import parts, render
from fastllm.ui.study import methods_view
from fastllm.ui.study.records import Records


def build(of: Records, result: Mapping[str, Any] | None = None, end: str = "") -> None:
    """The section's components, inside the current Blocks; nothing where nothing was recorded. `end` makes the
    elements' ids different."""
    found = methods_view.recorded(of.preset.name) if result is None else result
    if not found:
        return
    lines = found["lines"]
    parts.html(methods_view.header_html(found))
    if of.sha256 and found["target"]["sha256"] != of.sha256:
        parts.html(render.notices_html(["It was recorded with other weights of this target."]))
    parts.html(f'<p class="fl-lab-intro">{render.escape(methods_view.words(lines))}</p>', f"methods-words{end}")
    parts.panel("Methods against each other", methods_view.figure(lines), f"methods-figure{end}")
    parts.html(methods_view.table_html(lines), f"methods-table{end}")
