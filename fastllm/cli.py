"""``python -m fastllm ARTICLE.txt --drafter ngram --n 3 --gamma 4``: a run's stream and figures, in a terminal."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastllm import console
from fastllm.analysis.metrics import Metrics, summarise
from fastllm.analysis.timing import Timing, alternating, compare_runs
from fastllm.config import Sampling, Settings
from fastllm.options import METHOD, Bound, check_used, defaults_of
from fastllm.trace import Step, Trace, to_json

# Okabe-Ito hues where the terminal has them; every status has a sign of its own besides.
_STYLE = {
    "accepted": ("\x1b[38;5;35m", ""),
    "rejected": ("\x1b[9;38;5;166m", "✗"),
    "ignored": ("\x1b[2m", "·"),
    "resampled": ("\x1b[1;38;5;32m", "→"),
    "bonus": ("\x1b[1;38;5;175m", "+"),
    "target": ("\x1b[1m", ""),
}
_RESET = "\x1b[0m"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fastllm", description=__doc__)
    _add_arguments(parser)
    return parser


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("article", help="a text file, or - for standard input")
    parser.add_argument("--target", default="mini", help="mini, t5-base, t5-large, flan-t5-xl, a folder or a hub name")
    parser.add_argument(
        "--drafter", default="ngram", help="ngram, lookup, ngram:3@baseline, t5+lookup, lookup-then-ngram:2 ..."
    )
    parser.add_argument("--n", type=int, default=3, help="order of --drafter ngram, 1 to 5")
    parser.add_argument("--gamma", type=int, default=4, help="draft length")
    console.add_method_arguments(parser)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument(
        "--no-repeat-ngram-size", type=int, default=None, help="0 turns blocking off; default: the target's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--device", default=None)
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch; also ENGINE=")
    parser.add_argument("--baseline", action="store_true", help="time plain decoding of the same article too")
    parser.add_argument("--json", type=Path, default=None, metavar="OUT.json", help="write the trace")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")


# What has an effect only beside something else.
_BOUND = (
    *METHOD,
    Bound(("n",), "without --drafter ngram", lambda args: args.drafter.strip() == "ngram"),
)


def _paint(text: str, style: str, color: bool) -> str:
    code, sign = _STYLE[style]
    body = f"{sign}{text}"
    return f"{code}{body}{_RESET}" if color else (f"[{style}:{body}]" if style != "accepted" else body)


def render_step(step: Step, color: bool) -> str:
    """One step as terminal text: accepted plain, the others marked."""
    parts = [_paint(t.text, t.status, color) for t in step.draft]
    if step.emitted:
        parts.append(_paint(step.emitted.text, step.emitted.kind, color))
    if step.aside:
        parts.append(_paint(f" {len(step.aside)} others", "ignored", color))
    return "".join(parts)


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def figures(metrics: Metrics) -> list[str]:
    """The figures of a run, a line each."""
    return [
        f"tokens {metrics.tokens} in {metrics.target_calls} target calls, tau {_number(metrics.tau, '.2f')}",
        f"acceptance: mean beta {_number(metrics.mean_beta)}, accepted/tested {_number(metrics.accepted_tested)}, "
        f"accepted/drafted {_number(metrics.accepted_drafted)}",
        f"time {metrics.seconds * 1e3:.0f} ms: drafting {metrics.seconds_draft * 1e3:.0f}, target "
        f"{metrics.seconds_target * 1e3:.0f}, other {metrics.seconds_other * 1e3:.0f}; "
        f"{_number(metrics.tokens_per_second, '.0f')} tokens/s",
    ]


def speed(timing: Timing | None) -> str:
    """What the clock says of a run beside plain decoding, in a line."""
    if timing is None:
        return "speedup: nothing was written, so there is nothing to time"
    if timing.speedup is None or timing.interval is None:
        return f"speedup: {timing.trouble[0].lower()}{timing.trouble[1:]}; at most {timing.tau:.2f}x, which is tau"
    low, high = timing.interval
    return (
        f"measured speedup {timing.speedup:.2f}x ({low:.2f} to {high:.2f}), at most tau: "
        f"{1e3 * timing.seconds_token:.2f} ms a token, plain decoding {1e3 * timing.plain_seconds_token:.2f}"
    )


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command; the exit status is 2 where the input is at fault, with one sentence on standard error."""
    console.prepare()
    args = _parser().parse_args(None if argv is None else list(argv))
    try:
        trace = _run(args)
        if args.json:
            console.write_text(args.json, to_json(trace) + "\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"fastllm: {error}", file=sys.stderr)
        return 2
    return 0


def _settings(args: argparse.Namespace, blocked: int, length: int) -> Settings:
    """The settings of the command line; `blocked` and `length` where it names none."""
    blocked = blocked if args.no_repeat_ngram_size is None else args.no_repeat_ngram_size
    length = length if args.max_new_tokens is None else args.max_new_tokens
    from fastllm.lengths import lengths_of
    from fastllm.rules import rule_named, rule_of

    sampling = Sampling(args.temperature, args.top_k, args.top_p, blocked)
    rollback = rule_named(args.rule).threshold(args.rollback)
    more = {"rule": args.rule, "lengths": args.lengths, "rollback": rollback}
    more |= {"nodes": args.nodes, "width": args.width}
    settings = Settings(args.gamma, sampling, args.seed, length, **more)
    rule_of(settings), lengths_of(settings)  # a wrong one is told before anything is read
    return settings


def _run(args: argparse.Namespace) -> Trace:
    check_used(args, defaults_of(_add_arguments), _BOUND)
    _settings(args, 0, 1)  # a wrong number is told before anything is read
    if args.json:
        console.check_writable(args.json)
    text = console.read_text(args.article)
    if not text.strip():
        raise ValueError("The article is empty: give some text to summarise.")

    from fastllm.decode import autoregressive, make_trace, speculative
    from fastllm.drafters import load_drafter
    from fastllm.lengths import Carried
    from fastllm.rules import lossless
    from fastllm.targets.load import load_target

    target = load_target(args.target, args.device, args.engine)
    console.tell(target.notes)
    settings = _settings(args, target.preset.no_repeat_ngram_size, target.preset.max_new_tokens)
    drafter = load_drafter(target, f"ngram:{args.n}" if args.drafter.strip() == "ngram" else args.drafter)
    carried, asked = Carried(), settings
    settings = carried.begin(asked, drafter.name)
    color = args.color == "always" or (args.color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    session = target.open(text)
    if session.article.cut:
        read, cut = session.article.tokens, session.article.cut
        console.tell([f"the target reads {read} tokens of the article; {cut} were cut."])
    for first in (autoregressive(session, settings), speculative(session, drafter, settings)):
        for _ in zip(range(3), first, strict=False):
            pass  # warm up, so that neither timing pays for first calls, of the drafter's neither
    race: Iterator[tuple[bool, Step]] = ((True, step) for step in speculative(session, drafter, settings))
    if args.baseline:
        # One cache cannot follow two texts: plain decoding has a session of its own.
        other = target.open(text)
        plain_steps = autoregressive(other, dataclasses.replace(settings, top=0))
        race = alternating(speculative(session, drafter, settings), plain_steps)
    steps: dict[bool, list[Step]] = {True: [], False: []}
    for ours, step in race:
        steps[ours].append(step)
        if ours:
            print(render_step(step, color), end="", flush=True)
    trace = make_trace(session, drafter, settings, steps[True])
    print(f"\n\n{trace.text}\n")
    print("\n".join(figures(summarise(trace))))
    print(f"engine: {trace.arithmetic}")
    if (left := carried.end(asked, drafter.name, trace)) is not None:
        print(f"draft lengths: {trace.lengths} at first, threshold {left:.2f} at the end")
    if not lossless(trace.rule, trace.rollback):
        print(f"rule: {trace.rule}, rollback {trace.rollback:g}: lossy, this need not be the target's own text")
    if args.baseline:
        plain = make_trace(other, None, settings, steps[False])
        other.close()
        same = "the same text" if plain.tokens == trace.tokens else "another text"
        if not settings.sampling.greedy:
            same = "one more sample of the same distribution"
        print(f"plain decoding: {len(plain.steps)} target calls, {same}")
        print(speed(compare_runs(trace, plain)))
        trace = trace.compared_with(plain)
    return trace
