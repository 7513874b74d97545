"""Which option of a command line has an effect only beside another: what has none is refused, not left unread."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bound:
    """Options that do something only under a condition.

    Attributes:
        names: theirs, as attributes of the parsed arguments.
        otherwise: when they do nothing, for the sentence: ``without --rule bild``.
        used: whether the arguments fulfil the condition.
    """

    names: tuple[str, ...]
    otherwise: str
    used: Callable[[argparse.Namespace], bool]


def _rule(args: argparse.Namespace):
    from fastllm.rules import rule_named  # imports torch, which --help does without

    return rule_named(args.rule)


# Of console.add_method_arguments.
METHOD = (
    Bound(("rollback",), "without --rule bild", lambda args: _rule(args).soft),
    Bound(("nodes", "width"), "without --rule follow or siblings", lambda args: _rule(args).tree),
)


def defaults_of(add_arguments: Callable[[argparse.ArgumentParser], None]) -> dict[str, Any]:
    """Option -> the value it has where nobody gives it."""
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    return {action.dest: action.default for action in parser._actions}


def check_used(args: argparse.Namespace, defaults: Mapping[str, Any], bounds: Iterable[Bound]) -> None:
    """Refuse an option that was given another value than its default and would do nothing.

    Raises:
        ValueError
    """
    for bound in bounds:
        given = [name for name in bound.names if getattr(args, name) != defaults[name]]
        if given and not bound.used(args):
            raise ValueError(f"--{given[0].replace('_', '-')} has no effect {bound.otherwise}: leave it out.")
