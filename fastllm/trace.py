"""What one run is: steps, their draft tokens, and the trace that holds them. Versioned JSON in and out; no torch.

All probabilities are plain floats in [0, 1], all times seconds. ``p`` belongs to the target, ``q`` to the drafter, both
after temperature, top-k, top-p and n-gram blocking, unless called raw.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

TRACE_VERSION = 1

Status = Literal["accepted", "rejected", "ignored"]
Kind = Literal["resampled", "bonus", "target"]
Ending = Literal["eos", "length", "stopped", "running"]
Mode = Literal["speculative", "autoregressive"]


class TraceError(ValueError):
    """A text is not a trace; the message names the field and what it should be."""


@dataclass(frozen=True)
class Candidate:
    """One of the most probable next tokens: ``raw`` before temperature, top-k, top-p and blocking, ``prob`` after."""

    id: int
    text: str
    raw: float
    prob: float


@dataclass(frozen=True)
class DraftToken:
    """One proposed token and what became of it.

    Attributes:
        p, q: probability of this token under the target and under the drafter at this position. For an ignored token
            p is given the rejected text before it, which the run did not follow.
        u: the uniform draw that was compared with min(1, p / q); None where nothing was drawn (greedy, or ignored).
        beta: sum over the vocabulary of min(p, q) at this position, the chance that a draft token is accepted here
            (Leviathan et al. 2023, Definition 3.1); None for an ignored token.
        p_top, q_top: the most probable tokens of each model, by raw probability. A drafter without a distribution
            (lookup) has an empty q_top.
    """

    id: int
    text: str
    status: Status
    p: float
    q: float
    u: float | None = None
    beta: float | None = None
    p_top: tuple[Candidate, ...] = ()
    q_top: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Emitted:
    """The token that the target itself adds at the end of a step.

    ``resampled``: drawn from norm(max(0, p - q)) after a rejection (greedy: the target's argmax). ``bonus``: drawn from
    p after a fully accepted draft. ``target``: drawn from p where nothing was drafted. ``p`` is its probability under
    the target; ``p_top`` the most probable tokens there.
    """

    id: int
    text: str
    kind: Kind
    p: float
    p_top: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Step:
    """One target call: the draft it judged and the token it added.

    Attributes:
        index: number of the step, from 0.
        position: summary tokens before this step.
        emitted: None when the text ended inside the accepted draft.
        seconds_draft, seconds_target, seconds_other: drafting, the target's forward pass, everything else (sampling,
            verification, records). Time the consumer of the stream spends between steps is in none of them.
    """

    index: int
    position: int
    draft: tuple[DraftToken, ...]
    emitted: Emitted | None
    seconds_draft: float
    seconds_target: float
    seconds_other: float

    @property
    def accepted(self) -> int:
        """Draft tokens kept."""
        return sum(t.status == "accepted" for t in self.draft)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Ids that this step added to the summary, end-of-text token included."""
        kept = tuple(t.id for t in self.draft if t.status == "accepted")
        return kept + ((self.emitted.id,) if self.emitted else ())

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the whole step."""
        return self.seconds_draft + self.seconds_target + self.seconds_other


@dataclass(frozen=True)
class Article:
    """The article of a run. ``tokens`` counts what the target read of it, ``cut`` what it did not read."""

    text: str
    tokens: int
    cut: int


@dataclass(frozen=True)
class Trace:
    """A run: what was asked, with which models, and every step. ``text`` is the finished summary.

    ``seconds_encode`` is the encoder's time, once per article. ``versions`` and the hashes say with what it was made.
    """

    mode: Mode
    target: str
    drafter: str
    gamma: int
    temperature: float
    top_k: int
    top_p: float
    no_repeat_ngram_size: int
    seed: int
    max_new_tokens: int
    article: Article
    steps: tuple[Step, ...] = ()
    text: str = ""
    ending: Ending = "running"
    seconds_encode: float = 0.0
    target_hash: str = ""
    drafter_hash: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    version: int = TRACE_VERSION

    @property
    def tokens(self) -> tuple[int, ...]:
        """Ids of the summary, end-of-text token included."""
        return tuple(t for s in self.steps for t in s.tokens)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the steps, without the encoder."""
        return sum(s.seconds for s in self.steps)


def to_json(trace: Trace, indent: int | None = None) -> str:
    """The trace as JSON; :func:`from_json` gives an equal trace back."""
    return json.dumps(dataclasses.asdict(trace), ensure_ascii=False, indent=indent, allow_nan=False)


def from_json(text: str) -> Trace:
    """Read a trace, trusting nothing in it.

    Raises:
        TraceError: not JSON, another version, or a field missing, unknown, of the wrong type or out of range.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise TraceError(f"This is not a FastLLM trace: it is not valid JSON ({error}).") from None
    if not isinstance(value, dict):
        raise TraceError("This is not a FastLLM trace: it should be a JSON object.")
    if value.get("version") != TRACE_VERSION:
        raise TraceError(
            f"This trace has version {value.get('version')!r}; this program reads version {TRACE_VERSION}."
        )
    trace = _decode(Trace, value, "trace")
    _check(trace)
    return trace


def _no_constant(name: str) -> float:
    raise TraceError(f"This trace holds {name}, which is no number.")


def _check(trace: Trace) -> None:
    """Ranges and cross-field facts that types do not hold."""
    position = 0
    for i, step in enumerate(trace.steps):
        at = f"trace.steps[{i}]"
        if step.index != i:
            raise TraceError(f"{at}.index should be {i}, not {step.index}.")
        if step.position != position:
            raise TraceError(f"{at}.position should be {position}, not {step.position}.")
        position += len(step.tokens)
        order = [t.status for t in step.draft]
        wanted = ["accepted"] * step.accepted + ["rejected"] * ("rejected" in order)
        wanted += ["ignored"] * (len(order) - len(wanted))
        if order != wanted:
            raise TraceError(f"{at}.draft should be accepted tokens, then one rejected, then ignored ones.")
        for name in ("seconds_draft", "seconds_target", "seconds_other"):
            if getattr(step, name) < 0:
                raise TraceError(f"{at}.{name} should not be negative.")
        for j, token in enumerate(step.draft):
            _check_probabilities(f"{at}.draft[{j}]", p=token.p, q=token.q, u=token.u, beta=token.beta)
            for name in ("p_top", "q_top"):
                for n, c in enumerate(getattr(token, name)):
                    _check_probabilities(f"{at}.draft[{j}].{name}[{n}]", raw=c.raw, prob=c.prob)
        if step.emitted:
            _check_probabilities(f"{at}.emitted", p=step.emitted.p)
            for n, c in enumerate(step.emitted.p_top):
                _check_probabilities(f"{at}.emitted.p_top[{n}]", raw=c.raw, prob=c.prob)


def _check_probabilities(at: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not -1e-6 <= value <= 1 + 1e-4:
            raise TraceError(f"{at}.{name} should lie between 0 and 1, not {value}.")


def _decode(kind: Any, value: Any, at: str) -> Any:
    """`value` (from JSON) as the annotated type `kind`; errors name the field by its path `at`."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise TraceError(f"{at} should be an object, not {_short(value)}.")
        hints = typing.get_type_hints(kind)
        if unknown := sorted(set(value) - set(hints)):
            raise TraceError(f"{at} has an unknown field {_short(unknown[0])}.")
        if missing := [f.name for f in dataclasses.fields(kind) if f.name not in value]:
            raise TraceError(f"{at}.{missing[0]} is missing.")
        return kind(**{name: _decode(hints[name], value[name], f"{at}.{name}") for name in hints})
    if origin is Literal:
        if value not in args:
            raise TraceError(f"{at} should be one of {', '.join(args)}, not {_short(value)}.")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise TraceError(f"{at} should be a list, not {_short(value)}.")
        return tuple(_decode(args[0], v, f"{at}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise TraceError(f"{at} should be an object, not {_short(value)}.")
        return {k: _decode(args[1], v, f"{at}.{_short(k)}") for k, v in value.items()}
    if origin is types.UnionType:
        return None if value is None else _decode(args[0], value, at)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    names = {float: "a number", int: "a whole number", str: "a text"}
    raise TraceError(f"{at} should be {names[kind]}, not {_short(value)}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
