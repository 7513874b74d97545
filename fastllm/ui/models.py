"""The process's models: loaded once, shared by all visitors, and at work for one of them at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from fastllm.config import Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters import DrafterInfo, available, load_drafter
from fastllm.drafters.base import Drafter
from fastllm.target import Target, TargetSession, load_target
from fastllm.trace import Step

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


def open_session(target: Target, article: str, drafter: Drafter, settings: Settings) -> TargetSession:
    """Encode an article, then take a few steps of either decoder so that no timing pays for first calls.

    Raises:
        fastllm.target.TargetError: the article holds no token.
    """
    with MODEL:
        session = target.open(article)
        for steps in (speculative(session, drafter, settings), autoregressive(session, settings)):
            for step, _ in zip(steps, range(WARM_UP_STEPS), strict=False):
                if step.seconds > SLOW_STEP:
                    break
    return session


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
