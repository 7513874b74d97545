"""The tab of what was recorded: rejections over many articles, and speed by draft length. Runs no model."""

from __future__ import annotations

import gradio as gr

from fastllm.analysis import study as studies
from fastllm.drafters import outdated
from fastllm.ui import parts, render
from fastllm.ui.stage import Stage
from fastllm.ui.study import benchmark_tab, methods_tab, records, skip_tab
from fastllm.ui.study import view as study_view
from fastllm.ui.study.parts import multiples
from fastllm.ui.study.records import Records


def build(stage: Stage) -> None:
    """The tab's components and events, inside the current Blocks: both halves for each target that something was
    recorded of, of which one is seen. It follows the page's target where there is something of that.

    Of the first alone they are part of the page; any other's are sent when it is chosen.
    """
    found = records.of(stage.targets.first)
    names = [r.preset.name for r in found]
    if (own := stage.targets.first.preset.name) not in names:
        words = f"Nothing was recorded with this page's target, {own}: what follows was recorded with {names[0]}."
        parts.html(render.notices_html([words]))
    chosen = gr.Radio(
        names, value=names[0], label="Recorded with the target", elem_id="study-target", visible=len(names) > 1
    )
    with gr.Column() as box:
        halves(found[0])
    if len(names) > 1:
        chosen.change(lambda name: gr.update(visible=name == names[0]), chosen, box, **parts.HIDDEN)

        @gr.render(chosen, [chosen.change], queue=False, show_progress="hidden")
        def others(name: str) -> None:
            if name != names[0]:
                halves(found[names.index(name)], f"-{name}")

        follow = stage.loaded.change
        follow(lambda name: name if name in names else gr.skip(), stage.loaded, chosen, **parts.HIDDEN)


def halves(of: Records, end: str = "") -> None:
    """All that was recorded of one target; `end` makes the elements' ids different."""
    rejections(of, end)
    benchmark_tab.build(of, end=end)
    methods_tab.build(of, end=end)
    skip_tab.build(of, end=end)


def rejections(of: Records, end: str = "") -> None:
    """The half about rejections; one sentence where there is no study. `end` makes the elements' ids different."""
    if not of.study.is_file():
        parts.html(render.notices_html(["There is no recorded study of this target: `make study` makes one."]))
        return
    try:
        study = studies.from_file(of.study)
    except studies.StudyError as error:
        parts.html(render.notices_html([str(error)]))
        return
    parts.html(study_view.header_html(study))
    if of.sha256 and study.target_hash != of.sha256:
        parts.html(render.notices_html([f"It was recorded with another target than this page's: {study.target}."]))
    elif words := render.earlier_weights(outdated(of.preset, {g.drafter: g.drafter_hash for g in study.groups})):
        parts.html(render.notices_html([words]))
    temperatures, gammas = study_view.choices(study)
    with gr.Row(elem_classes="fl-controls"):
        temperature = gr.Radio(
            [(f"{t:g}", t) for t in temperatures],
            value=temperatures[-1],
            label="Temperature",
            elem_id=f"study-temperature{end}",
        )
        gamma = gr.Radio(gammas, value=gammas[0], label="Draft length γ", elem_id=f"study-gamma{end}")

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
    said = parts.html(first[0], f"study-words{end}", elem_classes="fl-study-words")
    kinds = parts.panel("Kinds of the rejections of each drafter", first[1], f"study-kinds{end}")
    rates, positions = (
        multiples(title, html, f"study-{name}{end}")
        for title, html, name in (
            ("How hard each kind is: refused of the tested tokens of that kind", first[2], "rates"),
            ("Refused of the tested at each place in the draft", first[3], "positions"),
        )
    )
    missed = parts.html(first[4], f"study-missed{end}")
    parts.redraw([temperature, gamma], show, [said, kinds, rates, positions, missed])
