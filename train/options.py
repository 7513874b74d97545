"""What is true of the options of all steps: which have an effect only beside another, and where results may go."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from fastllm import console
from fastllm.options import METHOD, Bound

# What `--merge` of `train evaluate` and `train methods` still looks at.
_MERGING = ("merge", "json", "table")
# Of a fresh drafter; all but the first of an LSTM or CNN only.
SIZES = ("layers", "max_match", "d_model", "d_state", "article_kernel", "pieces")
T5_SIZES = ("decoder_layers",)


def _greedy(args: argparse.Namespace) -> bool:
    """Whether 0 is among the temperatures; what is no number is told by the step."""
    try:
        return 0.0 in [float(t) for t in args.temperature.split(",") if t]
    except ValueError:
        return True


def _diverges(args: argparse.Namespace) -> bool:
    from train.recipes import RECIPES

    return (args.loss or RECIPES[args.recipe].loss) not in ("ce", "imitate")


def bounds_of(step: str, defaults: Mapping[str, object]) -> tuple[Bound, ...]:
    """The options of `step` that may have no effect."""
    measuring = tuple(name for name in defaults if name not in _MERGING)
    table: dict[str, tuple[Bound, ...]] = {
        "evaluate": (
            Bound(measuring, "beside --merge, which measures nothing", lambda args: not args.merge),
            *METHOD,
            Bound(("peer_articles",), "without 0 in --temperature", lambda a: a.peer_articles == 0 or _greedy(a)),
        ),
        "methods": (Bound(measuring, "beside --merge, which measures nothing", lambda args: not args.merge),),
        "drafter": (
            Bound((*SIZES, *T5_SIZES), "beside --init, whose drafter has its sizes", lambda args: not args.init),
            Bound(("embeddings",), "beside --init, whose drafter has its own", lambda args: not args.init),
            Bound((*SIZES[1:], "embeddings"), "with --family t5", lambda args: args.family != "t5"),
            Bound(T5_SIZES, "without --family t5", lambda args: args.family == "t5"),
            Bound(("temperature",), "with a loss that is no divergence", _diverges),
        ),
        "target": (
            Bound(("vocab_size", "d_model", "layers", "text"), "beside --base, a model with a tokenizer",
                  lambda args: not args.base),
            Bound(("validate_every",), "without --validation", lambda args: bool(args.validation)),
        ),
        "ngram": (
            Bound(("pseudo_copies",), "without --pseudo", lambda args: bool(args.pseudo)),
            Bound(("heldout_limit",), "without --heldout", lambda args: bool(args.heldout)),
            Bound(("split", "limit"), "beside --pseudo without --mix-highlights",
                  lambda args: bool(args.mix_highlights or not args.pseudo)),
        ),
    }  # fmt: skip
    return table.get(step, ())


def _is_file(step: str) -> bool:
    return step in ("data", "pseudo")


# Option -> whether it names a file of that step; None: a file, or a folder for it to lie in.
PLACES: dict[str, Callable[[str], bool | None]] = {
    "out": _is_file,
    "state": lambda step: False,
    "cache": lambda step: False,
    "traces": lambda step: False,
    "table": lambda step: True,
    "json": lambda step: True if step in ("calls", "costs") else None,
}


def check_places(step: str, args: argparse.Namespace) -> None:
    """Refuse, before any work, a place where a result could not be put after it.

    Raises:
        ValueError
    """
    for name, kind in PLACES.items():
        place: Path | None = getattr(args, name, None)
        if place is None:
            continue
        option, file = f"--{name}", kind(step)
        if file and place.is_dir():
            raise ValueError(f"{option} must be a file, and {place} is a folder.")
        if file is False and place.exists() and not place.is_dir():
            raise ValueError(f"{option} must be a folder, and {place} is a file.")
        there = place.absolute()
        while not there.exists():
            there = there.parent
        if there != place.absolute() and not there.is_dir():
            raise ValueError(f"{option} cannot be {place}: {there.name} on the way there is a file, no folder.")
        if not os.access(there, os.W_OK):
            raise ValueError(f"{option} {str(place)[:80]} cannot be written here: give a place of your own.")
        if file is not False and not place.is_dir() and place.absolute().parent.is_dir():
            console.check_writable(place)
