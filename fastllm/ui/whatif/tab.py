"""The tab of what-if: a trace, a position, three settings, and the verdict. No model is used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import gradio as gr

from fastllm.analysis.whatif import MOST_TOKENS, WhatIfError, places, what_if
from fastllm.inspection import TEMPERATURES
from fastllm.targets.base import Target
from fastllm.trace import Article, Trace, TraceError, from_json
from fastllm.ui import parts, render
from fastllm.ui.stage import Stage
from fastllm.ui.uploads import read_trace
from fastllm.ui.watch import recordings
from fastllm.ui.watch.player import Player
from fastllm.ui.whatif import view as whatif_view
from fastllm.visible import visible


def slim(trace: Trace) -> Trace:
    """The trace without what no what-if needs: article, summary text, baseline. This is what a session keeps."""
    return dataclasses.replace(trace, article=Article("", trace.article.tokens, trace.article.cut), text="", plain=None)


@cache
def offered() -> tuple[recordings.Recording, ...]:
    """The packaged runs that the tab can say something of: those that were judged token by token."""
    return tuple(r for r in recordings.listed() if recordings.load(r.name).rule == "token")


def build(stage: Stage) -> list[Any]:
    """The tab's components and events, inside the current Blocks. Returns what an opened run fills, for `follow`."""
    names = [(r.title, r.name) for r in offered()]
    kept = gr.State(None)
    parts.html(whatif_view.INTRO)
    with gr.Row(elem_classes="fl-lab"):
        with gr.Column(scale=4, min_width=320, elem_classes="fl-panel"):
            choice = gr.Dropdown(names, value=None, label="A recorded run", elem_id="whatif-run")
            file = gr.UploadButton(
                "Or open a saved trace …", file_types=[".json"], type="filepath", elem_id="whatif-file", size="sm"
            )
            place = gr.Dropdown([], label="Draft token", elem_id="whatif-place", allow_custom_value=False)
            temperature = gr.Radio(
                temperatures(), value=1.0, label="Temperature", elem_id="whatif-temperature", min_width=130
            )
            top_p = parts.slider(0.05, 1, 1, "Top-p", "whatif-top-p", 0.05)
            lenience = parts.slider(0.05, 1, 1, "Lenience", "whatif-lenience", 0.05)
        with gr.Column(scale=7, min_width=320, elem_classes="fl-panel"):
            answer = parts.html(whatif_view.EMPTY, "whatif-answer")
    settings: list[Any] = [temperature, top_p, lenience]
    opened = [kept, place, *settings, answer]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def ask(trace, where, temperature, top_p, lenience, name):
        return answer_for(trace, where, temperature, top_p, lenience, stage.targets.of(name))

    gr.on([choice.input], open_packaged, choice, opened, **quiet)
    file.upload(open_upload, file, opened, **quiet)
    gr.on(
        [place.change, *(s.change for s in settings)],
        ask,
        [kept, place, *settings, stage.loaded],
        answer,
        queue=False,
        trigger_mode="always_last",
        **quiet,
    )
    return opened


def follow(player: Player, opened: list[Any], tabs: gr.Tabs, own: str) -> None:
    """Let the player's inspector ask about its token: the tab `own` of `tabs` opens with that run and token."""

    def asked(event: gr.EventData) -> tuple:
        return *open_asked(event._data), gr.Tabs(selected=own)

    player.what_if(asked, None, [*opened, tabs], **parts.HIDDEN)


def temperatures(own: float = 1.0) -> list[tuple[str, float]]:
    """What can be asked: greedy, the temperatures that runs are summed up at, and the run's `own`."""
    return [(f"{t:g}", t) for t in sorted({0.0, *TEMPERATURES, own})]


def open_packaged(name: str) -> tuple:
    """A packaged run was chosen."""
    return _opened(lambda: recordings.load(name))


def open_upload(path: str) -> tuple:
    """A file was uploaded: it is read and deleted."""
    return _opened(lambda: read_trace(path))


def open_asked(asked: Any) -> tuple:
    """The run that the player shows, and one of its tokens: {"text": a trace, "step", "offset"}, not to be trusted."""
    known = asked if isinstance(asked, dict) else {}
    text = known.get("text")
    return _opened(
        lambda: from_json(text if isinstance(text, str) else ""), f"{known.get('step')}:{known.get('offset')}"
    )


def _opened(read: Callable[[], Trace], wanted: str = "") -> tuple:
    """Trace for the session, list of places, sliders at the run's settings, first answer; or one sentence. The answer
    is that of the place `wanted` (``step:offset``) or, where that is none, of the first rejection."""
    try:
        trace = slim(read())
        found = places(trace)
        if trace.rule != "token":
            raise TraceError(
                f"This run was judged by the rule {visible(trace.rule)!r}, and what-if knows the arithmetic of the "
                "rule 'token' only: open a run that was judged token by token."
            )
        if not found:
            raise TraceError("This run has no tested draft token (plain decoding drafts none): open another one.")
    except ValueError as error:
        return (*[gr.skip()] * 5, render.notices_html([str(error)], error=True))
    token = [trace.steps[p.step].draft[p.offset] for p in found]
    choices = [
        (whatif_view.place_name(p, trace.eos_ids, t.id), f"{p.step}:{p.offset}")
        for p, t in zip(found, token, strict=True)
    ]
    refused = [f"{p.step}:{p.offset}" for p in found if p.status == "rejected"]
    first = wanted if wanted in [where for _, where in choices] else (refused or [choices[0][1]])[0]
    return (
        trace,
        gr.Dropdown(choices=choices, value=first),
        gr.Radio(choices=temperatures(trace.temperature), value=trace.temperature),
        max(0.05, trace.top_p),
        1,
        answer_for(trace, first, trace.temperature, trace.top_p, 1),
    )


def answer_for(
    trace: Trace | None, where: str | None, temperature, top_p, lenience, target: Target | None = None
) -> str:
    """The answer at `where` (``step:offset``), as HTML; a question without an answer becomes a sentence."""
    if trace is None or not where:
        return whatif_view.EMPTY
    try:
        found = next((p for p in places(trace) if f"{p.step}:{p.offset}" == where), None)
        if found is None:
            raise WhatIfError("There is no such token in this trace: choose one from the list.")
        for value in (temperature, top_p, lenience):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise WhatIfError("A setting is empty: give a number.")
        most = target.vocab_size if target and target.sha256 == trace.target_hash else MOST_TOKENS
        asked = float(temperature), float(top_p), float(lenience)
        before = what_if(trace, found.step, found.offset, trace.temperature, trace.top_p)
        after = what_if(trace, found.step, found.offset, *asked, most)
    except ValueError as error:
        return render.notices_html([str(error)], error=True)
    return whatif_view.answer_html(trace, found, before, after, asked)
