"""Arguments that cannot be meant, told before any work, in a sentence that names the option."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def at_least(low: int, args: argparse.Namespace, *names: str) -> None:
    """Refuse a number below `low`; None is left to the step.

    Raises:
        ValueError
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < low:
            raise ValueError(f"--{name.replace('_', '-')} must be {low} or more, not {value}.")


def numbers(args: argparse.Namespace, kind: Callable[[str], T], name: str) -> list[T]:
    """The option `name` as numbers separated by commas, at least one.

    Raises:
        ValueError
    """
    text = getattr(args, name)
    try:
        found = [kind(x) for x in text.split(",") if x]
    except ValueError:
        found = []
    if not found:
        raise ValueError(f"--{name} must be numbers separated by commas, not {text!r}.")
    return found
