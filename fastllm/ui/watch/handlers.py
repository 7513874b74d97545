"""What the page does: generators of frames. All model work is in models.py, all words in render.py.

Model work runs to its end as fast as it can; how fast its steps are shown is the browser's business (assets/player/).
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import gradio as gr
from anyio import to_thread

from fastllm.analysis.metrics import running
from fastllm.config import Sampling, Settings
from fastllm.decode import ending_of, make_trace
from fastllm.drafters.base import Drafter
from fastllm.lengths import LENGTHS, Carried, lengths_of
from fastllm.rules import rule_named, rule_of
from fastllm.targets.base import Target, TargetSession
from fastllm.trace import Ending, Step, Trace, from_json
from fastllm.ui import article as articles
from fastllm.ui import examples, limits, models, render
from fastllm.ui.private import log_failure
from fastllm.ui.targets import Targets
from fastllm.ui.watch import links, messages, recordings
from fastllm.ui.watch.cards import cards_of, deal
from fastllm.ui.watch.expected import expected_html, recorded, row_for
from fastllm.ui.watch.lessons import lessons_for, start_of, told
from fastllm.ui.watch.methods import MENUS
from fastllm.ui.watch.methods import usual as as_usual
from fastllm.visible import visible

log = logging.getLogger(__name__)

# Seconds of model work between two frames, of which the first waits for one step only; and the pause in which a frame
# leaves before the next work is timed.
BURST = 0.1
DRAIN = 0.02
# Candidates of p and q kept at each position for the inspector.
TOP = 5

_ENDINGS: dict[Ending, str] = {
    "eos": "the target ended the text",
    "length": "the length limit was reached",
    "stopped": "it was stopped",
    "running": "it was not finished",
}
# No figures in them: those of the steps that are shown are the player's, so that one clock rules the page.
_AT_WORK = "The target and its drafter are at work, and plain decoding in turns with them."
_REST = "The run is computed; now the rest of plain decoding, to compare."
# Thresholds that runs leave for the next ones with the same target and drafter.
CARRIED = Carried()
_PLAIN_BESIDE = "Plain decoding of the same article takes turns with the run, so that both are timed alike."


@dataclass
class Live:
    """One visitor's session: whether Stop was pressed. Lives in gr.State, so it holds nothing of what they pasted."""

    stop: bool = False


@dataclass(frozen=True)
class Frame:
    """What the page shows at one moment, in the order of the outputs; None leaves a component as it is."""

    notices: str | None = None
    status: str | None = None
    player: str | None = None
    text: str | None = None
    compare: str | None = None

    def outputs(self) -> tuple:
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        return tuple(gr.skip() if v is None else v for v in values)


class Show:
    """One run as the page is told of it: its steps so far, each put into words once."""

    def __init__(self, session: TargetSession, drafter: Drafter, settings: Settings, notices: tuple[str, ...]) -> None:
        self.notices = render.notices_html(notices)
        self._session, self._settings = session, settings
        self._empty = make_trace(session, drafter, settings, (), "running")
        self._empty_plain = make_trace(session, None, settings, (), "running")
        self.sender = messages.Sender(session.target.eos_ids)
        self.steps: list[Step] = []
        self._plain: list[Step] = []
        self._figures = running(iter(self.steps))  # takes each step as it comes, because a list's iterator sees appends

    def first(self) -> str:
        return self.sender.first(messages.head_of(self._empty))

    def add(self, steps: list[Step]) -> None:
        self.steps += steps
        self.sender.add(steps, [next(self._figures) for _ in steps])

    def add_plain(self, steps: list[Step]) -> None:
        self._plain += steps
        self.sender.add_plain(steps)

    @property
    def trace(self) -> Trace:
        return self._filled(self._empty, self.steps)

    @property
    def plain(self) -> Trace:
        return self._filled(self._empty_plain, self._plain)

    def _filled(self, empty: Trace, steps: list[Step]) -> Trace:
        trace = dataclasses.replace(empty, steps=tuple(steps), ending=ending_of(self._session, self._settings, steps))
        return dataclasses.replace(trace, text=self._session.target.text(trace.tokens))

    def frame(self, status: str, compare: str | None = None) -> tuple:
        """A moment in the middle of the run."""
        return Frame(
            status=render.status_html(status, "running"),
            player=self.sender.news(),
            text=self._session.target.text([t for s in self.steps for t in s.tokens]),
            compare=compare,
        ).outputs()

    def last(self, stopped: bool, more: str = "") -> tuple:
        """The end of the run; `more` is said behind its status. A run stopped before plain decoding was done has
        nothing to be compared with."""
        trace = self.trace
        plain = self.plain
        if stopped:
            text = "Stopped before plain decoding was done: there is nothing to compare with."
            compare, status = render.compare_waiting_html(text), (f"Stopped: {_tokens_in_calls(trace)}.", "stopped")
        else:
            trace = trace.compared_with(plain)
            compare = render.compare_html(trace, plain, finished=True)
            status = _ended("Finished", trace) + more, "done"
        return Frame(
            notices=self.notices,
            status=render.status_html(*status),
            player=self.sender.last(trace, "stopped" if stopped else "done"),
            text=trace.text,
            compare=compare,
        ).outputs()


def settings_of(
    target: Target, gamma, temperature, top_p, seed, length, rule="", lengths="", threshold=None, rollback=None,
    nodes=None, width=None,
) -> Settings:  # fmt: skip
    """The settings of the page's controls; `threshold`, `rollback` and a tree's `nodes` and `width` count where policy
    and rule have them.

    Raises:
        ValueError: one is empty or out of range, in a sentence fit for the page.
    """
    values = {"Gamma": gamma, "Temperature": temperature, "Top-p": top_p, "Seed": seed, "Length": length}
    further = {"Threshold": threshold, "Rollback": rollback, "Nodes": nodes, "Width": width}
    values |= {k: v for k, v in further.items() if v is not None}
    for name, value in values.items():
        if value is None or value == "":
            raise ValueError(f"{name} is empty: give a number.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number.")
        if name in ("Gamma", "Seed", "Length", "Nodes", "Width") and value % 1:
            raise ValueError(f"{name} must be a whole number, not {value}.")
    sampling = Sampling(float(temperature), 0, float(top_p), target.preset.no_repeat_ngram_size)
    if not 0 <= seed < 2**31:
        raise ValueError(f"The seed must be a whole number from 0 to {2**31 - 1:,}, not {seed:,}.")
    judge = rule_named(str(rule or "token"))
    policy = str(lengths or "constant")
    kind = LENGTHS.get(policy)
    if threshold is not None and kind and kind.threshold is not None and not kind.carried:
        policy = f"{policy}:{threshold:g}"
    forgiven = judge.threshold(None if rollback is None else float(rollback))
    tree = {k: int(v) for k, v in (("nodes", nodes), ("width", width)) if v is not None and judge.tree}
    settings = Settings(int(gamma), sampling, int(seed), int(length), TOP, judge.key, policy, forgiven, **tree)
    rule_of(settings), lengths_of(settings)  # what does not go together is told before the run begins
    return settings


def make_run(targets: Targets) -> Callable[..., AsyncGenerator[tuple, None]]:
    """The generator behind the Run button, and behind `gradio_client`'s `/run`."""

    async def run(
        article,
        drafter,
        n,
        gamma,
        temperature,
        top_p,
        seed,
        length,
        target,
        way,
        rule,
        lengths,
        threshold,
        rollback,
        nodes,
        width,
        live,
    ) -> AsyncGenerator[tuple, None]:
        """Summarise an article with speculative decoding, then with plain decoding, and compare the two.

        Yields frames: notices, status (HTML), message to the player (JSON), summary text, comparison (HTML).
        """
        try:
            # Closed at once when the visitor leaves, not whenever the garbage collector comes by.
            spec = models.spec_of(str(drafter), int(n or 0), str(way or ""))
            chosen = gamma, temperature, top_p, seed, length, rule, lengths, threshold, rollback, nodes, width
            run_ = _run(article, spec, target, live, chosen)
            async with aclosing(limits.in_turn(run_, _waiting, lambda: live.stop)) as frames:
                async for frame in frames:
                    yield frame
        except ValueError as error:
            yield _failed(str(error), "No new run.")
        except Exception as error:
            log_failure(log, "a run failed", error)
            sentence = "The run failed inside the model. The article is still in the box: try again, or a shorter one."
            yield _failed(sentence, "Failed.")
        finally:
            live.stop = False

    async def _run(article, spec, target, live, chosen) -> AsyncGenerator[tuple, None]:
        checked = articles.check(article)
        target = await to_thread.run_sync(targets.of, target)
        asked = settings_of(target, *chosen)
        loaded = await to_thread.run_sync(models.get_drafter, target, spec)
        who = target.sha256 or target.preset.asked, loaded.name, loaded.sha256
        settings = CARRIED.begin(asked, who)
        yield _beginning(checked.notices)
        session = await to_thread.run_sync(models.open_session, target, checked.text, loaded, settings)

        try:
            learnt = functools.partial(CARRIED.end, asked, who)
            async for frame in _raced(session, loaded, settings, checked.notices, live, learnt):
                yield frame
        finally:
            session.close()

    async def _raced(session, loaded, settings, said, live, learnt) -> AsyncGenerator[tuple, None]:
        clock = limits.Clock(limits.run_seconds())
        show = Show(session, loaded, settings, said)
        yield Frame(player=show.first()).outputs()
        race, batch = models.race(session, loaded, settings), None
        while not (live.stop or (clock.over and show.steps)) and (
            batch := await to_thread.run_sync(models.burst, race, BURST if show.steps else 0.0)
        ):
            show.add([step for ours, step in batch if ours])
            show.add_plain([step for ours, step in batch if not ours])
            trace, plain = show.trace, show.plain
            status = _AT_WORK if trace.ending == "stopped" else _REST
            yield show.frame(status, render.compare_html(trace, plain, finished=False) if plain.steps else None)
            await asyncio.sleep(DRAIN)
        unfinished = batch != []
        if unfinished and not live.stop:
            beside = render.plural(len(show.plain.tokens), "token")
            sentence = clock.sentence(f"{_tokens_in_calls(show.trace)}, and {beside} of plain decoding")
            show.notices = render.notices_html([sentence, *said])
        yield show.last(unfinished, _left(settings, learnt(show.trace)))

    return run


async def open_trace(event: gr.EventData) -> tuple:
    """A file that the visitor chose, as the browser read it: shown without any model, or refused in a sentence."""
    text = event._data.get("text") if isinstance(event._data, dict) else None
    return await _opened(lambda: from_json(text if isinstance(text, str) else ""))


async def open_recording(event: gr.EventData) -> tuple:
    """One of the packaged recordings, by its name."""
    name = event._data.get("name") if isinstance(event._data, dict) else None
    return await _opened(lambda: recordings.load(str(name)))


async def _opened(read: Callable[[], Trace]) -> tuple:
    try:
        return await to_thread.run_sync(lambda: replayed(read()))
    except ValueError as error:
        return _failed(f"{error} The page is as it was.", "Nothing was opened.")


def replayed(trace: Trace) -> tuple:
    """The page of a recorded run.

    Raises:
        ValueError: it is plain decoding's, or has no step.
    """
    if trace.mode != "speculative":
        raise ValueError("This trace is one of plain decoding, in which nothing is drafted: open a speculative one.")
    if not trace.steps:
        raise ValueError("This trace holds no step: there is nothing to show.")
    plain = trace.baseline
    if plain and plain.steps:
        compare = render.compare_html(trace, plain, finished=True, recorded=True)
    else:
        compare = render.compare_waiting_html("Plain decoding is not in this recording: there is nothing to compare.")
    words = render.earlier_weights(recordings.earlier(trace))
    return Frame(
        notices=render.notices_html([words] if words else []),
        status=render.status_html(_ended("Recorded", trace), "recorded"),
        player=messages.replay(trace),
        text=visible(trace.text),
        compare=compare,
    ).outputs()


def _waiting(sentence: str) -> tuple:
    return Frame(status=render.waiting_html(sentence)).outputs()


def _failed(sentence: str, status: str) -> tuple:
    return Frame(
        notices=render.notices_html([sentence], error=True),
        status=render.status_html(status, "error"),
    ).outputs()


def _beginning(notices: tuple[str, ...]) -> tuple:
    return Frame(
        notices=render.notices_html(notices),
        status=render.status_html("The target reads the article, once for the whole run.", "running"),
        text="",
        compare=render.compare_waiting_html(_PLAIN_BESIDE),
    ).outputs()


def _tokens_in_calls(trace: Trace) -> str:
    tokens, calls = len(trace.tokens), len(trace.steps)
    return f"{render.plural(tokens, 'token')} in {render.plural(calls, 'target call')}"


def _ended(how: str, trace: Trace) -> str:
    return f"{how}: whole run, {_tokens_in_calls(trace)}; {_ENDINGS[trace.ending]}."


def _left(settings: Settings, left: float | None) -> str:
    """What a policy learnt that carries its threshold over; nothing where none does."""
    if left is None:
        return ""
    name, _, began = settings.lengths.partition(":")
    title = LENGTHS[name].title
    return f" {title}: threshold {float(began):.2f} at first, now {left:.2f}, where the next article begins."


def begin(live: Live) -> tuple:
    """Run was pressed: forget an earlier Stop, and swap the buttons."""
    live.stop = False
    return gr.update(interactive=False), gr.update(interactive=True)


def stop(live: Live) -> dict:
    """Stop was pressed. The run sees it after the burst that it is in, and ends with the steps that it has."""
    live.stop = True
    return gr.update(interactive=False)


def cancelled(live: Live) -> tuple:
    """Stop was pressed while the run waited in the queue, which Gradio has taken it out of."""
    live.stop = False
    return render.status_html("Stopped before the run began.", "stopped"), *end()


def end() -> tuple:
    """The run is over: swap the buttons back."""
    return gr.update(interactive=True), gr.update(interactive=False)


def ended(live: Live) -> tuple:
    """As :func:`end`; a Stop that came too late is forgotten, so that the next run may begin."""
    live.stop = False
    return end()


def make_count(targets: Targets) -> Callable[..., str]:
    """Words of the article as it is typed, how much of it the target reads, and which example it is, for the link."""
    topics = {articles.clean(e.text): e.topic for e in examples.load_examples()}

    def count(article: str, name: str | None = None) -> str:
        text = articles.clean(article)
        if len(text) > articles.MAX_CHARACTERS:
            return render.count_html(articles.word_count(text), 0, 0, too_long=articles.MAX_CHARACTERS)
        try:
            read, cut, last_words = models.reading(targets.of(name), text) if text else (0, 0, "")
        except ValueError:  # an article that the target cannot read: Run says why
            read, cut, last_words = 0, 0, ""
        return render.count_html(articles.word_count(text), read, cut, last_words, example=topics.get(text, ""))

    return count


def make_restore(targets: Targets) -> Callable[[gr.Request], tuple]:
    """The settings that the page's address carries, as updates of the controls in the order of `links.Choice`; what
    :func:`make_follow` takes for the length limit that nobody chose, which is none where the link names one; the
    notices; last, that Run can be pressed now."""
    texts = {e.topic: e.text for e in examples.load_examples()}

    def restore(request: gr.Request) -> tuple:
        query = dict(request.query_params)
        told = links.read_target(query, [o.name for o in targets.offers() if o.here])
        try:
            target = targets.of(told.value)
        except ValueError as error:  # the page works on with the target that it has
            told, target = links.Told(None, (str(error),)), targets.first
        drafters = [c.key for c in models.menu(target)]
        choice = links.read(query, list(texts), drafters)
        methods: tuple = (choice.way, choice.rule, choice.lengths, *links.knobs(choice))
        further = choice.seed or None, choice.top_p, choice.length, *methods
        values = texts.get(choice.example or ""), choice.drafter, choice.n, choice.gamma, choice.temperature, *further
        said = (*told.notices, *choice.notices)
        notices = render.notices_html(said) if said else None
        kept = tuple(gr.skip() if v is None else v for v in (told.value, *values))
        nobodys = gr.skip() if choice.length is None else None
        return *kept, nobodys, gr.skip() if notices is None else notices, gr.update(interactive=True)

    return restore


def make_lesson(targets: Targets, key: str) -> Callable[..., tuple]:
    """What a lesson's button sets for the target that is shown: article, drafter, order, gamma, temperature, top-p,
    seed, the menus of methods as the page begins, and the lesson's sentence."""
    texts = {e.topic: e.text for e in examples.load_examples()}

    def take(name=None) -> tuple:
        target = targets.of(name)
        lesson = next((one for one in _lessons(target) if one.key == key), None)
        if lesson is None:
            return (gr.skip(),) * (8 + len(MENUS))
        article = texts.get(lesson.example, gr.skip())
        methods = (menu.usual for menu in MENUS)
        spec = models.spec_of(lesson.drafter, lesson.n)
        row = row_for(recorded(target.preset.name), target.sha256, spec, lesson.gamma, 0)
        said = render.lesson_html(told(lesson, row))
        return article, lesson.drafter, lesson.n, lesson.gamma, 0, 1, 0, *methods, said

    return take


def _lessons(target: Target) -> tuple:
    return lessons_for(target.preset.name, [c.key for c in models.menu(target)])


@dataclass(frozen=True)
class VariantSwitch:
    """What the switch beside the drafter menu does: `menu` maps each line's key to its variant."""

    menu: dict[str, str]

    def has_both(self, key: str) -> bool:
        """Whether that drafter was taught both ways, so that there is something to choose."""
        other = {"distilled": "baseline", "baseline": "distilled"}.get(self.menu.get(key, ""), "")
        return models.other_variant(key, other, list(self.menu)) != key

    def of_drafter(self, key: str) -> dict:
        """A drafter was chosen: show its variant where there is a choice."""
        return gr.update(value=self.menu.get(key) or None, visible=self.has_both(key))

    def switched(self, key: str, variant: str | None) -> str:
        """The switch was set: the same drafter, taught the other way."""
        return models.other_variant(key, variant or "", list(self.menu))


def switch_for(target: Target) -> VariantSwitch:
    """The switch for the drafters of `target`."""
    return VariantSwitch({c.key: c.variant for c in models.menu(target)})


def make_follow(targets: Targets, lessons: Sequence[str]) -> Callable[..., tuple]:
    """What changes with the target that is shown; `lessons` are the keys of the page's lesson buttons."""

    def follow(name, drafter, length, before) -> tuple:
        """Updates of the drafter cards, N, the switch, the length limit, the target's own limit that stands there, and
        the lesson buttons.

        The drafter stays if the new target has it; the length limit if it was the visitor's own: another than `before`,
        the target's, or a link's, which leaves None there.
        """
        target = targets.of(name)
        menu = models.menu(target)
        keys = [c.key for c in menu]
        start = start_of(target.preset.name, keys)
        chosen = next((c for c in menu if c.key == drafter), menu[keys.index(start.drafter)])
        usual = target.preset.max_new_tokens
        here = {one.key for one in _lessons(target)}
        return (
            deal(cards_of(menu, recorded(target.preset.name), target.sha256), chosen.key),
            gr.update(visible=chosen.has_order),
            switch_for(target).of_drafter(chosen.key),
            usual if length == before else gr.skip(),
            usual,
            *(gr.update(visible=key in here) for key in lessons),
        )

    return follow


def make_expect(targets: Targets) -> Callable[..., str]:
    """What the recorded benchmark says of the drafter and settings that are chosen."""

    def expect(drafter, n, gamma, temperature, way="", rule="token", lengths="constant", name=None) -> str:
        target = targets.of(name)
        infos = {i.spec: i for c in models.menu(target) for i in c.infos}
        info = infos.get(models.spec_of(str(drafter), int(n or 0)))
        if info is None:
            return ""
        gamma = int(gamma or 0)
        # Recorded for each drafter alone, judged token by token, with drafts of one length.
        same = as_usual(way=way, rule=rule, lengths=lengths)
        row = None
        if same:
            benchmark = recorded(target.preset.name)
            row = row_for(benchmark, target.sha256, info.spec, gamma, float(temperature or 0))
        return expected_html(info, row, gamma, others=not same)

    return expect
