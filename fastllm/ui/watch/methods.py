"""How drafts are made, how long they get and how they are judged: the menus under *More settings*, each from the table
that holds what it offers, with that table's own words. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

import gradio as gr

from fastllm.config import MAX_NODES, MAX_WIDTH, Settings
from fastllm.drafters import COMPOSITES
from fastllm.lengths import LENGTHS
from fastllm.rules import RULES

LOSSY = "Lossy: the text may differ from the target's own."


@dataclass(frozen=True)
class Line:
    """A line of a menu: its words, two sentences about it, and whether it keeps the target's text."""

    title: str
    about: str
    lossless: bool = True


@dataclass(frozen=True)
class Menu:
    """One menu.

    Attributes:
        key: its name in handlers, and in the page's address; the elem_id on the page, too.
        label: for people.
        usual: the value that the page begins with.
        lines: what may be chosen, by value.
    """

    key: str
    label: str
    usual: str
    lines: Mapping[str, Line]

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Words and value of each line."""
        return [(line.title, value) for value, line in self.lines.items()]


_ALONE = Line("Nothing", "The drafter works alone.")

MENUS: tuple[Menu, ...] = (
    Menu("way", "Joined with", "", {"": _ALONE} | {k: Line(c.title, c.about) for k, c in COMPOSITES.items()}),
    Menu("rule", "Rule", "token", {k: Line(r.title, r.about, r.lossless) for k, r in RULES.items()}),
    Menu("lengths", "Draft length", "constant", {k: Line(x.title, x.about) for k, x in LENGTHS.items()}),
)


@dataclass(frozen=True)
class Knob:
    """A number that some lines of a menu have: a threshold, or the size of a tree.

    Attributes:
        key: its name in handlers and in the page's address; the elem_id on the page, too.
        menu: the key of the menu that it belongs to.
        low, high, step: of its slider; a step of 1 is a whole number's.
        usual: what each line that has it begins with.
    """

    key: str
    menu: str
    label: str
    low: float
    high: float
    step: float
    usual: Mapping[str, float]

    @property
    def kind(self) -> type:
        """Of its values."""
        return int if self.step == 1 else float

    @property
    def first(self) -> float:
        """What it shows before any line was chosen that has it."""
        return max(self.usual.values())

    def value(self, line: object) -> float:
        """What it shows when `line` was chosen."""
        return self.usual.get(str(line or ""), self.first)


KNOBS: tuple[Knob, ...] = (
    Knob(
        "threshold", "lengths", "Threshold", 0, 1, 0.05,
        {k: x.threshold for k, x in LENGTHS.items() if x.threshold is not None and not x.carried},
    ),
    Knob(
        "rollback", "rule", "Rollback, nats", 0, 10, 0.5,
        {k: r.rollback for k, r in RULES.items() if r.soft},
    ),
    Knob(
        "nodes", "rule", "Nodes of the tree", 1, MAX_NODES, 1,
        {k: Settings.nodes for k, r in RULES.items() if r.tree},
    ),
    Knob(
        "width", "rule", "Most siblings", 1, MAX_WIDTH, 1,
        {k: Settings.width for k, r in RULES.items() if r.tree},
    ),
)  # fmt: skip
# Rules under which a text may differ, while their threshold is above 0.
SOFT = tuple(k for k, r in RULES.items() if not r.lossless)


def badge_html(lossless: bool) -> str:
    """The mark of a rule whose text need not be the target's own; nothing for the others."""
    return "" if lossless else f'<strong class="fl-lossy"><i aria-hidden="true">≠</i> {escape(LOSSY)}</strong>'


def about_html(menu: Menu, value: object) -> str:
    """What the chosen line of a menu does; "" for a value that the menu does not have."""
    line = menu.lines.get(str(value or ""))
    return f'<p class="fl-method">{escape(line.about)} {badge_html(line.lossless)}</p>' if line else ""


def explains(menu: Menu) -> Callable[[object], str]:
    """:func:`about_html` of one menu."""

    def about(value: object) -> str:
        return about_html(menu, value)

    return about


def shows(knob: Knob) -> Callable[[object], dict]:
    """An update of a knob's slider by the line that is chosen: seen where that has one."""

    def update(value: object) -> dict:
        return gr.update(visible=str(value or "") in knob.usual)

    return update


def goes_with(rule: object, lengths: object) -> object:
    """The draft lengths that a rule was published with; those that are chosen where it has none of its own."""
    found = RULES.get(str(rule or ""))
    return found.lengths if found and found.lengths else lengths


def usual(**chosen: object) -> bool:
    """Whether every menu stands as the page begins with it."""
    return all(str(chosen.get(m.key) or "") == m.usual for m in MENUS)
