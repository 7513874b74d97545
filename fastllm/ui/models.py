"""The process's models: loaded once, shared by all visitors, and at work for one of them at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from fastllm.config import Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters import DrafterInfo, available, load_drafter
from fastllm.drafters.base import Drafter
from fastllm.target import Target, TargetError, TargetSession, load_target
from fastllm.trace import Article, Step

# Held around every piece of model work, so that no visitor's work falls into another's timed region.
MODEL = threading.Lock()

WARM_UP_STEPS = 3
SLOW_STEP = 0.25


@lru_cache(maxsize=4)
def get_target(name: str) -> Target:
    """The target of that name; the first call loads it.

    Raises:
        fastllm.target.TargetError: it cannot be loaded.
    """
    return load_target(name)


@lru_cache(maxsize=32)
def get_drafter(target: Target, spec: str) -> Drafter:
    """The drafter `spec` for `target`; the first call loads it.

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


_VARIANTS = {"distilled": "N-gram (distilled)", "baseline": "N-gram (baseline)"}


def choices(infos: list[DrafterInfo]) -> list[Choice]:
    """The menu: n-grams of one variant share a line, because a slider chooses N."""
    found: dict[str, Choice] = {}
    for info in infos:
        if info.family == "ngram":
            variant = info.spec.partition("@")[2]
            key = f"ngram@{variant}" if variant else "ngram"
            found[key] = Choice(key, _VARIANTS.get(variant, "N-gram"), True)
        else:
            found[info.spec] = Choice(info.spec, info.title, False)
    return sorted(found.values(), key=lambda c: not c.has_order)


def menu(target: Target) -> list[Choice]:
    """The drafters that can be loaded for `target`."""
    return choices(available(target))


def spec_of(key: str, order: int) -> str:
    """The drafter spec of a menu line and the N of the slider."""
    family, at, variant = key.partition("@")
    return f"ngram:{order}{at}{variant}" if family == "ngram" else key


# ZeroGPU lends a GPU to a generator function for as long as it runs, in a process of its own. Set by app.py there.
_lease: Callable[..., Iterator[Step]] | None = None
_target_name = ""


@dataclass(frozen=True)
class Reading:
    """What is known of a session without the GPU: stands in for a TargetSession while the GPU is elsewhere."""

    target: Target
    article: Article
    seconds_encode: float = 0.0


def lend(gpu: Callable, target: str) -> bool:
    """Do the model work of `target` in a function wrapped by `gpu` (``spaces.GPU``); False where that lends nothing,
    because the Space is not on ZeroGPU."""
    global _lease, _target_name
    wrapped = gpu(leased_steps)
    _lease, _target_name = None if wrapped is leased_steps else wrapped, target
    return _lease is not None


def leased() -> bool:
    """Whether a GPU is lent run by run."""
    return _lease is not None


def leased_steps(target: str, article: str, drafter: str | None, settings: Settings) -> Iterator[Step]:
    """A whole run inside one lease: everything in and out is plain data, as it crosses to another process."""
    loaded = get_target(target)
    session = loaded.open(article)
    drafting = get_drafter(loaded, drafter) if drafter else None
    begin = lambda: speculative(session, drafting, settings) if drafting else autoregressive(session, settings)  # noqa: E731
    _warm_up(begin())
    yield from begin()


def _warm_up(steps: Iterator[Step]) -> None:
    """A few steps, so that no timing pays for first calls; fewer where they are slow."""
    for step, _ in zip(steps, range(WARM_UP_STEPS), strict=False):
        if step.seconds > SLOW_STEP:
            break


def open_session(target: Target, article: str, drafter: Drafter, settings: Settings) -> TargetSession:
    """Encode an article, then take a few steps of either decoder so that no timing pays for first calls.

    Raises:
        fastllm.target.TargetError: the article holds no token.
    """
    if _lease is not None:
        read, cut = target.read(article)
        if not read:
            raise TargetError("The article is empty: paste some text to summarise.")
        return Reading(target, Article(article, len(read), len(cut)))
    with MODEL:
        session = target.open(article)
        _warm_up(speculative(session, drafter, settings))
        _warm_up(autoregressive(session, settings))
    return session


def steps(session: TargetSession, drafter: Drafter | None, settings: Settings) -> Iterator[Step]:
    """The steps of a run: speculative decoding, or plain decoding where `drafter` is None; on ZeroGPU in a lease."""
    if _lease is not None:
        return _lease(_target_name, session.article.text, drafter.name if drafter else None, settings)
    return speculative(session, drafter, settings) if drafter else autoregressive(session, settings)


def burst(steps: Iterator[Step], at_most: float) -> list[Step]:
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
    read, cut = target.read(text)
    if not cut:
        return len(read), 0, ""
    words = target.text(read).split()
    whole = words if target.piece(cut[0]).startswith(" ") else words[:-1]
    return len(read), len(cut), " ".join(whole[-3:])
