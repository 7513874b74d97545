"""The league's tab: components, event, and the generator behind its button."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import gradio as gr
from anyio import to_thread

from fastllm.config import Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters import DrafterInfo, available
from fastllm.league import along
from fastllm.metrics import cost_coefficient, measured_speedup, summarise
from fastllm.target import Target, TargetSession
from fastllm.trace import Trace
from fastllm.ui import article as articles
from fastllm.ui import league_view, limits, models, render
from fastllm.ui.examples import load_examples
from fastllm.ui.handlers import settings_of
from fastllm.ui.league_view import Row

log = logging.getLogger(__name__)

GAMMA = 4


def build(target: Target) -> None:
    """The tab's components and event, inside the current Blocks."""
    examples = load_examples()
    _html(league_view.INTRO)
    with gr.Row(elem_classes="fl-lab"):
        with gr.Column(scale=4, min_width=320, elem_classes="fl-panel"):
            article = gr.Textbox(
                examples[0].text if examples else "",
                label="Article",
                lines=6,
                max_lines=6,
                elem_id="league-article",
            )
            with gr.Row(elem_classes="fl-controls"):
                gamma = gr.Slider(
                    1, 10, GAMMA, step=1, label="Draft γ", elem_id="league-gamma", min_width=120, buttons=[]
                )
                temperature = gr.Slider(
                    0, 1.5, 0, step=0.1, label="Temp.", elem_id="league-temperature", min_width=120, buttons=[]
                )
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=120)
            with gr.Row(elem_classes="fl-buttons"):
                start = gr.Button("Run the league", variant="primary", elem_id="league-run", scale=3)
                stop = gr.Button("Stop", elem_id="league-stop", scale=1, min_width=80)
        with gr.Column(scale=7, min_width=320, elem_classes="fl-panel"):
            status = _html(render.status_html("Ready: press Run the league."), "league-status")
            table = _html("", "league-table")
    plot = gr.Plot(
        league_view.heat_map([], []), show_label=False, container=False, elem_id="league-map", elem_classes="fl-plot"
    )
    event = start.click(
        make_league(target),
        [article, gamma, temperature, seed],
        [status, table, plot],
        api_name="league",
        show_progress="hidden",
        concurrency_id="model",
        concurrency_limit=None,  # the group's limit is set where the page's own run joins it
    )
    stop.click(None, cancels=[event], queue=False, api_visibility="private")


def make_league(target: Target) -> Callable[..., AsyncIterator[tuple]]:
    """The generator behind `Run the league`."""

    async def run(article, gamma, temperature, seed) -> AsyncIterator[tuple]:
        """Let every drafter draft along the target's text of an article. Yields frames: status (HTML), table (HTML),
        heat map."""
        try:
            checked = articles.check(article)
            settings = settings_of(target, gamma, temperature, 1.0, seed, target.preset.max_new_tokens)
            settings = replace(settings, top=0)  # nothing here shows the candidates
            yield render.status_html("The target summarises the article.", "running"), "", gr.skip()
            session, plain = await to_thread.run_sync(_plain, target, checked.text, settings)
            infos, rows, clock = available(target), [], limits.Clock(limits.run_seconds())
            tokens = [_name(target, t) for t in plain.tokens]
            for info in infos:
                rows.append(await to_thread.run_sync(_row, session, plain, info, settings))
                text = f"{len(rows)} of {len(infos)} drafters have run."
                last = len(rows) == len(infos) or clock.over
                shown = league_view.heat_map(rows, tokens) if last else gr.skip()
                yield (
                    render.status_html(text, "done" if last else "running"),
                    league_view.table_html(rows, settings.gamma),
                    shown,
                )
                if clock.over and len(rows) < len(infos):
                    note = render.notices_html([clock.sentence(f"{len(rows)} of {len(infos)} drafters")])
                    yield note, gr.skip(), gr.skip()
                    break
        except ValueError as error:
            yield render.notices_html([str(error)], error=True), gr.skip(), gr.skip()
        except Exception:
            log.exception("the league failed")
            sentence = (
                "The league failed inside the model. The article is still in the box: try again, or a shorter one."
            )
            yield render.notices_html([sentence], error=True), gr.skip(), gr.skip()

    return run


def _plain(target: Target, text: str, settings: Settings) -> tuple[TargetSession, Trace]:
    with models.MODEL:
        session = target.open(text)
        # The first run of a session pays for first calls; the second is the baseline.
        for _ in range(2):
            plain = make_trace(session, None, settings, list(autoregressive(session, settings)))
    return session, plain


def _row(session: TargetSession, plain: Trace, info: DrafterInfo, settings: Settings) -> Row:
    drafter = models.get_drafter(session.target, info.spec)
    with models.MODEL:
        here = along(session, drafter, settings, plain.tokens)
        trace = make_trace(session, drafter, settings, list(speculative(session, drafter, settings)))
    return Row(info, here, summarise(trace), cost_coefficient(trace, plain), measured_speedup(trace, plain))


def _name(target: Target, token: int) -> str:
    return "end of text" if token == target.eos_id else target.piece(token)


def _html(value: str, elem_id: str | None = None) -> gr.HTML:
    return gr.HTML(value, label=(elem_id or "").capitalize(), elem_id=elem_id, js_on_load=None, apply_default_css=False)
