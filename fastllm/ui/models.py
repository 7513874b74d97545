"""The process's models: loaded once, shared by all visitors, and at work for one of them at a time."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastllm.analysis.timing import alternating
from fastllm.config import Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters import COMPOSITES, DrafterInfo, available, load_drafter, others
from fastllm.drafters.base import Drafter
from fastllm.loading import loaded_once
from fastllm.targets.base import Target, TargetError, TargetSession
from fastllm.targets.load import load_target
from fastllm.trace import Article, Step

# Held around every piece of model work, so that no visitor's work falls into another's timed region.
MODEL = threading.Lock()

T = TypeVar("T")

WARM_UP_STEPS = 3
SLOW_STEP = 0.25


@loaded_once(4)
def get_target(name: str) -> Target:
    """The target of that name; the first call loads it, and others wait for that.

    Raises:
        fastllm.targets.base.TargetError: it cannot be loaded.
    """
    return load_target(name)


@loaded_once(32)
def get_drafter(target: Target, spec: str) -> Drafter:
    """The drafter `spec` for `target`; the first call loads it, and others wait for that.

    Raises:
        fastllm.drafters.errors.DrafterError: it cannot be loaded.
    """
    return load_drafter(target, spec)


@dataclass(frozen=True)
class Choice:
    """A line of the drafter menu: `key` is the spec, or for n-grams the spec without its N."""

    key: str
    title: str
    has_order: bool
    infos: tuple[DrafterInfo, ...] = ()

    @property
    def variant(self) -> str:
        """What it was trained on; "" where there is nothing to train."""
        return self.infos[0].variant if self.infos else ""


def choices(infos: list[DrafterInfo]) -> list[Choice]:
    """The menu: n-grams of one variant share a line, because a slider chooses N."""
    groups: dict[str, list[DrafterInfo]] = {}
    for info in infos:
        key = f"ngram@{info.variant}" if info.family == "ngram" else info.spec
        groups.setdefault(key, []).append(info)
    found = []
    for key, some in groups.items():
        first = some[0]
        title = f"N-gram ({first.variant})" if first.family == "ngram" else first.title
        found.append(Choice(key, title, first.family == "ngram", tuple(some)))
    return sorted(found, key=lambda c: not c.has_order)


def other_variant(key: str, variant: str, keys: Sequence[str]) -> str:
    """The menu line of the same family with that variant; `key` itself where there is none."""
    wanted = f"{key.partition('@')[0]}@{variant}"
    return wanted if wanted in keys else key


def menu(target: Target) -> list[Choice]:
    """The drafters that can be loaded for `target`, those with another tokenizer last."""
    return choices([*available(target), *others(target)])


def spec_of(key: str, order: int, way: str = "") -> str:
    """The drafter spec of a menu line, the N of the slider, and the way in which another drafter joins it, a name of
    fastllm.drafters.COMPOSITES or "".

    Raises:
        ValueError: there is no such way.
    """
    family, at, variant = key.partition("@")
    spec = f"ngram:{order}{at}{variant}" if family == "ngram" else key
    if not way:
        return spec
    if way not in COMPOSITES:
        raise ValueError(f"There is no way {way!r} to join two drafters: give one of {', '.join(COMPOSITES)}.")
    return COMPOSITES[way].offered.format(spec)


# ZeroGPU lends a GPU to a generator function for as long as it runs, in a process of its own. Set by app.py there.
_lease: Callable[..., Iterator[tuple[bool, Step]]] | None = None


@dataclass(frozen=True)
class Reading:
    """What is known of a session without the GPU: stands in for a TargetSession while the GPU is elsewhere."""

    target: Target
    article: Article
    seconds_encode: float = 0.0

    def close(self) -> None:
        """Nothing is kept here."""


def lend(gpu: Callable) -> bool:
    """Do all model work in a function wrapped by `gpu` (``spaces.GPU``); False where that lends nothing,
    because the Space is not on ZeroGPU."""
    global _lease
    wrapped = gpu(leased_steps)
    _lease = None if wrapped is leased_steps else wrapped
    return _lease is not None


def leased() -> bool:
    """Whether a GPU is lent run by run."""
    return _lease is not None


def leased_steps(target: str, article: str, drafter: str, settings: Settings) -> Iterator[tuple[bool, Step]]:
    """A whole race inside one lease: everything in and out is plain data, as it crosses to another process."""
    loaded = get_target(target)
    session, drafting = loaded.open(article), get_drafter(loaded, drafter)
    _warm_up(speculative(session, drafting, settings))
    _warm_up(autoregressive(session, settings))
    yield from _race(session, drafting, settings)


def _race(session: TargetSession, drafter: Drafter, settings: Settings) -> Iterator[tuple[bool, Step]]:
    # One cache cannot follow two texts: plain decoding has a session of its own.
    other = session.target.open(session.article.text)
    try:
        # Nobody inspects plain decoding's candidates.
        plain = autoregressive(other, dataclasses.replace(settings, top=0))
        yield from alternating(speculative(session, drafter, settings), plain)
    finally:
        other.close()


def _warm_up(steps: Iterator[Step]) -> None:
    """A few steps, so that no timing pays for first calls; fewer where they are slow."""
    for step, _ in zip(steps, range(WARM_UP_STEPS), strict=False):
        if step.seconds > SLOW_STEP:
            break


def open_session(target: Target, article: str, drafter: Drafter, settings: Settings) -> Any:
    """Encode an article, then take a few steps of either decoder so that no timing pays for first calls.

    Raises:
        fastllm.targets.base.TargetError: the article holds no token.
    """
    if _lease is not None:
        prompt = target.read(article)
        if not prompt.article:
            raise TargetError("The article is empty: paste some text to summarise.")
        return Reading(target, Article(article, len(prompt.article), len(prompt.cut)))
    with MODEL:
        session = target.open(article)
        _warm_up(speculative(session, drafter, settings))
        _warm_up(autoregressive(session, settings))
    return session


def race(session: TargetSession, drafter: Drafter, settings: Settings) -> Iterator[tuple[bool, Step]]:
    """Speculative and plain decoding of an article in turns, each step with whether it is a speculative one; on ZeroGPU
    in one lease."""
    if _lease is not None:
        return _lease(session.target.preset.asked, session.article.text, drafter.name, settings)
    return _race(session, drafter, settings)


def burst(steps: Iterator[T], at_most: float) -> list[T]:
    """At least one next step, and more while fewer than `at_most` seconds have passed; empty at the end.

    A step of a small target takes less time than sending one to the browser does: in bursts the timed work runs
    undisturbed, and the page still gets many frames a second.
    """
    found = []
    with MODEL:
        until = time.perf_counter() + at_most
        for step in steps:
            found.append(step)
            if time.perf_counter() >= until:
                break
    return found


def reading(target: Target, text: str) -> tuple[int, int, str]:
    """Tokens of `text` that the target reads, tokens that it does not, and the last whole words before the cut."""
    prompt = target.read(text)
    read, cut = prompt.article, prompt.cut
    if not cut:
        return len(read), 0, ""
    words = target.text(read).split()
    whole = words if target.piece(cut[0]).startswith(" ") else words[:-1]
    return len(read), len(cut), " ".join(whole[-3:])
