"""``python -m train STEP``: see ``python -m train --help``."""

from __future__ import annotations

import argparse
import importlib
import sys

from fastllm.options import check_used, defaults_of
from train.options import bounds_of, check_places

STEPS = {
    "data": "clean CNN/DailyMail pairs into one jsonl file",
    "target": "train the tokenizer and the `mini` target, or fine-tune a T5",
    "pseudo": "let the target summarise articles: the pseudo-dataset",
    "ngram": "estimate n-gram drafters with KenLM's lmplz",
    "drafter": "teach an LSTM, CNN or T5 drafter, by summaries or by the target",
    "alphas": "the table of alpha by drafter and recipe, from the records of drafter runs",
    "costs": "what a draft token and the decode loop cost beside a target call",
    "exact": "whether speculative decoding says what plain decoding says, over many articles",
    "skip": "which sublayers a target leaves out to draft for itself: Bayesian search, random search beside it",
    "evaluate": "measure acceptance, block efficiency, speed and ROUGE",
    "headline": "README's short table of all targets, from their recorded benchmarks",
    "methods": "every method of a target in one run, each in its fastest setting, beside its published figure",
    "calls": "milliseconds of a target call by the tokens it scores, on each engine, beside the memory's floor",
}


def build_parser(argv: list[str]) -> argparse.ArgumentParser:
    """The parser; only the step that `argv` names is imported, so that ``--help`` needs no torch."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, text in STEPS.items():
        sub = steps.add_parser(name, help=text, description=text)
        if argv and argv[0] == name:
            module = importlib.import_module(f"train.steps.{name}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run, add_arguments=module.add_arguments)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a step; the exit status is 2 where its input is at fault, with one sentence on standard error."""
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser(argv).parse_args(argv)
    run, add_arguments = args.run, args.add_arguments
    del args.run, args.add_arguments
    try:
        defaults = defaults_of(add_arguments)
        check_used(args, defaults, bounds_of(args.step, defaults))
        check_places(args.step, args)
        run(args)
    except (OSError, ValueError) as error:
        print(f"train {args.step}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
