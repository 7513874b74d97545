"""The tab of the recorded study: rejections over many articles, by kind, drafter and draft position. Runs no model."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from fastllm.analysis import study as studies
from fastllm.drafters import outdated
from fastllm.targets.base import Target
from fastllm.ui import parts, render
from fastllm.ui.study import view as study_view


def build(target: Target, file: Path = studies.FILE) -> None:
    """The tab's components and events, inside the current Blocks; one sentence where there is no study."""
    try:
        study = studies.from_file(file)
    except studies.StudyError as error:
        parts.html(render.notices_html([str(error)]))
        return
    parts.html(study_view.header_html(study))
    if study.target_hash != target.sha256:
        parts.html(render.notices_html([f"It was recorded with another target than this page's: {study.target}."]))
    elif words := render.earlier_weights(outdated(target.preset, {g.drafter: g.drafter_hash for g in study.groups})):
        parts.html(render.notices_html([words]))
    temperatures, gammas = study_view.choices(study)
    with gr.Row(elem_classes="fl-controls"):
        temperature = gr.Radio(
            [(f"{t:g}", t) for t in temperatures],
            value=temperatures[-1],
            label="Temperature",
            elem_id="study-temperature",
        )
        gamma = gr.Radio(gammas, value=gammas[0], label="Draft length γ", elem_id="study-gamma")

    def show(temperature: float, gamma: int) -> tuple:
        groups = study_view.chosen(study, temperature, gamma)
        return (
            f'<p class="fl-lab-intro">{render.escape(study_view.say(groups))}</p>',
            study_view.by_kind(groups),
            study_view.refused_of_kind(groups),
            study_view.by_position(groups),
            study_view.missed_html(groups),
        )

    first = show(temperatures[-1], gammas[0])
    said = parts.html(first[0], "study-words")
    kinds = parts.panel("Kinds of the rejections of each drafter", first[1], "study-kinds")
    with gr.Row(elem_classes="fl-lab"):
        rates = parts.panel(
            "How hard each kind is: refused of the tested tokens of that kind",
            first[2],
            "study-rates",
            scale=1,
            min_width=320,
        )
        positions = parts.panel(
            "Refused of the tested at each place in the draft", first[3], "study-positions", scale=1, min_width=320
        )
    missed = parts.html(first[4], "study-missed")
    parts.redraw([temperature, gamma], show, [said, kinds, rates, positions, missed])
