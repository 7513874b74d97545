"""One name and one colour for a drafter, wherever Study shows it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastllm.ui.plots import BLUE, GREEN, GREY, OLIVE, ORANGE, PINK, PURPLE, RED

# Family: name and colour. What is neither listed nor an n-gram is called by its spec.
_KNOWN = {
    "lookup": ("Lookup", GREY),
    "lstm": ("LSTM", BLUE),
    "cnn": ("CNN", ORANGE),
    "t5": ("T5", GREEN),
    "self": ("Self", OLIVE),
}
_NGRAM = re.compile(r"ngram:(\d+)$")
_BY_ORDER = (PURPLE, PURPLE, RED, RED, PINK)  # n-grams of order 1 to 5; longer ones as the last


@dataclass(frozen=True)
class Look:
    """How a drafter is called and drawn. ``order`` sorts drafters: by family, then by name."""

    name: str
    colour: str
    order: tuple[int, str]


def look_of(spec: str) -> Look:
    """The look of a drafter spec such as ``lookup``, ``ngram:3@distilled`` or ``t5+lookup``.

    What it was trained on belongs to the name only where that is not ``distilled``, the usual one.
    """
    base, _, variant = spec.partition("@")
    taught = f" ({variant})" if variant and variant != "distilled" else ""
    if base in _KNOWN:
        name, colour = _KNOWN[base]
        return Look(name + taught, colour, (list(_KNOWN).index(base), ""))
    if found := _NGRAM.match(base):
        n = int(found[1])
        return Look(
            f"N-gram, N = {n}{taught}", _BY_ORDER[min(max(n, 1), len(_BY_ORDER)) - 1], (len(_KNOWN), f"{n:02d}")
        )
    return Look(spec, OLIVE, (len(_KNOWN) + 1, spec))
