"""``python -m fastllm ARTICLE.txt --drafter ngram --n 3 --gamma 4``: a run's stream and figures, in a terminal."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from fastllm.config import Sampling, Settings
from fastllm.metrics import Metrics, measured_speedup, summarise
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
    parser.add_argument("article", help="a text file, or - for standard input")
    parser.add_argument("--target", default="mini", help="mini, t5-base, t5-large, flan-t5-xl, a folder or a hub name")
    parser.add_argument("--drafter", default="ngram", help="ngram or lookup; ngram:3@baseline also works")
    parser.add_argument("--n", type=int, default=3, help="order of the n-gram drafter, 1 to 5")
    parser.add_argument("--gamma", type=int, default=4, help="draft length")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument(
        "--no-repeat-ngram-size", type=int, default=None, help="0 turns blocking off; default: the target's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--device", default=None)
    parser.add_argument("--baseline", action="store_true", help="time plain decoding of the same article too")
    parser.add_argument("--json", type=Path, default=None, metavar="OUT.json", help="write the trace")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    return parser


def _paint(text: str, style: str, color: bool) -> str:
    code, sign = _STYLE[style]
    body = f"{sign}{text}"
    return f"{code}{body}{_RESET}" if color else (f"[{style}:{body}]" if style != "accepted" else body)


def render_step(step: Step, color: bool) -> str:
    """One step as terminal text: accepted plain, the others marked."""
    parts = [_paint(t.text, t.status, color) for t in step.draft]
    if step.emitted:
        parts.append(_paint(step.emitted.text, step.emitted.kind, color))
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


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command; the exit status is 2 where the input is at fault, with one sentence on standard error."""
    args = _parser().parse_args(None if argv is None else list(argv))
    try:
        trace = _run(args)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"fastllm: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(to_json(trace) + "\n", encoding="utf-8")
    return 0


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.buffer.read().decode("utf-8", errors="replace")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"There is no file {path}: give a text file, or - to read standard input.")
    return file.read_text(encoding="utf-8", errors="replace")


def _run(args: argparse.Namespace) -> Trace:
    text = _read(args.article)
    if not text.strip():
        raise ValueError("The article is empty: give some text to summarise.")
    if args.json and not args.json.resolve().parent.is_dir():
        raise ValueError(f"The folder of {args.json} does not exist: make it first.")
    sampling = Sampling(args.temperature, args.top_k, args.top_p, max(0, args.no_repeat_ngram_size or 0))
    Settings(args.gamma, sampling, args.seed, args.max_new_tokens or 96)  # a wrong number is told before models load

    from fastllm.decode import autoregressive, make_trace, speculative
    from fastllm.drafters import load_drafter
    from fastllm.target import load_target

    target = load_target(args.target, args.device)
    preset = target.preset
    blocked = preset.no_repeat_ngram_size if args.no_repeat_ngram_size is None else args.no_repeat_ngram_size
    sampling = Sampling(args.temperature, args.top_k, args.top_p, blocked)
    settings = Settings(args.gamma, sampling, args.seed, args.max_new_tokens or preset.max_new_tokens)
    drafter = load_drafter(target, f"ngram:{args.n}" if args.drafter == "ngram" else args.drafter)
    color = args.color == "always" or (args.color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    session = target.open(text)
    if session.article.cut:
        print(
            f"note: the target reads {session.article.tokens} tokens of the article; {session.article.cut} were cut.",
            file=sys.stderr,
        )
    for _ in zip(range(3), autoregressive(session, settings), strict=False):
        pass  # warm up, so that neither timing pays for first calls
    steps = []
    for step in speculative(session, drafter, settings):
        steps.append(step)
        print(render_step(step, color), end="", flush=True)
    trace = make_trace(session, drafter, settings, steps)
    print(f"\n\n{trace.text}\n")
    print("\n".join(figures(summarise(trace))))
    if args.baseline:
        unwatched = dataclasses.replace(settings, top=0)
        plain = make_trace(session, None, settings, list(autoregressive(session, unwatched)))
        same = "the same text" if plain.tokens == trace.tokens else "another text"
        if not sampling.greedy:
            same = "one more sample of the same distribution"
        print(f"plain decoding: {plain.seconds * 1e3:.0f} ms, {same}; ", end="")
        print(f"measured speedup {_number(measured_speedup(trace, plain), '.2f')}x")
        trace = trace.compared_with(plain)
    return trace
