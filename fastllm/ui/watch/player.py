"""The player: one component that draws a run, plays it in the browser and looks into its tokens. Files: assets/player/.

It sends four events: ``open_trace`` with the text of a file that the viewer chose, ``open_recording`` with the name of
a packaged one, ``what_if`` with a run's trace and a token of it, ``to_lab`` with its article and settings. Everything
else happens in the browser, on steps already received.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import gradio as gr
from anyio import to_thread

from fastllm import export
from fastllm.analysis import rejections
from fastllm.config import ASSETS
from fastllm.trace import MAX_BYTES, Trace, TraceError, from_json
from fastllm.ui import render
from fastllm.ui.theme import INSPECTOR_SHEET, PLAYER_SHEET, STATUSES, STYLE_SHEET, TINT, variables
from fastllm.ui.watch import messages, recordings, scripts
from fastllm.ui.watch.methods import LOSSY

FOLDER = ASSETS / "player"
# What the scope holds before the modules: Gradio's arguments, and what `script` writes. Those that the modules use are
# declared for them in assets/player/globals.d.ts.
GIVEN = ("element", "trigger", "props", "server", "upload", "watch", "CONFIG", "SKELETON")


@dataclass(frozen=True)
class Export:
    """A form in which a run can be saved besides its trace; its button stands beside "Save this run"."""

    key: str
    label: str
    suffix: str
    type: str
    write: Callable[[Trace], str]


def to_page(trace: Trace) -> str:
    """The page of :func:`fastllm.export.to_html` with this player in it: it plays from a file, without a network."""
    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {variables(True)} }} }}"
    sheets = "".join(sheet.read_text(encoding="utf-8") for sheet in (STYLE_SHEET, PLAYER_SHEET, INSPECTOR_SHEET))
    style = f":root {{ --fl-tint: {TINT:.0%}; {variables(False)} }} {dark}\n{sheets}{_ALONE}"
    return export.to_html(trace, export.Playing(style, messages.replay(trace), _FRAME.format(script(alone=True))))


# On a page of its own the player has no server and nothing to save: Gradio's arguments are stood in for.
_ALONE = ".fl-files { display: none !important; } .plays { overflow: visible; padding-top: 12px; }"
_FRAME = """(() => {{
"use strict";
document.body.classList.add("playing");
const element = document.querySelector("#player");
const props = {{ value: document.querySelector("#run").textContent }};
const [server, trigger, watch] = [{{}}, () => {{}}, () => {{}}];
{}
}})();"""


EXPORTS: tuple[Export, ...] = (
    Export("page", "As a web page", ".html", "text/html", to_page),
    Export("tokens", "Tokens as CSV", "-tokens.csv", "text/csv", export.to_csv),
)


async def export_run(asked: dict) -> dict[str, str]:
    """The trace in `asked["text"]`, which is not trusted, in the form `asked["key"]`: {"text": ...}, or {"error": a
    sentence}. The browser calls it; what it is sent is stored nowhere."""
    key, text = (asked.get("key"), asked.get("text")) if isinstance(asked, dict) else (None, None)
    form = next((e for e in EXPORTS if e.key == key), None)
    if form is None or not isinstance(text, str):
        return {"error": "There is no such form to save a run in."}
    try:
        return {"text": await to_thread.run_sync(lambda: form.write(from_json(text)))}
    except TraceError as error:
        return {"error": str(error)}


async def export_rows(asked: dict) -> dict[str, str]:
    """The rejections of the trace in `asked["text"]` that stand at the [step, place] pairs, from 0, of `asked["rows"]`,
    as CSV in that order; answers and trust as of :func:`export_run`."""
    text, rows = (asked.get("text"), asked.get("rows")) if isinstance(asked, dict) else (None, None)
    if not isinstance(text, str) or not isinstance(rows, list):
        return {"error": "There is no such table to save."}
    wanted = [tuple(r) for r in rows if isinstance(r, list) and len(r) == 2 and all(type(n) is int for n in r)]
    try:
        return {"text": await to_thread.run_sync(lambda: rejections.to_csv(rejections.picked(from_json(text), wanted)))}
    except TraceError as error:
        return {"error": str(error)}


def sources() -> dict[str, str]:
    """The modules of the player: file to text."""
    return {f.name: f.read_text(encoding="utf-8") for f in sorted(FOLDER.glob("*.js"))}


@cache
def _modules() -> str:
    return "\n".join(scripts.bodies(sources(), given=GIVEN).values())


def script(alone: bool = False) -> str:
    """The component's script: its configuration and markup as constants, then its modules, in one function's scope.
    `alone`: for a page without a server and other tabs."""
    config = {
        "alone": alone,
        "statuses": {s.name: {"glyph": s.glyph} for s in STATUSES.values()},
        "figures": [{"name": name, "why": why} for name, why in render.figure_names()],
        "why": {key: render.GLOSSARY[key][1] for key in ("race", "residual", "p and q")},
        "charts": {key: render.GLOSSARY[key] for key in ("positions", "timeline")},
        "kinds": rejections.KINDS,
        "context": rejections.CONTEXT,
        "fields": json.loads((FOLDER / "fields.json").read_text(encoding="utf-8")),
        "lossy": LOSSY,
        "exports": [{"key": e.key, "label": e.label, "suffix": e.suffix, "type": e.type} for e in EXPORTS],
        "recordings": [{"name": r.name, "title": r.title} for r in recordings.listed()],
        "maxBytes": MAX_BYTES,
    }
    skeleton = (FOLDER / "player.html").read_text(encoding="utf-8")
    constants = [f"const CONFIG = {json.dumps(config)};", f"const SKELETON = {json.dumps(skeleton)};"]
    # Nothing in it may look like the end of a script to an HTML parser.
    return "\n".join(['"use strict";', *constants, _modules()]).replace("</", "<\\/")


class Player(gr.HTML):
    """A run in the browser. Its value is a message of fastllm/ui/messages.py, or ""."""

    def __init__(self, value: str = "", **kwargs) -> None:
        super().__init__(
            value,
            # No ${value} in it: Gradio never redraws it, the script appends to it.
            html_template='<div class="fl-player"></div>',
            js_on_load=script(),
            apply_default_css=False,
            server_functions=[export_run, export_rows],
            **kwargs,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": "string", "description": "a message to the player, as JSON"}

    def example_payload(self) -> str:
        return ""

    def example_value(self) -> str:
        return ""
