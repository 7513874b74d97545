"""The tab of the losslessness lab: components, events, and the generator behind Run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import gradio as gr
from anyio import to_thread

from fastllm.analysis import lab
from fastllm.analysis.faults import FAULTS
from fastllm.config import Sampling, Settings
from fastllm.targets.base import Target
from fastllm.targets.int8 import quantised
from fastllm.ui import article as articles
from fastllm.ui import limits, models, parts, render
from fastllm.ui.lab import again
from fastllm.ui.lab import view as lab_view
from fastllm.ui.lab.again import Asked
from fastllm.ui.owned import owned, stale_note
from fastllm.ui.stage import Stage
from fastllm.ui.targets import Targets
from fastllm.ui.turns import Frame, said, taken
from fastllm.ui.watch import handlers
from fastllm.ui.watch.handlers import Live
from fastllm.ui.watch.player import Player

WORDS = "Paris, London, Rome, Lyon, Oslo, Cairo"
P, Q = "40, 25, 15, 12, 5, 3", "20, 35, 10, 5, 20, 10"
MOST_WORDS, MOST_SAMPLES, MOST_LENGTH, MOST_GAMMA = 16, 20_000, 3, 5
# Seconds of sampling between two frames: short, because others' runs are timed under the same lock.
BURST = 0.04
# Each frame draws two figures anew: more of them keep a slow browser too busy to take a press of Stop.
FRAME = 0.4
# Over a real vocabulary p is computed for texts of at least this probability: each costs target calls.
LEAST_PROBABILITY = 1e-3
# Drafts behind which the first place of a text is scored again, to compare p to the last bit.
TRIES = 20

_AGAIN = f"Again with {again.SEEDS} new seeds"
# Makes the frames of an experiment: (settings, session, whether p is known of likely texts only).
How = Callable[[Asked, Live, bool], AsyncGenerator[Frame, None]]
_FAILED = "The lab failed inside the model. What you typed is still there: try again, or a shorter article."


def weights(text: str, name: str) -> tuple[float, ...]:
    """Numbers from a line of text, separated by commas or spaces.

    Raises:
        ValueError: a word that is no number, in a sentence that names it.
    """
    found = []
    for word in re.split(r"[,;\s]+", (text or "").strip()):
        try:
            found.append(float(word))
        except ValueError:
            raise ValueError(f"{name} should be numbers separated by commas; {word[:20]!r} is none.") from None
    return tuple(found)


def _whole(value: object, name: str, low: int, high: int) -> int:
    if value is None or value == "":
        raise ValueError(f"{name} is empty: give a number.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value % 1:
        raise ValueError(f"{name} must be a whole number from {low:,} to {high:,}, not {value}.")
    return int(value)


def tiny_chain(words: str, p: str, q: str) -> tuple[lab.Chain, lab_view.Names]:
    """The chain of the tiny vocabulary, and how its texts are written.

    Raises:
        ValueError: the words or weights do not fit each other.
    """
    names = [w.strip() for w in (words or "").split(",") if w.strip()]
    if len(names) > MOST_WORDS:
        raise ValueError(f"There are {len(names)} words and the limit is {MOST_WORDS}: leave some out.")
    ps, qs = weights(p, "p"), weights(q, "q")
    if len(names) != len(ps):
        raise ValueError(f"There are {len(names)} words and {len(ps)} weights in p: give one weight for each word.")
    return lab.fixed_chain(ps, qs), lambda text: " ".join(names[t] for t in text)


def build(stage: Stage) -> list[Any]:
    """The tab's components and events, inside the current Blocks. Returns what a run that is taken over sets, for
    `follow`."""
    menu = models.menu(stage.targets.first)
    parts.html(lab_view.INTRO)
    with gr.Row(elem_classes="fl-lab"):
        with gr.Column(scale=4, min_width=320, elem_classes="fl-panel"):
            fault = gr.Radio(
                [(f.title, f.key) for f in FAULTS.values()],
                value="none",
                label="The rule, or break it",
                elem_id="lab-fault",
            )
            with gr.Row(elem_classes="fl-controls"):
                gamma = parts.slider(1, MOST_GAMMA, 2, "Draft γ", "lab-gamma")
                length = parts.slider(1, MOST_LENGTH, 1, "Tokens", "lab-length")
            with gr.Row(elem_classes="fl-controls"):
                samples = gr.Number(
                    3000, label="Samples by each", precision=0, minimum=100, maximum=MOST_SAMPLES, min_width=120
                )
                seed = parts.seed()
            common = [fault, gamma, length, samples, seed]
            with gr.Tabs() as kinds:
                with gr.Tab("Tiny vocabulary", id="tiny"):
                    words = gr.Textbox(WORDS, label="Words", max_length=400)
                    p = gr.Textbox(P, label="p, the target's weights", max_length=400, elem_id="lab-p")
                    q = gr.Textbox(Q, label="q, the drafter's weights", max_length=400, elem_id="lab-q")
                    with gr.Row(elem_classes="fl-buttons"):
                        run_tiny = gr.Button("Sample", variant="primary", elem_id="lab-run", scale=2, min_width=90)
                        again_tiny = gr.Button(_AGAIN, elem_id="lab-again", scale=2, min_width=120)
                # A lent GPU serves whole runs: there is none for the lab's single model calls.
                with gr.Tab("An article", id="article", visible=not models.leased()):
                    article = parts.article("lab-article", lines=5)
                    with gr.Row(elem_classes="fl-controls"):
                        drafter = gr.Dropdown(
                            [(c.title, c.key) for c in menu], value=menu[0].key, label="Drafter", elem_id="lab-drafter"
                        )
                        order = parts.slider(1, 5, 3, "Order N", "lab-n")
                    with gr.Row(elem_classes="fl-controls"):
                        temperature = parts.slider(0.1, 1.5, 1, "Temp.", "lab-temperature", 0.1)
                        top_p = parts.slider(0.1, 1, 0.9, "Top-p", "lab-top-p", 0.05)
                    with gr.Row(elem_classes="fl-buttons"):
                        run_model = gr.Button(
                            "Sample with the models", variant="primary", elem_id="lab-run-model", scale=2, min_width=120
                        )
                        again_model = gr.Button(_AGAIN, elem_id="lab-again-model", scale=2, min_width=120)
            stop = gr.Button("Stop", size="sm", interactive=False, elem_id="lab-stop")
        with gr.Column(scale=7, min_width=320, elem_classes="fl-panel", elem_id="lab-result"):
            stale_note()
            status = parts.html(render.status_html("Ready: press Sample."), "lab-status", elem_classes="fl-owned")
            plots = ["fl-plot", "fl-owned"]
            bars = parts.plot(lab_view.histogram(None, str), "lab-histogram", elem_classes=plots)
            curve = parts.plot(lab_view.path([], 3000), "lab-path", elem_classes=plots)
            # Drawn once there is something in it.
            with gr.Column(elem_id="lab-again-box", visible=False) as box:
                parts.title("P-values of the experiments; dashed: what a right rule would have in each tenth")
                spread = parts.plot(lab_view.p_values([]), "lab-p-values", elem_classes=plots)
    live = gr.State(handlers.Live())
    tiny = [*common, words, p, q]
    model = [*common, article, drafter, order, temperature, top_p, stage.menu]
    # The limit of the group "model" is set where the page's own run joins it.
    queued = {"concurrency_id": "model", "concurrency_limit": None}
    private = {"api_visibility": "private"}
    for button, sampler, inputs, outputs, how in (
        (run_tiny, run_tiny_lab, tiny, [status, bars, curve], {"api_name": "lab", "concurrency_limit": 4}),
        (run_model, make_model_lab(stage.targets), model, [status, bars, curve], {"api_name": "lab_article", **queued}),
        (again_tiny, again_tiny_lab, tiny, [status, curve, spread], {"concurrency_limit": 4, **private}),
        (again_model, make_model_lab(stage.targets, _again), model, [status, curve, spread], {**queued, **private}),
    ):
        begun = button.click(None, None, [button, stop], js=parts.BEGUN, **parts.HIDDEN)
        if spread in outputs:
            begun = begun.then(None, None, box, js="() => ({__type__: 'update', visible: true})", **parts.HIDDEN)
        run = begun.then(sampler, [*inputs, live], outputs, show_progress="hidden", **how)
        ended = run.then(handlers.ended, live, [button, stop], **parts.HIDDEN)
        maker = "tiny" if inputs is tiny else "model"
        owned("lab-result", inputs, [button], [ended], "#lab-status [role=alert]", maker)
    stop.click(handlers.stop, live, stop, **parts.HIDDEN)

    def keep(name, key):
        lines = models.menu(stage.targets.of(name))
        kept = key if key in [c.key for c in lines] else lines[0].key
        return gr.update(choices=[(c.title, c.key) for c in lines], value=kept)

    stage.loaded.change(keep, [stage.loaded, drafter], drafter, **parts.HIDDEN)
    return [article, drafter, order, gamma, temperature, top_p, kinds, status]


def follow(player: Player, taken_over: list[Any], stage: Stage, tabs: gr.Tabs, own: str) -> None:
    """Let the run that the player shows be the lab's: the tab `own` of `tabs` opens with its article and settings."""

    def asked(name: str, event: gr.EventData) -> tuple:
        return *of_run(event._data, models.menu(stage.targets.of(name))), gr.Tabs(selected=own)

    player.to_lab(asked, stage.loaded, [*taken_over, tabs], **parts.HIDDEN)


def of_run(asked: Any, menu: list[models.Choice]) -> tuple:
    """What a run sets, in the order that :func:`build` returns: {"article", "drafter", "gamma", "temperature", "top_p"}
    from the browser, not to be trusted. What has no place here stays as it is, and the status says so."""
    run = asked if isinstance(asked, dict) else {}
    article = run.get("article")
    if models.leased() or not isinstance(article, str) or not article.strip():
        why = "samples no articles while a GPU is lent run by run" if models.leased() else "got no article"
        return *[gr.skip()] * 7, render.notices_html([f"The lab {why}: nothing was taken over."], error=True)
    notes = ["The article and the settings of your run: press Sample with the models."]
    named = {models.spec_of(c.key, n): (c.key, n if c.has_order else gr.skip()) for c in menu for n in range(1, 6)}
    drafter = str(run.get("drafter"))
    key, order = named.get(drafter) or next(
        (found for spec, found in named.items() if spec.partition("@")[0] == drafter), (gr.skip(), gr.skip())
    )
    if not isinstance(key, str):
        notes.append(f"The lab has no drafter {drafter}: choose one.")

    def number(name: str, low: float, high: float) -> Any:
        value = run.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
            return gr.skip()
        return float(min(max(value, low), high))  # before it is a float: a whole number may be too large for one

    if run.get("temperature") == 0:
        notes.append("The run was greedy, and then there is one text only: here the temperature is 1.")
        run = run | {"temperature": 1.0}
    settings = number("gamma", 1, MOST_GAMMA), number("temperature", 0.1, 1.5), number("top_p", 0.1, 1)
    return article, key, order, *settings, gr.Tabs(selected="article"), render.notices_html(notes)


def _make_tiny_lab(how: How) -> Callable[..., AsyncGenerator[Frame, None]]:
    async def run(fault, gamma, length, samples, seed, words, p, q, live) -> AsyncGenerator[Frame, None]:
        """Sample texts over a tiny vocabulary both ways. Yields frames: verdict (HTML), histogram, path of the
        p-value."""

        async def prepare() -> tuple[lab.Chain, lab_view.Names, str]:
            chain, names = tiny_chain(words, p, q)
            of = f"tiny vocabulary, p {p.strip()}, q {q.strip()}"
            return (lab.int8_chain(chain) if FAULTS[fault].int8 else chain), names, of

        shown = _checked(how, fault, gamma, length, samples, seed, prepare, live, sparse=False)
        async with aclosing(taken(shown, live, _FAILED, in_line=False)) as frames:
            async for frame in frames:
                yield frame

    return run


def make_model_lab(targets: Targets, how: How | None = None) -> Callable[..., AsyncGenerator[Frame, None]]:
    """The generator behind `Sample with the models`; `how` another one than :func:`_frames` makes its frames."""

    async def run(
        fault, gamma, length, samples, seed, article, drafter, order, temperature, top_p, target, live
    ) -> AsyncGenerator[Frame, None]:
        """Sample the first tokens of an article's summary both ways, with the target and a drafter. Yields frames:
        verdict (HTML), histogram, path of the p-value."""

        named = target

        async def prepare() -> tuple[lab.Chain, lab_view.Names, str]:
            checked = articles.check(article)
            target = await to_thread.run_sync(targets.of, named)
            for name, value in (("Temperature", temperature), ("Top-p", top_p)):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise ValueError(f"{name} is empty: give a number.")
            sampling = Sampling(float(temperature), 0, float(top_p), target.preset.no_repeat_ngram_size)
            settings = Settings(1, sampling, 0, MOST_LENGTH, top=0)
            spec = models.spec_of(str(drafter), int(order or 0))
            loaded = await to_thread.run_sync(models.get_drafter, target, spec)
            chain = await to_thread.run_sync(_open, target, checked.text, loaded, settings, FAULTS[fault].int8)
            begins = " ".join(checked.text.split()[:5])
            of = (
                f"target {target.preset.name}, drafter {loaded.name}, temperature {float(temperature):g}, top-p "
                f"{float(top_p):g}, article “{begins} …”"
            )
            return chain, lambda text: "".join("⏹" if t in target.eos_ids else target.piece(t) for t in text), of

        shown = _checked(how or _frames, fault, gamma, length, samples, seed, prepare, live, sparse=True)
        async with aclosing(taken(shown, live, _FAILED)) as frames:
            async for frame in frames:
                yield frame

    return run


def _open(target: Target, text: str, drafter, settings: Settings, int8: bool) -> lab.Chain:
    with models.MODEL:
        judge = quantised(target) if int8 else target
        return lab.model_chain(judge.open(text), drafter, settings, together=int8)


async def _checked(
    how: How, fault, gamma, length, samples, seed, prepare, live: Live, sparse: bool
) -> AsyncGenerator[Frame, None]:
    """The frames of `how`, once the settings are known to be in range.

    Raises:
        ValueError: one is not, or `prepare` refuses what was typed.
    """
    if fault not in FAULTS:
        raise ValueError(f"There is no fault {fault!r}: choose one of the list.")
    asked = Asked(
        fault,
        _whole(gamma, "The draft length", 1, MOST_GAMMA),
        _whole(length, "The number of tokens", 1, MOST_LENGTH),
        _whole(samples, "Samples by each", 100, MOST_SAMPLES),
        _whole(seed, "Seed", 0, 2**31 - 1),
        prepare,
    )
    async with aclosing(how(asked, live, sparse)) as frames:
        async for frame in frames:
            yield frame


async def _frames(asked: Asked, live: Live, sparse: bool) -> AsyncGenerator[Frame, None]:
    """Sample and show, until there are enough samples, the time is over or Stop was pressed. `sparse`: most texts
    are too rare to compute p for them."""
    fault, gamma, length = asked.fault, asked.gamma, asked.length
    samples, seed = asked.samples, asked.seed
    yield said(render.status_html("Preparing the distributions.", "running"))
    chain, names, of = await asked.prepare()
    least = max(lab.MIN_EXPECTED / samples, LEAST_PROBABILITY) if sparse else 0.0
    clock = limits.Clock(limits.LAB_SECONDS)
    truth = (await to_thread.run_sync(models.burst, (lab.exact(chain, length, x) for x in [least]), 0.0))[0]
    points: list[tuple[int, float]] = []
    counts = lab.tallies(chain, gamma, length, samples, seed, fault, batch=max(1, samples // 100))
    while True:
        got = await _more(counts)
        points += [(tally.samples, lab.compare(tally).p_value) for tally in got]
        tally, test = got[-1], lab.compare(got[-1])
        if tally.samples == samples or clock.over or live.stop:
            break
        text = render.status_html(lab_view.running_sentence(tally, test, samples), "running")
        yield text, lab_view.histogram(tally, names, truth), lab_view.path(points, samples)
        await asyncio.sleep(0.02)
    fits = lab.fit(tally.speculative, truth), lab.fit(tally.plain, truth)
    tried = None
    if FAULTS[fault].int8:
        tried = await to_thread.run_sync(_alone, chain, gamma, seed)
    note = ""
    if tally.samples < samples and live.stop:
        note = render.status_html(lab_view.stopped_sentence(tally, samples), "stopped")
    elif tally.samples < samples:
        note = render.notices_html([clock.sentence(f"{tally.samples:,} samples")])
    outcome = note + asked.caption(of) + lab_view.verdict_html(tally, test, fault, names, fits, tried)
    yield outcome, lab_view.histogram(tally, names, truth), lab_view.path(points, samples)


def _alone(chain: lab.Chain, gamma: int, seed: int) -> lab.Alone:
    with models.MODEL:
        return lab.alone(chain, gamma, TRIES, seed)


def _again(asked: Asked, live: Live, sparse: bool) -> AsyncGenerator[Frame, None]:
    return again.frames(asked, live)


async def _more(counts: Iterator[lab.Tally]) -> list[lab.Tally]:
    """The counts after each batch of another FRAME seconds of sampling, or to the end; there is at least one left."""
    loop = asyncio.get_running_loop()
    until = loop.time() + FRAME
    found = await to_thread.run_sync(models.burst, counts, BURST)
    while loop.time() < until and (got := await to_thread.run_sync(models.burst, counts, BURST)):
        found += got
    return found


run_tiny_lab, again_tiny_lab = _make_tiny_lab(_frames), _make_tiny_lab(_again)
