"""The two lessons that the page begins with, for each target: settings that show one thing each. Pure.

Chosen from the recorded benchmark (docs/log.md; tests/test_ui_cards.py holds `mini` to it): the first drafter is faster
than plain decoding and not perfect; the second is refused nearly always, so slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ORDER, GAMMA = 3, 4
# The fastest recorded of mini's LSTM up to 8: drafts of 12 and 16 gain a little more, and leave a phone's screen
GOOD_GAMMA = 8


@dataclass(frozen=True)
class Lesson:
    """One button: what it sets, and a sentence about what to see.

    Attributes:
        key: of its button (`TITLES`).
        drafter: a line of the drafter menu.
        n: the order, for an n-gram drafter.
        gamma: the draft length.
        example: the topic of the article.
        sentence: what the run will show; how fast it was, `told` adds from the record.
    """

    key: str
    drafter: str
    n: int
    gamma: int
    example: str
    sentence: str


# The buttons, in order; a lesson is named by its key.
TITLES = {"good": "A good drafter", "bad": "A bad drafter"}

_WHY_FASTER = (
    "Most guesses are kept, so one call of the target yields several words. Where a guess is refused, the target "
    "writes that word itself."
)
_WHY_SLOWER = (
    "This drafter only knows which words are common. Nearly every guess is refused, so each call still yields one "
    "word, and guessing costs time on top."
)
LESSONS: dict[str, tuple[Lesson, ...]] = {
    "mini": (
        Lesson("good", "lstm@distilled", ORDER, GOOD_GAMMA, "Culture", _WHY_FASTER),
        Lesson("bad", "ngram@distilled", 1, GAMMA, "Culture", _WHY_SLOWER),
    ),
    "smollm2": (
        Lesson("good", "lstm@distilled", ORDER, GAMMA, "Culture", _WHY_FASTER),
        Lesson("bad", "ngram@distilled", 1, GAMMA, "Culture", _WHY_SLOWER),
    ),
}


def told(lesson: Lesson, row: dict | None) -> str:
    """The lesson's sentence, and how fast its settings were recorded to be: `row` of the benchmark, or None."""
    low, high = (row or {}).get("speedup_interval") or (None, None)
    if row is None or low is None or high is None:
        return lesson.sentence
    than = "slower than" if high < 1 else "faster than" if low > 1 else "about as fast as"
    where = f"{row['measured_speedup']:.2f} times as fast over {row['articles']} articles"
    return f"{lesson.sentence} Recorded: {than} without a drafter ({where})."


def lessons_for(target: str, drafters: Sequence[str]) -> tuple[Lesson, ...]:
    """The lessons of that target whose drafter is in the menu; none for a target that nobody measured."""
    return tuple(lesson for lesson in LESSONS.get(target, ()) if lesson.drafter in drafters)


@dataclass(frozen=True)
class Start:
    """What the controls hold when the page opens; `example` is "" for the first one."""

    drafter: str
    n: int = ORDER
    gamma: int = GAMMA
    example: str = ""


def start_of(target: str, drafters: Sequence[str]) -> Start:
    """The first lesson's settings; without one, the drafter that fits every target, or the first there is."""
    for lesson in lessons_for(target, drafters)[:1]:
        return Start(lesson.drafter, lesson.n, lesson.gamma, lesson.example)
    return Start("lookup" if "lookup" in drafters else drafters[0])
