"""How much of a run fits on two printed sheets, and how large it may be set. Pure: estimates from counts of characters.

A hand-out has the stream and the summary on its first A4 sheet, rejections and article on its second. Text is set as
large as it fits; what does not fit at the smallest size is left out, in whole steps, rows and words, and the sheet says
how much that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastllm.trace import Step

# The printable part of an A4 page with margins of 12 mm, in millimetres.
WIDTH, HEIGHT = 186.0, 273.0
_MM = 25.4 / 72  # of a point
SIZES = (12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.5)  # points
# Of what is around the text: heading, settings, figures, legend, headings of sections.
_FRONT = 118.0
_BACK = 38.0
# Average advance of a character of system-ui, in ems, taken wide; and of a row of the table, in lines.
_ADVANCE = 0.56
_LEADING = 1.75  # of the stream, whose tokens have boxes
ROWS = 24


@dataclass(frozen=True)
class Sheets:
    """What is printed of a run.

    Attributes:
        stream, article: size of the type, in points.
        steps, rows, characters: so many steps, rejections and characters of the article are printed.
    """

    stream: float
    article: float
    steps: int
    rows: int
    characters: int


def _lines(characters: float, points: float, width: float) -> float:
    return characters * _ADVANCE * points * _MM / width


def step_characters(step: Step) -> int:
    """Characters that a step takes in the stream: its number, its tokens, their boxes."""
    emitted = (step.emitted.text,) if step.emitted else ()
    return 4 + sum(len(t) + 2 for t in (*(t.text for t in step.draft), *emitted))


def fit(steps: Sequence[Step], summary: str, rejections: int, article: str) -> Sheets:
    """The largest type for stream and article with which the run takes two sheets.

    Args:
        rejections: rows of their table.
    """
    lengths = [step_characters(s) for s in steps]

    def front(points: float, shown: int) -> float:
        lines = 1 + _lines(sum(lengths[:shown]), points, WIDTH)
        return _FRONT + lines * points * _MM * _LEADING + (2 + _lines(len(summary), 9.5, WIDTH)) * 9.5 * _MM * 1.5

    stream = next((s for s in SIZES if front(s, len(steps)) <= HEIGHT), SIZES[-1])
    shown = len(steps)
    while shown and front(stream, shown) > HEIGHT:
        shown -= 1

    rows = min(rejections, ROWS)
    left = HEIGHT - _BACK - (rows + 2) * 8.5 * _MM * 1.62
    # Two columns, and a short line at the end of each paragraph.
    paragraphs = article.count("\n") + 2

    def back(points: float, characters: int) -> float:
        lines = _lines(characters, points, WIDTH / 2 - 4) * 1.08 + paragraphs * characters / max(1, len(article))
        return lines * points * _MM * 1.4 / 2

    sizes = [s for s in SIZES if s <= 10]
    size = next((s for s in sizes if back(s, len(article)) <= left), sizes[-1])
    characters = len(article)
    while characters and back(size, characters) > left:
        characters = int(characters * 0.97)
    return Sheets(stream, size, shown, rows, characters)
