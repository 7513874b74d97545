"""The page's address as a choice of settings: what a link may carry, and what of it is true. Pure functions.

A link never carries the article, only the topic of one of our examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastllm.config import MAX_GAMMA
from fastllm.ui.watch.methods import KNOBS, MENUS

MAX_ORDER, MAX_TEMPERATURE, MAX_SEED = 5, 1.5, 2**31 - 1
# A link's names that are no words.
_CALLED = {m.key: m.label.lower() for m in MENUS}
MIN_TOP_P, MIN_LENGTH, MAX_LENGTH = 0.1, 8, 192


@dataclass(frozen=True)
class Told:
    """The target that a link names, if it can be had, and a sentence where it cannot."""

    value: str | None = None
    notices: tuple[str, ...] = ()


def read_target(query: Mapping[str, str], names: Sequence[str]) -> Told:
    """The target that `query` names among those that are here."""
    if "target" not in query:
        return Told()
    found = next((n for n in names if n.lower() == query["target"].lower()), None)
    if found is not None:
        return Told(found)
    asked = _shortened(query["target"])
    return Told(None, (f"The link names the target “{asked}”, which is not here: choose one of {', '.join(names)}.",))


@dataclass(frozen=True)
class Choice:
    """Settings from a link; None where it says nothing, or nothing that can be used. ``notices`` tell which."""

    example: str | None = None
    drafter: str | None = None
    n: int | None = None
    gamma: int | None = None
    temperature: float | None = None
    seed: int | None = None
    top_p: float | None = None
    length: int | None = None
    way: str | None = None
    rule: str | None = None
    lengths: str | None = None
    threshold: float | None = None
    rollback: float | None = None
    nodes: int | None = None
    width: int | None = None
    notices: tuple[str, ...] = ()


def read(query: Mapping[str, str], topics: Sequence[str], drafters: Sequence[str]) -> Choice:
    """The settings that `query` carries. What does not fit is left out and told in a sentence; other names are none
    of ours and are ignored."""
    notices: list[str] = []
    found: dict = {}
    for name, allowed in (
        ("example", topics),
        ("drafter", drafters),
        *((m.key, [value for value in m.lines if value]) for m in MENUS),
    ):
        if name not in query:
            continue
        known = next((a for a in allowed if a.lower() == query[name].lower()), None)
        if known is None:
            notices.append(
                f"The link names the {_CALLED.get(name, name)} “{_shortened(query[name])}”, which is not here: choose "
                f"one of {', '.join(allowed)}."
            )
        found[name] = known
    for name, kind, low, high in (
        ("n", int, 1, MAX_ORDER),
        ("gamma", int, 1, MAX_GAMMA),
        ("temperature", float, 0, MAX_TEMPERATURE),
        ("seed", int, 0, MAX_SEED),
        ("top_p", float, MIN_TOP_P, 1),
        ("length", int, MIN_LENGTH, MAX_LENGTH),
        *((knob.key, knob.kind, knob.low, knob.high) for knob in KNOBS),
    ):
        if name not in query:
            continue
        value = _number(query[name], kind)
        if value is None or not low <= value <= high:
            whole = "a whole number" if kind is int else "a number"
            notices.append(
                f"The link's {name} “{_shortened(query[name])}” is ignored: it should be {whole} from {low} to "
                f"{high:,}."
            )
            value = None
        found[name] = value
    return Choice(**found, notices=tuple(notices))


def knobs(choice: Choice) -> list[float | None]:
    """The value of each knob: where a link names a line that has one, and not its value, the line's own."""
    found = []
    for knob in KNOBS:
        value, line = getattr(choice, knob.key), getattr(choice, knob.menu)
        found.append(knob.usual.get(line) if value is None and line else value)
    return found


def _number(text: str, kind: type) -> int | float | None:
    try:
        value = kind(text) if len(text) <= 20 else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def _shortened(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
