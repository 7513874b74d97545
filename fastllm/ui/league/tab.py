"""The league's tab: components, event, and the generator behind its button."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import gradio as gr
from anyio import to_thread

from fastllm.analysis.league import along
from fastllm.analysis.metrics import summarise
from fastllm.analysis.timing import Calls, alternating, compare
from fastllm.config import MAX_GAMMA, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters import DrafterInfo, available
from fastllm.targets.base import Target, TargetSession
from fastllm.trace import Trace
from fastllm.ui import article as articles
from fastllm.ui import limits, models, parts, render
from fastllm.ui.league import view as league_view
from fastllm.ui.league.view import Row
from fastllm.ui.owned import owned, stale_note
from fastllm.ui.stage import Stage
from fastllm.ui.targets import Targets
from fastllm.ui.turns import Frame, taken
from fastllm.ui.watch import handlers
from fastllm.ui.watch.handlers import Live, settings_of

GAMMA = 4
_FAILED = "The league failed inside the model. The article is still in the box: try again, or a shorter one."


def build(stage: Stage) -> None:
    """The tab's components and event, inside the current Blocks."""
    parts.html(league_view.INTRO)
    with gr.Row(elem_classes="fl-lab"):
        with gr.Column(scale=4, min_width=320, elem_classes="fl-panel"):
            article = parts.article("league-article", lines=6)
            with gr.Row(elem_classes="fl-controls"):
                gamma = parts.slider(1, MAX_GAMMA, GAMMA, "Draft γ", "league-gamma", min_width=120)
                temperature = parts.slider(0, 1.5, 0, "Temp.", "league-temperature", 0.1, min_width=120)
            seed = parts.seed()
            with gr.Row(elem_classes="fl-buttons"):
                start = gr.Button("Run the league", variant="primary", elem_id="league-run", scale=3)
                stop = gr.Button("Stop", interactive=False, elem_id="league-stop", scale=1, min_width=80)
        with gr.Column(scale=7, min_width=320, elem_classes="fl-panel", elem_id="league-result"):
            stale_note()
            status = parts.html(render.status_html("Ready: press Run the league."), "league-status")
            table = parts.html("", "league-table", elem_classes="fl-owned")
    with gr.Column(elem_classes="fl-panel fl-map", elem_id="league-heat"):
        parts.title("β of each drafter at each token: the chance that its draft is accepted there")
        plot = parts.plot(league_view.heat_map([], []), "league-map", elem_classes=["fl-plot", "fl-owned"])
    live = gr.State(handlers.Live())
    run = start.click(None, None, [start, stop], js=parts.BEGUN, **parts.HIDDEN).then(
        make_league(stage.targets),
        [article, gamma, temperature, seed, stage.menu, live],
        [status, table, plot],
        api_name="league",
        show_progress="hidden",
        concurrency_id="model",
        concurrency_limit=None,  # the group's limit is set where the page's own run joins it
    )
    ended = run.then(handlers.ended, live, [start, stop], **parts.HIDDEN)
    for result in ("league-result", "league-heat"):
        owned(result, [article, gamma, temperature, seed, stage.menu], [start], [ended], "#league-status [role=alert]")
    stop.click(handlers.stop, live, stop, **parts.HIDDEN)


def make_league(targets: Targets) -> Callable[..., AsyncGenerator[tuple, None]]:
    """The generator behind `Run the league`."""

    async def run(article, gamma, temperature, seed, target, live) -> AsyncGenerator[Frame, None]:
        """Let every drafter draft along the target's text of an article. Yields frames: status (HTML), table (HTML),
        heat map."""
        async with aclosing(taken(frames(article, gamma, temperature, seed, target, live), live, _FAILED)) as shown:
            async for frame in shown:
                yield frame

    async def frames(article, gamma, temperature, seed, target, live: Live) -> AsyncGenerator[Frame, None]:
        checked = articles.check(article)
        target = await to_thread.run_sync(targets.of, target)
        settings = settings_of(target, gamma, temperature, 1.0, seed, target.preset.max_new_tokens)
        settings = replace(settings, top=0)  # nothing here shows the candidates
        yield render.status_html("The target summarises the article.", "running"), "", gr.skip()
        sessions, plain = await to_thread.run_sync(_plain, target, checked.text, settings)
        try:
            async for frame in _rows(target, sessions, plain, settings, live):
                yield frame
        finally:
            for session in sessions:
                session.close()

    async def _rows(
        target, sessions: Sessions, plain: Trace, settings: Settings, live: Live
    ) -> AsyncGenerator[Frame, None]:
        begins = " ".join(plain.article.text.split()[:5])
        of = f"target {target.preset.name}, temperature {settings.sampling.temperature:g}, seed {settings.seed}, "
        of += f"article “{begins} …”"
        infos, rows, clock = available(target), [], limits.Clock(limits.run_seconds())
        tokens = [_name(target, t) for t in plain.tokens]
        for info in infos:
            if live.stop or clock.over:
                break
            rows.append(await to_thread.run_sync(_row, sessions, plain, info, settings))
            text = render.status_html(f"{len(rows)} of {len(infos)} drafters have run.", "running")
            yield text, league_view.table_html(rows, settings.gamma, of), gr.skip()
        done = f"{len(rows)} of {len(infos)} drafters"
        if len(rows) == len(infos):
            text = render.status_html(f"{done} have run.", "done")
        elif live.stop:
            text = render.status_html(f"Stopped after {done}.", "stopped")
        else:
            text = render.notices_html([clock.sentence(done)])
        yield text, league_view.table_html(rows, settings.gamma, of), league_view.heat_map(rows, tokens)

    return run


Sessions = tuple[TargetSession, TargetSession]


def _plain(target: Target, text: str, settings: Settings) -> tuple[Sessions, Trace]:
    """A session for the drafters and one for plain decoding beside them, and the text, which warms both up."""
    with models.MODEL:
        sessions = target.open(text), target.open(text)
        for session in sessions:
            plain = make_trace(session, None, settings, list(autoregressive(session, settings)))
    return sessions, plain


def _row(sessions: Sessions, plain: Trace, info: DrafterInfo, settings: Settings) -> Row:
    session, other = sessions
    drafter = models.get_drafter(session.target, info.spec)
    with models.MODEL:
        here = along(session, drafter, settings, plain.tokens)
        race = list(alternating(speculative(session, drafter, settings), autoregressive(other, settings)))
    spoken, plainly = ([step for ours, step in race if ours == which] for which in (True, False))
    trace = make_trace(session, drafter, settings, spoken)
    return Row(info, here, summarise(trace), compare([Calls.of(spoken)], [Calls.of(plainly)]))


def _name(target: Target, token: int) -> str:
    return "end of text" if token in target.eos_ids else target.piece(token)
