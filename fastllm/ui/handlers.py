"""What the page does: generators of frames. All model work is in models.py, all HTML in render.py."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import gradio as gr
import plotly.graph_objects as go
from anyio import to_thread

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters.base import Drafter
from fastllm.metrics import acceptance_by_position, summarise
from fastllm.target import Target, TargetSession
from fastllm.trace import Ending, Step, Trace
from fastllm.ui import article as articles
from fastllm.ui import charts, models, render

log = logging.getLogger(__name__)

# Seconds of model work between two frames, and the pause in which a frame leaves before the next work is timed.
BURST = 0.04
DRAIN = 0.02
# How soon a waiting run notices Stop.
TICK = 0.05
MAX_PACE = 2.0

_ENDINGS: dict[Ending, str] = {"eos": "the target ended the text", "length": "the length limit was reached"}


@dataclass
class Live:
    """One visitor's session: whether Stop was pressed. Lives in gr.State, so it holds nothing of what they pasted."""

    stop: bool = False


@dataclass(frozen=True)
class Frame:
    """What the page shows at one moment, in the order of the outputs; None leaves a component as it is."""

    notices: str | None = None
    status: str | None = None
    stream: str | None = None
    text: str | None = None
    figures: str | None = None
    compare: str | None = None
    chart: go.Figure | None = None

    def outputs(self) -> tuple:
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        return tuple(gr.skip() if v is None else v for v in values)


class Show:
    """One run as the page shows it: the steps so far and their HTML, each rendered once."""

    def __init__(self, session: TargetSession, drafter: Drafter, settings: Settings, notices: tuple[str, ...]) -> None:
        self.eos_id = session.target.eos_id
        self.notices = render.notices_html(notices)
        self.settings = settings
        self._target = session.target
        self._fragments: list[str] = []
        self.steps: list[Step] = []
        self._plain: list[Step] = []
        self._empty = make_trace(session, drafter, settings, (), "running")
        self._empty_plain = make_trace(session, None, settings, (), "running")

    def add(self, step: Step) -> None:
        self.steps.append(step)
        self._fragments.append(render.step_html(step, self.eos_id))

    def add_plain(self, steps: list[Step]) -> None:
        self._plain += steps

    @property
    def trace(self) -> Trace:
        return self._filled(self._empty, self.steps)

    @property
    def plain(self) -> Trace:
        return self._filled(self._empty_plain, self._plain)

    def _filled(self, empty: Trace, steps: list[Step]) -> Trace:
        trace = dataclasses.replace(empty, steps=tuple(steps))
        return dataclasses.replace(trace, text=self._target.text(trace.tokens))

    def frame(self, status: str, state: str, compare: str, ended: bool = False) -> tuple:
        """The page now. The chart is drawn at the end only: drawing takes the browser time that timed work may need."""
        trace = self.trace
        rows = acceptance_by_position([trace])
        return Frame(
            notices=self.notices,
            status=render.status_html(status, state),
            stream=render.stream_html(self._fragments),
            text=trace.text,
            figures=render.figures_html(summarise(trace)),
            compare=compare,
            chart=charts.acceptance_figure(rows, self.settings.gamma) if ended else None,
        ).outputs()


def settings_of(target: Target, gamma, temperature, top_p, seed, length) -> Settings:
    """The settings of the page's controls.

    Raises:
        ValueError: one is empty or out of range, in a sentence fit for the page.
    """
    values = {"Gamma": gamma, "Temperature": temperature, "Top-p": top_p, "Seed": seed, "Length": length}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is empty: give a number.")
    sampling = Sampling(float(temperature), 0, float(top_p), target.preset.no_repeat_ngram_size)
    if not 0 <= seed < 2**31:
        raise ValueError(f"The seed must be a whole number from 0 to {2**31 - 1:,}, not {seed:,}.")
    # top=0: nothing on this page shows the candidates, and collecting them would be timed as overhead.
    return Settings(int(gamma), sampling, int(seed), int(length), top=0)


async def _wait(seconds: float, live: Live) -> None:
    """Sleep outside all model work, holding no thread; Stop ends it."""
    while seconds > 0 and not live.stop:
        await asyncio.sleep(min(TICK, seconds))
        seconds -= TICK


def make_run(target: Target) -> Callable[..., AsyncIterator[tuple]]:
    """The generator behind the Run button, and behind `gradio_client`'s `/run`."""

    async def run(article, drafter, n, gamma, temperature, top_p, seed, length, pace, live) -> AsyncIterator[tuple]:
        """Summarise an article with speculative decoding, then with plain decoding, and compare the two.

        Yields frames: notices, status, stream (HTML), summary text, figures (HTML), comparison (HTML), chart.
        """
        try:
            # Closed at once when the visitor leaves, not whenever the garbage collector comes by.
            async with aclosing(
                _run(article, drafter, n, gamma, temperature, top_p, seed, length, pace, live)
            ) as frames:
                async for frame in frames:
                    yield frame
        except ValueError as error:
            yield _failed(str(error), "No new run.")
        except Exception:
            # The article stays out of the log: only the traceback goes there.
            log.exception("a run failed")
            sentence = "The run failed inside the model. The article is still in the box: try again, or a shorter one."
            yield _failed(sentence, "Failed.")
        finally:
            live.stop = False

    async def _run(article, drafter, n, gamma, temperature, top_p, seed, length, pace, live) -> AsyncIterator[tuple]:
        checked = articles.check(article)
        settings = settings_of(target, gamma, temperature, top_p, seed, length)
        pace = min(max(float(pace or 0), 0.0), MAX_PACE)
        loaded = await to_thread.run_sync(models.get_drafter, target, models.spec_of(str(drafter), int(n or 0)))
        yield _beginning(checked.notices, settings.gamma)
        session = await to_thread.run_sync(models.open_session, target, checked.text, loaded, settings)

        show = Show(session, loaded, settings, checked.notices)
        waiting = render.compare_waiting_html("Plain decoding of the same article follows, timed the same way.")
        steps = speculative(session, loaded, settings)
        while not live.stop and (batch := await to_thread.run_sync(models.burst, steps, BURST)):
            for i, step in enumerate(batch):
                if pace and show.steps:
                    await _wait(pace, live)
                if live.stop:
                    break
                show.add(step)
                if pace or i == len(batch) - 1:
                    yield show.frame(_running(show.trace), "running", waiting)
            await asyncio.sleep(DRAIN)

        steps = autoregressive(session, settings)
        while not live.stop and (batch := await to_thread.run_sync(models.burst, steps, BURST)):
            show.add_plain(batch)
            status = f"Now plain decoding of the same article, to compare: {len(show.plain.tokens)} tokens."
            yield show.frame(status, "running", render.compare_html(show.trace, show.plain, finished=False))
            await asyncio.sleep(DRAIN)
        if live.stop:
            text = render.compare_waiting_html(
                "Stopped before plain decoding was done: there is nothing to compare with."
            )
            yield show.frame(_stopped(show.trace), "stopped", text, ended=True)
            return
        compare = render.compare_html(show.trace, show.plain, finished=True)
        yield show.frame(_done(show.trace, session), "done", compare, ended=True)

    return run


def _failed(sentence: str, status: str) -> tuple:
    return Frame(
        notices=render.notices_html([sentence], error=True),
        status=render.status_html(status, "error"),
    ).outputs()


def _beginning(notices: tuple[str, ...], gamma: int) -> tuple:
    return Frame(
        notices=render.notices_html(notices),
        status=render.status_html("The target reads the article, once for the whole run.", "running"),
        stream=render.stream_html([]),
        text="",
        figures=render.figures_html(None),
        chart=charts.acceptance_figure([], gamma),
        compare=render.compare_waiting_html("Plain decoding of the same article follows, timed the same way."),
    ).outputs()


def _tokens_in_calls(trace: Trace) -> str:
    tokens, calls = len(trace.tokens), len(trace.steps)
    return f"{render.plural(tokens, 'token')} in {render.plural(calls, 'target call')}"


def _running(trace: Trace) -> str:
    return f"Speculative decoding: {_tokens_in_calls(trace)}."


def _stopped(trace: Trace) -> str:
    return f"Stopped: {_tokens_in_calls(trace)}."


def _done(trace: Trace, session: TargetSession) -> str:
    ended = "eos" if trace.tokens and trace.tokens[-1] == session.target.eos_id else "length"
    return f"Finished: {_tokens_in_calls(trace)}; {_ENDINGS[ended]}."


def begin(live: Live) -> tuple:
    """Run was pressed: forget an earlier Stop, and swap the buttons."""
    live.stop = False
    return gr.update(interactive=False), gr.update(interactive=True)


def stop(live: Live) -> dict:
    """Stop was pressed. The run sees it before it shows its next step, and ends with what it has shown."""
    live.stop = True
    return gr.update(interactive=False)


def end() -> tuple:
    """The run is over: swap the buttons back."""
    return gr.update(interactive=True), gr.update(interactive=False)


def make_count(target: Target) -> Callable[[str], str]:
    """Words of the article as it is typed, and how much of it the target reads."""

    def count(article: str) -> str:
        text = articles.clean(article)
        if len(text) > articles.MAX_CHARACTERS:
            return render.count_html(articles.word_count(text), 0, 0, too_long=articles.MAX_CHARACTERS)
        read, cut, last_words = models.reading(target, text) if text else (0, 0, "")
        return render.count_html(articles.word_count(text), read, cut, last_words)

    return count
