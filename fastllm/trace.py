"""What one run is: steps, their draft tokens, and the trace that holds them. Versioned JSON in and out; no torch.

All probabilities are plain floats in [0, 1], all times seconds. ``p`` belongs to the target, ``q`` to the drafter, both
after temperature, top-k, top-p and n-gram blocking, unless called raw.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import reprlib
import types
import typing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from fastllm.config import MAX_SEED

TRACE_VERSION = 6
# A run of 1024 tokens with all its candidates stays below it.
MAX_BYTES = 8_000_000
MAX_TOKEN_TEXT = 500

Status = Literal["accepted", "rejected", "ignored"]
Kind = Literal["resampled", "bonus", "target"]
Ending = Literal["eos", "length", "stopped", "running"]
Mode = Literal["speculative", "autoregressive"]
Stop = Literal["gamma", "limit", "eos", "unsure", "nothing"]


class TraceError(ValueError):
    """A text is not a trace; the message names the field and what it should be."""


@dataclass(frozen=True)
class Candidate:
    """One of the most probable next tokens: ``raw`` before temperature, top-k, top-p and blocking, ``prob`` after.

    ``other`` is what the other model gives the same token after all that (the drafter in a list of the target's, and
    the other way round); None where it gave no distribution there, or an older trace does not say.
    """

    id: int
    text: str
    raw: float
    prob: float
    other: float | None = None


@dataclass(frozen=True)
class Tempered:
    """What is known of a tested place at each of the trace's ``temperatures`` T, before top-k and top-p.

    With r a model's raw probabilities and r_1 that of the first of its list, a token has the probability
    (r / r_1)^(1 / T) / e^norm at T, unless blocking forbids it. What is of q is empty where the drafter gave no
    distribution, and its norms where all that it knew was forbidden.

    Attributes:
        p_raw, q_raw: r of the draft token under either model.
        p_norms, q_norms: ln of the sum of (r / r_1)^(1 / T) over all tokens that may stand there.
        betas: sum over the vocabulary of min(p, q).
        p_others, q_others: r under the target of each of ``q_top``, and under the drafter of each of ``p_top``.
    """

    p_raw: float
    q_raw: float | None
    p_norms: tuple[float, ...]
    q_norms: tuple[float, ...]
    betas: tuple[float, ...]
    p_others: tuple[float, ...]
    q_others: tuple[float, ...]


@dataclass(frozen=True)
class DraftToken:
    """One proposed token and what became of it.

    Attributes:
        p, q: probability of this token under the target and under the drafter at this position. For an ignored token
            p is given the rejected text before it, which the run did not follow.
        u: the uniform draw that was compared with `chance`; None where nothing was drawn: greedy, or ignored (but
            ``block`` draws one for every token).
        beta: sum over the vocabulary of min(p, q) at this position, the chance that a draft token is accepted here
            (Leviathan et al. 2023, Definition 3.1); None for an ignored token.
        p_top, q_top: the most probable tokens of each model, by raw probability. A drafter without a distribution
            (lookup) has an empty q_top. Rounded to 7 significant digits: they are for inspection.
        by: who proposed it, where the drafter is made of several; "" is the drafter itself.
        chance: what it was kept with, to be compared with u; None where it was not tested. Under the token rule
            min(1, p / q); under ``block`` that of the prefix that ends here, and every token has one.
        p_rank, q_rank: its place among all tokens by raw probability, from 1; None where the model gave no
            distribution, or nothing was kept for inspection.
        tempered: the same place at other temperatures, where it was tested and the trace has any.
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
    by: str = ""
    chance: float | None = None
    p_rank: int | None = None
    q_rank: int | None = None
    tempered: Tempered | None = None


@dataclass(frozen=True)
class SideToken:
    """A node of a draft tree beside the path that the step followed.

    Attributes:
        parent: what it would have followed: -1 the text before the step, 0 .. len(draft) - 1 a token of the draft, and
            from there on the side tokens in their order.
        p, q: its probability under the target and under the drafter, after that parent.
        u, chance: the draw and what it was compared with, where it was tested and refused; None where it was not.
        by: as of a draft token.
    """

    id: int
    text: str
    parent: int
    p: float
    q: float
    u: float | None = None
    chance: float | None = None
    by: str = ""


@dataclass(frozen=True)
class Emitted:
    """The token that the target itself adds at the end of a step.

    ``resampled``: drawn from norm(max(0, p - q)) after a rejection (greedy: the target's argmax). ``bonus``: drawn from
    p after a fully accepted draft. ``target``: drawn from p where nothing was drafted. ``p`` is its probability under
    the target; ``p_top`` the most probable tokens there, ``p_rank`` its place among all, from 1.
    """

    id: int
    text: str
    kind: Kind
    p: float
    p_top: tuple[Candidate, ...] = ()
    p_rank: int | None = None


@dataclass(frozen=True)
class Step:
    """One target call: the draft it judged and the token it added.

    Attributes:
        index: number of the step, from 0.
        position: summary tokens before this step.
        emitted: None when the text ended inside the accepted draft.
        seconds_draft, seconds_target, seconds_other: drafting, the target's forward pass, everything else that
            decoding needs (distributions, verification, sampling). Collecting what only an inspector needs, and the
            time that the consumer of the stream spends between steps, is in none of them.
        stop: why the draft ended: it had ``cap`` tokens (gamma), the summary's length limit was near, it ended the
            text, the drafter was unsure, or it had nothing more to propose.
        cap: the most tokens that the draft might have.
        calls: forward passes of the drafter's models.
        aside: of a draft that was a tree, what stood beside the path that was followed; the path itself, with the
            likeliest refused branch at its end, is `draft`.
    """

    index: int
    position: int
    draft: tuple[DraftToken, ...]
    emitted: Emitted | None
    seconds_draft: float
    seconds_target: float
    seconds_other: float
    stop: Stop = "gamma"
    cap: int = 0
    calls: int = 0
    aside: tuple[SideToken, ...] = ()

    @property
    def drafted(self) -> int:
        """Tokens that the drafter proposed, branches included."""
        return len(self.draft) + len(self.aside)

    @property
    def side_places(self) -> tuple[int, ...]:
        """The place in the draft, from 0, at which each token of `aside` would have stood."""
        found: list[int] = []
        for t in self.aside:
            found.append(t.parent + 1 if t.parent < len(self.draft) else found[t.parent - len(self.draft)] + 1)
        return tuple(found)

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
class Plain:
    """Plain decoding of a run's article, with its target and its settings: what the run is compared with."""

    steps: tuple[Step, ...] = ()
    text: str = ""
    ending: Ending = "running"


@dataclass(frozen=True)
class Trace:
    """A run: what was asked, with which models, and every step. ``text`` is the finished summary.

    ``seconds_encode`` is the encoder's time, once per article. ``versions`` and the hashes say with what it was made,
    ``made`` says when (ISO 8601, UTC), ``engine`` who multiplied, and ``to_the_last_bit`` whether p could not depend on
    the draft around it (fastllm/targets/base.py). ``plain`` is None where plain decoding was not run. ``rule``,
    ``lengths`` and ``rollback`` are those of the settings; fastllm.rules.lossless says what the rule promises.
    ``nodes`` and ``width`` are those of draft trees, 0 where the drafts were chains. ``temperatures`` are those that
    the tested tokens were also summed up at (Tempered); none in what is older than version 6.
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
    eos_ids: tuple[int, ...] = (1,)
    engine: str = "torch"
    to_the_last_bit: bool = False
    made: str = ""
    plain: Plain | None = None
    rule: str = "token"
    lengths: str = "constant"
    rollback: float = 0.0
    nodes: int = 0
    width: int = 0
    temperatures: tuple[float, ...] = ()
    version: int = TRACE_VERSION

    @property
    def tokens(self) -> tuple[int, ...]:
        """Ids of the summary, end-of-text token included."""
        return tuple(t for s in self.steps for t in s.tokens)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the steps, without the encoder."""
        return sum(s.seconds for s in self.steps)

    @property
    def arithmetic(self) -> str:
        """Who multiplied, and how exact that makes p, in words for people."""
        name = {"onnx": "ONNX Runtime", "torch": "torch"}.get(self.engine, self.engine)
        bits = "to the last bit" if self.to_the_last_bit else "up to rounding"
        return f"{name}, exact {bits}"

    @property
    def baseline(self) -> Trace | None:
        """``plain`` as a trace of its own."""
        if self.plain is None:
            return None
        steps, text, ending = self.plain.steps, self.plain.text, self.plain.ending
        return dataclasses.replace(
            self, mode="autoregressive", drafter="", gamma=0, drafter_hash="", steps=steps, text=text, ending=ending,
            plain=None,
        )  # fmt: skip

    def compared_with(self, baseline: Trace) -> Trace:
        """This run with `baseline`, a run of plain decoding, beside it."""
        return dataclasses.replace(self, plain=Plain(baseline.steps, baseline.text, baseline.ending))


def to_json(trace: Trace, indent: int | None = None) -> str:
    """The trace as JSON, without spaces where it is not indented; :func:`from_json` gives an equal trace back."""
    tight = (",", ":") if indent is None else None
    return json.dumps(dataclasses.asdict(trace), ensure_ascii=False, indent=indent, allow_nan=False, separators=tight)


def from_json(text: str) -> Trace:
    """Read a trace, trusting nothing in it. Versions 1 to 5 are read too: 1 had no `plain`, `made` and `eos_id`,
    2 one `eos_id`, 3 one rule and drafts of one drafter, 4 drafts that are chains, 5 one temperature.

    Raises:
        TraceError: too large, not JSON, another version, or a field missing, unknown, of the wrong type or out of
            range.
    """
    # Characters first, as the cheaper test; a character has at most 4 bytes.
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise TraceError(f"This trace is too large: the limit is {MAX_BYTES // 1_000_000} MB.")
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if not isinstance(value, dict):
            raise TraceError("This is not a FastLLM trace: it should be a JSON object.")
        if value.get("version") == 1:
            value = {"eos_id": 1, "made": "", "plain": None} | value | {"version": 2}
        if value.get("version") == 2:
            value = _from_2(value)
        for version, since in _SINCE.items():
            if value.get("version") == version - 1:
                value = _filled(Trace, value, since) | {"version": version}
        if value.get("version") != TRACE_VERSION:
            raise TraceError(
                f"This trace has version {_short(value.get('version'))}; this program reads version {TRACE_VERSION}."
            )
        trace = _decode(Trace, value, "trace")
        _check(trace)
    except TraceError:
        raise
    except RecursionError:
        raise TraceError("This is not a FastLLM trace: it is nested too deeply.") from None
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise TraceError(f"This is not a FastLLM trace: it is not valid JSON ({error}).") from None
    return trace


def _from_2(value: dict) -> dict:
    """A trace of version 2 as one of version 3, which has several end-of-text ids and names its engine."""
    rest = {k: v for k, v in value.items() if k != "eos_id"}
    return rest | {"eos_ids": [value.get("eos_id")], "engine": "torch", "to_the_last_bit": False, "version": 3}


# What a version added, by kind: absent in the one before it, where the defaults say what was so.
_SINCE: dict[int, dict[type, tuple[str, ...]]] = {
    4: {
        Trace: ("rule", "lengths", "rollback"),
        Step: ("stop", "cap", "calls"),
        DraftToken: ("by", "chance", "p_rank", "q_rank"),
        Emitted: ("p_rank",),
        Candidate: ("other",),
    },
    5: {Trace: ("nodes", "width"), Step: ("aside",)},
    6: {Trace: ("temperatures",), DraftToken: ("tempered",)},
}
# Where in an object others lie, and of which kind; what lies elsewhere or is of another kind is left for _decode.
_INSIDE: dict[type, dict[str, type]] = {
    Trace: {"steps": Step, "plain": Plain},
    Plain: {"steps": Step},
    Step: {"draft": DraftToken, "emitted": Emitted},
    DraftToken: {"p_top": Candidate, "q_top": Candidate},
    Emitted: {"p_top": Candidate},
}


def _filled(kind: type, value: Any, since: dict[type, tuple[str, ...]]) -> Any:
    """An object of an older version with the fields that the next one added at their defaults; what it has of them
    stays."""
    if isinstance(value, list):
        return [_filled(kind, v, since) for v in value]
    if not isinstance(value, dict):
        return value
    inside = _INSIDE.get(kind, {})
    known = {k: _filled(inside[k], v, since) if k in inside else v for k, v in value.items()}
    defaults: dict[str, Any] = {f.name: [] if f.default == () else f.default for f in dataclasses.fields(kind)}
    return {name: defaults[name] for name in since.get(kind, ())} | known


def _no_constant(name: str) -> float:
    raise TraceError(f"This trace holds {name}, which is no number.")


# Whole numbers and numbers of a trace with the range that each must lie in.
_RANGES: dict[str, tuple[float, float]] = {
    "gamma": (0, 1000),
    "temperature": (0, 100),
    "top_k": (0, 10**7),
    "top_p": (0, 1),
    "no_repeat_ngram_size": (0, 1000),
    "seed": (0, MAX_SEED),
    "max_new_tokens": (1, 10**6),
    "seconds_encode": (0, 10**6),
    "rollback": (0, 100),
    "nodes": (0, 1000),
    "width": (0, 1000),
}
MAX_NAME = 500


def _check(trace: Trace) -> None:
    """Ranges and cross-field facts that types do not hold."""
    for name, (low, high) in _RANGES.items():
        _check_range(f"trace.{name}", getattr(trace, name), low, high)
    for name in ("tokens", "cut"):
        _check_range(f"trace.article.{name}", getattr(trace.article, name), 0, 10**9)
    for name in ("rule", "lengths"):
        if len(getattr(trace, name)) > MAX_NAME:
            raise TraceError(f"trace.{name} should have at most {MAX_NAME} characters.")
    for n, eos in enumerate(trace.eos_ids):
        _check_range(f"trace.eos_ids[{n}]", eos, 0, 10**7)
    _check_temperatures(trace.temperatures)
    _check_steps("trace.steps", trace.steps)
    for i, step in enumerate(trace.steps):
        _check_end(f"trace.steps[{i}]", step)
        for j, token in enumerate(step.draft):
            if token.tempered:
                _check_tempered(f"trace.steps[{i}].draft[{j}]", trace, token, token.tempered)
    if trace.plain:
        _check_steps("trace.plain.steps", trace.plain.steps)
        if i := next((i for i, s in enumerate(trace.plain.steps, 1) if s.draft or not s.emitted), 0):
            raise TraceError(f"trace.plain.steps[{i - 1}] should have no draft and one emitted token.")


def _check_steps(path: str, steps: tuple[Step, ...]) -> None:
    position = 0
    for i, step in enumerate(steps):
        at = f"{path}[{i}]"
        if step.index != i:
            raise TraceError(f"{at}.index should be {i}, not {_short(step.index)}.")
        if step.position != position:
            raise TraceError(f"{at}.position should be {position}, not {_short(step.position)}.")
        position += len(step.tokens)
        order = [t.status for t in step.draft]
        wanted = ["accepted"] * step.accepted + ["rejected"] * ("rejected" in order)
        wanted += ["ignored"] * (len(order) - len(wanted))
        if order != wanted:
            raise TraceError(f"{at}.draft should be accepted tokens, then one rejected, then ignored ones.")
        for name in ("seconds_draft", "seconds_target", "seconds_other"):
            _check_range(f"{at}.{name}", getattr(step, name), 0, 10**6)
        for name in ("cap", "calls"):
            _check_range(f"{at}.{name}", getattr(step, name), 0, 10**6)
        for j, token in enumerate(step.draft):
            where = f"{at}.draft[{j}]"
            _check_token(where, token.id, token.text)
            _check_probabilities(where, p=token.p, q=token.q, u=token.u, beta=token.beta, chance=token.chance)
            for name, rank in (("p_rank", token.p_rank), ("q_rank", token.q_rank)):
                _check_range(f"{where}.{name}", 1 if rank is None else rank, 1, 10**7)
            for name in ("p_top", "q_top"):
                _check_candidates(f"{where}.{name}", getattr(token, name))
        for j, side in enumerate(step.aside):
            where = f"{at}.aside[{j}]"
            _check_token(where, side.id, side.text)
            _check_probabilities(where, p=side.p, q=side.q, u=side.u, chance=side.chance)
            if not -1 <= side.parent < len(step.draft) + j:
                raise TraceError(f"{where}.parent should be -1 or stand before it, not {_short(side.parent)}.")
        if step.emitted:
            _check_token(f"{at}.emitted", step.emitted.id, step.emitted.text)
            _check_probabilities(f"{at}.emitted", p=step.emitted.p)
            rank = step.emitted.p_rank
            _check_range(f"{at}.emitted.p_rank", 1 if rank is None else rank, 1, 10**7)
            _check_candidates(f"{at}.emitted.p_top", step.emitted.p_top)


def _check_end(at: str, step: Step) -> None:
    """What the target added must be of the kind that the draft's fate asks for; else the drawing would say another."""
    refused = any(t.status == "rejected" for t in step.draft)
    if step.emitted is None:
        if refused or not step.draft:
            raise TraceError(f"{at}.emitted is missing, and the draft did not end the text.")
        return
    wanted = "resampled" if refused else "bonus" if step.draft else "target"
    if step.emitted.kind != wanted:
        raise TraceError(f"{at}.emitted.kind should be {wanted}, not {step.emitted.kind}.")


MAX_TEMPERATURES = 50


def _check_temperatures(temperatures: tuple[float, ...]) -> None:
    if len(temperatures) > MAX_TEMPERATURES:
        raise TraceError(f"trace.temperatures should have at most {MAX_TEMPERATURES} entries.")
    for n, value in enumerate(temperatures):
        _check_range(f"trace.temperatures[{n}]", value, 0.01, 100)
    if any(a >= b for a, b in itertools.pairwise(temperatures)):
        raise TraceError("trace.temperatures should rise.")


def _check_tempered(at: str, trace: Trace, token: DraftToken, known: Tempered) -> None:
    """Its lists have the lengths that the trace asks for, and its sums are such as the listed tokens allow."""
    if token.status == "ignored":
        raise TraceError(f"{at}.tempered should be null: the token was not tested.")
    if not token.p_top:
        raise TraceError(f"{at}.tempered is of no use without candidates in p_top.")
    here, both = f"{at}.tempered", bool(token.q_top)
    count = len(trace.temperatures)
    if both != (known.q_raw is not None):
        raise TraceError(f"{here}.q_raw should be a number where q_top has candidates, and null elsewhere.")
    q_count = count if known.q_norms else 0
    wanted = {
        "p_norms": (known.p_norms, count), "q_norms": (known.q_norms, q_count if both else 0),
        "betas": (known.betas, q_count), "p_others": (known.p_others, len(token.q_top)),
        "q_others": (known.q_others, len(token.p_top) if both else 0),
    }  # fmt: skip
    for name, (values, length) in wanted.items():
        if len(values) != length:
            raise TraceError(f"{here}.{name} should have {length} entries, not {len(values)}.")
    _check_probabilities(here, p_raw=known.p_raw, q_raw=known.q_raw)
    for name in ("betas", "p_others", "q_others"):
        for n, value in enumerate(getattr(known, name)):
            _check_probabilities(here, **{f"{name}[{n}]": value})
    for name, norms, top in (("p_norms", known.p_norms, token.p_top), ("q_norms", known.q_norms, token.q_top)):
        _check_norms(f"{here}.{name}", trace, norms, top)


def _check_norms(at: str, trace: Trace, norms: tuple[float, ...], top: tuple[Candidate, ...]) -> None:
    """With s = r / r_1 at most 1: a sum of s^(1/T) rises with T, is no smaller than that of the listed tokens that the
    run could draw, and for T at most 1 no larger than the sum of s, which is at most 1 / r_1."""
    if not norms:
        return
    first = max(c.raw for c in top)
    if first <= 0:
        raise TraceError(f"{at} needs a candidate whose raw probability is not 0.")
    drawn = [c.raw / first for c in top if c.prob > 0 and c.raw > 0]
    for n, (norm, temperature) in enumerate(zip(norms, trace.temperatures, strict=True)):
        least = max((math.log(s) / temperature for s in drawn), default=-1e6)
        most = math.log(1e7) if temperature > 1 else -math.log(min(first, 1.0))
        if not least - _LOOSE <= norm <= most + _LOOSE:
            raise TraceError(f"{at}[{n}] does not go with the candidates' probabilities.")
        if n and norm < norms[n - 1] - _LOOSE:
            raise TraceError(f"{at} should not fall.")


# Candidates are rounded to 7 digits, and at the lowest temperature their logarithm is taken 100 times.
_LOOSE = 1e-3


def _check_candidates(path: str, candidates: tuple[Candidate, ...]) -> None:
    for n, c in enumerate(candidates):
        _check_token(f"{path}[{n}]", c.id, c.text)
        _check_probabilities(f"{path}[{n}]", raw=c.raw, prob=c.prob, other=c.other)


def _check_token(at: str, token: int, text: str) -> None:
    _check_range(f"{at}.id", token, 0, 10**7)
    if len(text) > MAX_TOKEN_TEXT:
        raise TraceError(f"{at}.text should have at most {MAX_TOKEN_TEXT} characters, not {len(text)}.")


def _check_range(at: str, value: float, low: float, high: float) -> None:
    if value < low and not low:
        raise TraceError(f"{at} should not be negative.")
    if not low <= value <= high:
        raise TraceError(f"{at} should lie between {low} and {high}, not {_short(value)}.")


def _check_probabilities(at: str, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not -1e-6 <= value <= 1 + 1e-4:
            raise TraceError(f"{at}.{name} should lie between 0 and 1, not {value}.")


def _decode(kind: Any, value: Any, at: str) -> Any:
    """`value` (from JSON) as the annotated type `kind`; errors name the field by its path `at`."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise TraceError(f"{at} should be an object, not {_short(value)}.")
        hints = _hints(kind)
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
    # A whole number beyond 10^18 would overflow a float, and none is meant here.
    if kind is float and type(value) in (int, float) and abs(value) < 1e18 and math.isfinite(value):
        return float(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise TraceError(f"{at} holds half a character (a lone surrogate).")
        return value
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    raise TraceError(f"{at} should be {names[kind]}, not {_short(value)}.")


@lru_cache(maxsize=16)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _short(value: Any) -> str:
    # reprlib looks at the outermost levels and items only, however large or deep the value is.
    text = reprlib.repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
