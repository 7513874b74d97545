"""What if, at one position of a recorded run: another temperature, top-p or lenience. Pure; runs no model.

A trace holds, at each position, the k most probable tokens of p and of q only, before (``raw``) and after temperature
and top-p; since version 4 also what the other model gives each of them, and the rank of the draft token; since version
6, at a few temperatures, also Z and beta, so that there every figure is a number. What the rest could be is bounded,
never guessed: every figure is an interval, one number where the record allows it, and where the interval leaves the
verdict open, the verdict is ``unknown``.

Notation: r the raw probabilities (temperature 1, nothing forbidden), a = 1 / temperature, Z = sum of r^a over the
tokens that are not forbidden; after temperature a token has r^a / Z, after top-p r^a / W with W the sum over what is
kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastllm.config import Sampling
from fastllm.trace import Candidate, DraftToken, Tempered, Trace

# The largest vocabulary of a T5-class model (mT5): a trace does not say how large its own was.
MOST_TOKENS = 250_112
# Relative error of recorded probabilities: float32, rounded to 7 digits.
ROUNDING = 1e-5
# That of a recorded sum over all tokens, for 1 / temperature up to 1; beyond it grows as that does.
SUMS = 1e-6


class WhatIfError(ValueError):
    """The question has no answer in this trace; the message is one sentence for the page."""


@dataclass(frozen=True)
class Interval:
    """Where a figure lies: low <= figure <= high."""

    low: float
    high: float

    @property
    def exact(self) -> bool:
        """Whether both ends agree, up to what the record was rounded to."""
        return self.high - self.low <= 10 * ROUNDING * max(self.high, 1e-3)


@dataclass(frozen=True)
class Share:
    """A token that may take a refused one's place: its text, p and q with the settings asked for, and its chance,
    max(0, p - q) / (1 - beta) (Leviathan et al. 2023, section 2.3)."""

    id: int
    text: str
    p: float
    q: float
    chance: float


@dataclass(frozen=True)
class WhatIf:
    """The answer at one position.

    Attributes:
        p, q: probability of the draft token under target and drafter, with the settings asked for. At temperature 0,
            where that is 1 or 0, how near the token comes to it: r(x) / (l max r) and r(x) / max r, at most 1.
        chance: of acceptance, min(1, p / (lenience q)), if the drafter could propose the token at all.
        u: the recorded draw; None where nothing was drawn (greedy).
        verdict: ``accepted``, ``rejected``, ``unknown`` (the top-k leaves it open), ``not proposed`` (the drafter could
            not have drawn this token), or ``no draw`` (no u was recorded: only the chance is known).
        recorded: what happened in the run.
        outside: raw probability that the target gives to tokens outside its recorded top-k.
        proposable: False where the record leaves open whether the drafter could have proposed the token; `chance` and
            `verdict` then hold if it could.
        beta: sum over the vocabulary of min(p, q), where the trace holds it.
        residual: the listed tokens that could take the place of a refused one, likeliest first; empty where beta is not
            known, or lenience below 1 leaves no such rule.
    """

    p: Interval
    q: Interval
    chance: Interval
    u: float | None
    verdict: str
    recorded: str
    outside: float
    proposable: bool = True
    beta: float | None = None
    residual: tuple[Share, ...] = ()


@dataclass(frozen=True)
class Place:
    """A tested draft token of a trace: where it is, its text, what became of it."""

    step: int
    offset: int
    position: int
    text: str
    status: str


def places(trace: Trace) -> tuple[Place, ...]:
    """Every tested draft token; the ignored ones were never judged, so nothing can be asked of them. None of a run
    under another rule than the token rule, whose arithmetic this is.
    """
    if trace.rule != "token":
        return ()
    return tuple(
        Place(s.index, i, s.position + i, t.text, t.status)
        for s in trace.steps
        for i, t in enumerate(s.draft)
        if t.status != "ignored"
    )


def what_if(
    trace: Trace,
    step: int,
    offset: int,
    temperature: float,
    top_p: float,
    lenience: float = 1.0,
    vocabulary: int = MOST_TOKENS,
) -> WhatIf:
    """What the rule would have said of the same draft token with the same u under other settings.

    Lenience (Leviathan et al. 2023, appendix A.5) multiplies q by a factor l in (0, 1] before the comparison: accept
    while u < p / (l q). No token then comes out more than 1/l times as often as the target would give it; with l < 1
    the text is no longer the target's. At temperature 0 both distributions are one-hot, and lenience is applied before
    that (same appendix): a draft token is accepted if r(x) >= l max r, r being what the target gives at temperature 1.

    Args:
        step, offset: a tested draft token, as in :func:`places`.
        temperature: 0 .. 5, for p and q alike.
        top_p: above 0, at most 1, likewise.
        lenience: above 0, at most 1; 1 is the exact rule.
        vocabulary: tokens of the target, if known: the fewer, the narrower the bounds.

    Raises:
        WhatIfError: there is no tested token there, a setting is out of range, or no candidates were recorded for a
            question that needs them.
    """
    try:
        Sampling(temperature, 0, top_p)
    except ValueError as error:
        raise WhatIfError(str(error)) from None
    if not 0 < lenience <= 1:
        raise WhatIfError(f"Lenience must be above 0 and at most 1, not {lenience}.")
    token, blocked = _token(trace, step, offset)
    question = _Question(trace, token, blocked, temperature, top_p, vocabulary)
    answer = _judged(question, lenience)
    if lenience < 1:
        return answer
    beta = question.beta
    return answer if beta is None else replace(answer, beta=beta, residual=question.residual(beta))


def _judged(asked: _Question, lenience: float) -> WhatIf:
    """What becomes of the draft token itself."""
    token, temperature, top_p = asked.token, asked.temperature, asked.top_p
    if asked.same and (lenience == 1 or temperature > 0):
        p = Interval(token.p, token.p)
        q = drawn_q = Interval(token.q, token.q)
    else:
        if not token.p_top:
            raise WhatIfError(
                "This trace holds no candidates: only lenience above temperature 0 can be changed in it. Record one "
                "with candidates: the page does, and so does `python -m fastllm` with --json."
            )
        p, _ = _probability(asked, _p_side(token, token.id), lenience)
        # A drafter without a distribution (lookup) is certain of its token whatever the settings.
        q = drawn_q = Interval(token.q, token.q)
        if token.q_top:
            q, drawn_q = _probability(asked, _q_side(token, token.id), 1.0)
    outside = max(0.0, 1 - sum(c.raw for c in token.p_top)) if token.p_top else 1.0
    if temperature == 0:
        # p is the share of l max r that x reaches, capped at 1: accepted exactly at 1.
        verdict = "accepted" if p.low >= 1 else "rejected" if p.high < 1 else "unknown"
        chance = Interval(float(p.low >= 1), float(p.high >= 1))
        return WhatIf(p, q, chance, None, verdict, token.status, outside)
    if q.high <= 0:
        return WhatIf(p, q, Interval(0.0, 0.0), token.u, "not proposed", token.status, outside)
    # The same token was drafted: what it is judged by is the q that it has if it can be drafted.
    most = 0.0 if p.high <= 0 else 1.0 if drawn_q.low <= 0 else min(1.0, p.high / (lenience * drawn_q.low))
    chance = Interval(min(most, p.low / (lenience * drawn_q.high)), most)
    if token.u is None:
        verdict = "accepted" if chance.low >= 1 else "rejected" if chance.high <= 0 else "no draw"
    elif asked.same and lenience == 1:
        verdict = token.status
    else:
        verdict = "accepted" if token.u < chance.low else "rejected" if token.u >= chance.high else "unknown"
    return WhatIf(p, q, chance, token.u, verdict, token.status, outside, q.low > 0 or top_p >= 1)


@dataclass(frozen=True)
class _Question:
    """A tested draft token of a trace, what n-gram blocking forbade there, and the settings asked for."""

    trace: Trace
    token: DraftToken
    blocked: frozenset[int]
    temperature: float
    top_p: float
    vocabulary: int

    @property
    def same(self) -> bool:
        """Whether these are the run's own settings."""
        return self.temperature == self.trace.temperature and self.top_p == self.trace.top_p

    @property
    def recorded(self) -> int | None:
        """Which of the trace's temperatures is asked for; None where none is, or top-k and top-p take part."""
        if self.token.tempered is None or self.trace.top_k or self.temperature not in self.trace.temperatures:
            return None
        return self.trace.temperatures.index(self.temperature)

    @property
    def beta(self) -> float | None:
        """Sum of min(p, q), where the trace says it."""
        token, known = self.token, self.token.tempered
        if self.same:
            return token.beta
        if self.recorded is None or known is None or self.top_p < 1:
            return None
        if not token.q_top:  # a drafter that is certain of its token: p of that
            p, _ = _probability(self, _p_side(token, token.id), 1.0)
            return p.high
        return known.betas[self.recorded] if known.betas else None

    def residual(self, beta: float) -> tuple[Share, ...]:
        """The listed tokens that can be drawn after a rejection, likeliest first."""
        if 1 - beta <= ROUNDING:
            return ()
        token = self.token
        found = []
        for c in {c.id: c for c in (*token.p_top, *token.q_top)}.values():
            p = self._of(_p_side(token, c.id))
            q = self._of(_q_side(token, c.id)) if token.q_top else float(c.id == token.id)
            if p is not None and q is not None and p > q:
                found.append(Share(c.id, c.text, p, q, min(1.0, (p - q) / (1 - beta))))
        return tuple(sorted(found, key=lambda s: -s.chance))

    def _of(self, side: _Side) -> float | None:
        """A listed token's probability under one model; None where it is not known."""
        if self.same:
            return side.recorded
        value, _ = _probability(self, side, 1.0)
        return (value.low + value.high) / 2 if value.exact else None


def _token(trace: Trace, step: int, offset: int) -> tuple[DraftToken, frozenset[int]]:
    """The draft token asked for, and the ids that n-gram blocking forbade there."""
    if not (0 <= step < len(trace.steps) and 0 <= offset < len(trace.steps[step].draft)):
        raise WhatIfError(f"There is no place {offset + 1} in the draft of step {step + 1} of this trace.")
    here = trace.steps[step]
    token = here.draft[offset]
    if token.status == "ignored":
        raise WhatIfError("This token followed a rejected one and was never tested: choose a tested one.")
    prefix = [*trace.tokens[: here.position], *(t.id for t in here.draft[:offset])]
    return token, forbidden(prefix, trace.no_repeat_ngram_size) | _left_out(trace, token)


def _left_out(trace: Trace, token: DraftToken) -> frozenset[int]:
    """Listed tokens that weigh more than all that may stand there: forbidden by what precedes the text (a decoder's
    start token counts for n-grams), which a trace does not hold."""
    known = token.tempered
    sides = ((token.p_top, known.p_norms), (token.q_top, known.q_norms)) if known else ()
    return frozenset(
        c.id
        for top, norms in sides
        for c in top
        if norms and c.raw > 0 and math.log(c.raw / top[0].raw) / trace.temperatures[0] > norms[0] + ROUNDING
    )


def forbidden(prefix: Sequence[int], n: int) -> frozenset[int]:
    """Ids that would complete an n-gram which `prefix` already holds; n = 0 forbids none."""
    if n <= 0 or len(prefix) < n:
        return frozenset()
    tail = tuple(prefix[len(prefix) - n + 1 :])
    return frozenset(prefix[i + n - 1] for i in range(len(prefix) - n + 1) if tuple(prefix[i : i + n - 1]) == tail)


@dataclass(frozen=True)
class _Side:
    """What the record says of one model at the position of a draft token, to answer for one token.

    Attributes:
        token: id of that token, `recorded` its probability in the run (None: not said), `rank` its place by raw
            probability.
        top: the model's most probable tokens, in that order.
        others: probability in the run of further tokens, which are in the other model's list only.
        raws: raw probability of further tokens; None where the trace does not hold any.
        norms: ln Z at the trace's temperatures, in units of the first of `top`.
    """

    token: int
    recorded: float | None
    rank: int | None
    top: tuple[Candidate, ...]
    others: dict[int, float]
    raws: dict[int, float] | None = None
    norms: tuple[float, ...] = ()


def _p_side(token: DraftToken, about: int) -> _Side:
    return _side(token, about, _Own(token.p, token.p_rank, token.p_top, token.q_top), token.tempered)


def _q_side(token: DraftToken, about: int) -> _Side:
    known, own = token.tempered, _Own(token.q, token.q_rank, token.q_top, token.p_top)
    if known is None or known.q_raw is None:
        return _side(token, about, own, None)
    # As of p, with the two models exchanged.
    turned = replace(known, p_raw=known.q_raw, p_norms=known.q_norms, p_others=known.q_others)
    return _side(token, about, own, turned)


@dataclass(frozen=True)
class _Own:
    """What one model says of the draft token, its list, and the other model's."""

    prob: float
    rank: int | None
    top: tuple[Candidate, ...]
    rest: tuple[Candidate, ...]


def _side(token: DraftToken, about: int, own: _Own, known: Tempered | None) -> _Side:
    """The record of one model, that of p in `known`, to answer for the token `about`."""
    there = {c.id for c in own.top}
    others = {c.id: c.other for c in own.rest if c.other is not None and c.id not in there}
    in_run = {c.id: c.prob for c in own.top} | others | {token.id: own.prob}
    rank = own.rank if about == token.id else None
    if known is None:
        return _Side(about, in_run.get(about), rank, own.top, others)
    raws = {c.id: r for c, r in zip(own.rest, known.p_others, strict=False)} | {token.id: known.p_raw}
    further = {t: r for t, r in raws.items() if t not in there}
    return _Side(about, in_run.get(about), rank, own.top, others, further, known.p_norms)


def _further(trace: Trace, side: _Side, known: Sequence[Candidate], least: float) -> dict[int, float]:
    """Raw probabilities of tokens below the list, the draft token among them where it is there.

    Where they are not recorded: top-p and top-k divide all that is kept by one number, so the ratio of two kept tokens
    stays: with prob = r^(1/T) / Z in the run, r = r' (prob / prob')^T by the likeliest token of the list. Empty where
    the run was greedy.
    """
    if side.raws is not None:
        return {t: min(least, r) for t, r in side.raws.items() if r > 0}
    best = known[0]
    if trace.temperature == 0 or best.prob <= 0 or best.raw <= 0:
        return {}
    own = {} if any(c.id == side.token for c in side.top) or side.recorded is None else {side.token: side.recorded}
    found = side.others | own
    return {t: min(least, best.raw * (p / best.prob) ** trace.temperature) for t, p in found.items() if p > 0}


def _probability(asked: _Question, side: _Side, lenience: float) -> tuple[Interval, Interval]:
    """The probability of the side's token under its model, with the settings asked for, and what it is if top-p keeps
    the token; at temperature 0 see what_if."""
    trace, blocked, vocabulary = asked.trace, asked.blocked, asked.vocabulary
    temperature, top_p = asked.temperature, asked.top_p
    top, recorded = side.top, side.recorded
    known = sorted((c for c in top if c.id not in blocked), key=lambda c: -c.raw)
    nothing = Interval(0.0, 0.0), Interval(0.0, 0.0)
    if side.token in blocked:
        return nothing
    if not known:
        return Interval(0.0, 1.0), Interval(0.0, 1.0)  # all that is recorded was forbidden: the rest is unknown
    least = min(c.raw for c in top)
    further = {t: r for t, r in _further(trace, side, known, least).items() if t not in blocked}
    raw = _raw(side.token, known, further, least, ROUNDING if side.raws is None else 0.0)
    if temperature == 0:
        wanted = lenience * known[0].raw
        share = Interval(min(1.0, raw.low / wanted), min(1.0, raw.high / wanted)) if wanted > 0 else Interval(0.0, 1.0)
        return share, share
    # A lower temperature keeps the order and heaps more on the first tokens, so that top-p needs no more of them, and
    # a higher one no fewer: what was cut stays cut, what was kept stays kept.
    in_run = recorded if trace.temperature > 0 else None
    if in_run is not None and in_run <= 0 and temperature <= trace.temperature and top_p <= trace.top_p:
        return nothing
    kept_still = in_run is not None and in_run > 0 and temperature >= trace.temperature and top_p >= trace.top_p

    # In units of the likeliest token's r: at low temperatures r^a itself is 0 for all of them.
    a, unit = 1 / temperature, known[0].raw or 1.0

    def power(r: float) -> float:
        return (r / unit) ** a

    powers = [power(c.raw) for c in known]
    inside = any(c.id == side.token for c in known)
    if trace.top_k:
        keep = trace.top_k
        if keep <= len(known):
            if not inside or next(i for i, c in enumerate(known) if c.id == side.token) >= keep:
                return nothing
            known, powers = known[:keep], powers[:keep]
        further = {}
        tail = Interval(0.0, max(0, keep - len(known)) * power(least))
    else:
        unseen = max(1, vocabulary - len(top) - len(further))
        mass = 1 - sum(c.raw for c in top) - sum(further.values())
        slack, few = ROUNDING * (1 - mass) / unit, len(blocked - {c.id for c in top} - set(further))
        low, high = (_tail(mass / unit + x, least / unit, few, a, unseen) for x in (-slack, slack))
        tail = Interval(low.low, high.high)
    total = sum(powers) + sum(power(x) for x in further.values())
    z = Interval(total + tail.low, total + tail.high)
    best = known[0]
    if temperature == trace.temperature and trace.top_p >= 1 and not trace.top_k and best.prob > 0:
        whole = power(best.raw) / best.prob  # the run's own Z
        z = Interval(whole * (1 - ROUNDING), whole * (1 + ROUNDING))
    if asked.recorded is not None and side.norms:
        whole = math.exp(side.norms[asked.recorded] + a * math.log(top[0].raw / unit))
        slack = SUMS * max(1.0, a)
        z = Interval(whole * (1 - slack), whole * (1 + slack))
    if inside:
        before = sum(x for c, x in zip(known, powers, strict=True) if c.raw > raw.high)
        ahead = Interval(before, before)
    elif side.token in further:
        # Before it stand the list, what of `further` is likelier, and as many unknown ones as its rank says.
        likelier = [x for x in further.values() if x > raw.high]
        before = sum(powers) + sum(power(x) for x in likelier)
        most = tail.high
        if side.rank:
            between = max(0, side.rank - 1 - len(top) - len(likelier))
            unknown = max(0, between - len(blocked - {c.id for c in top}))  # a forbidden one weighs nothing
            before, most = before + unknown * power(raw.low), min(most, between * power(least))
        ahead = Interval(before, max(before, sum(powers) + sum(power(x) for x in likelier) + most))
    else:
        ahead = Interval(sum(powers), z.high)
        z = Interval(max(z.low, total + power(raw.low)), max(z.high, total + power(raw.low)))
    mine = Interval(power(raw.low), power(raw.high))
    if top_p >= 1:
        share = _share(mine, z)
        return share, share
    if ahead.low >= top_p * z.high and not kept_still:
        return nothing
    kept = Interval(
        _kept(powers, top_p * z.low, z.low, power(least))[0], _kept(powers, top_p * z.high, z.high, power(least))[1]
    )
    share = _share(mine, Interval(max(kept.low, mine.low), max(kept.high, mine.high)))
    return share if kept_still or ahead.high < top_p * z.low else Interval(0.0, share.high), share


def _share(mine: Interval, whole: Interval) -> Interval:
    if whole.high <= 0:
        return Interval(0.0, 1.0)
    return Interval(min(1.0, mine.low / whole.high), min(1.0, mine.high / whole.low) if whole.low > 0 else 1.0)


def _raw(token: int, known: Sequence[Candidate], further: dict[int, float], least: float, rounding: float) -> Interval:
    """The token's raw probability: in the list, or from its recorded one, or only bounded by the list's last."""
    for c in known:
        if c.id == token:
            return Interval(c.raw, c.raw)
    if token in further:
        value = further[token]
        return Interval(value * (1 - rounding), min(least, value * (1 + rounding)))
    return Interval(0.0, least)


def _tail(mass: float, least: float, blocked: int, a: float, tokens: int) -> Interval:
    """Bounds of the sum of r^a over the `tokens` outside the list, which together have `mass` and each at most `least`,
    in units of the likeliest token's r.

    For a >= 1, r^a is convex: the sum is largest if as few tokens as possible share the mass, each with `least`, and
    smallest if all share it alike. For a < 1 it is the other way round. Up to `blocked` of them may be forbidden.
    """
    mass = max(0.0, mass)
    if mass <= ROUNDING or least <= 0:
        return Interval(0.0, _even(mass, a, tokens) if a < 1 else mass)
    free = max(0.0, mass - blocked * least)  # what is left at least for those that are not forbidden
    each = least ** (a - 1)  # r^a / r for a token with `least`
    return Interval(_even(free, a, tokens), mass * each) if a >= 1 else Interval(free * each, _even(mass, a, tokens))


def _even(mass: float, a: float, tokens: int) -> float:
    """n tokens of one probability: n (mass / n)^a. None has more than the likeliest, which is the unit."""
    return tokens * min(1.0, mass / tokens) ** a if mass > 0 else 0.0


def _kept(powers: Sequence[float], wanted: float, z: float, least: float) -> tuple[float, float]:
    """Bounds of W: the powers added up until they reach `wanted` = top_p Z; beyond the list, up to one token more."""
    total = 0.0
    for x in powers:
        total += x
        if total >= wanted:
            return total, total
    return max(total, wanted), min(z, max(total, wanted) + least)


def sentence(answer: WhatIf, lenience: float) -> str:
    """The answer in words, with what it does not say."""
    if answer.verdict == "unknown":
        return (
            f"The recorded tokens do not settle it: {answer.outside:.0%} of the target's probability lies outside "
            f"them. It was {answer.recorded} in the run."
        )
    if answer.verdict == "no draw":
        return (
            f"The run was greedy and drew no number: with these settings this token would be accepted with chance "
            f"{_range(answer.chance)}. A drafter that samples might have proposed another one."
        )
    if answer.verdict == "not proposed":
        return "With these settings the drafter could not have proposed this token at all: the path would differ here."
    lossy = " With lenience below 1 the text is no longer exactly the target's." if lenience < 1 else ""
    if not answer.proposable:
        lossy += " The record leaves open whether the drafter could have proposed this token at all; this holds if so."
    if answer.verdict == answer.recorded:
        return f"The same: {answer.verdict}, as in the run.{lossy}"
    turned = f"Now {answer.verdict}; in the run it was {answer.recorded}. From here on the later path would differ"
    if answer.verdict == "accepted":
        return f"{turned}: the next draft token, which was never tested, would have had its turn.{lossy}"
    return f"{turned}: the target would have put another token here, and everything after it was never computed.{lossy}"


def _range(value: Interval) -> str:
    if value.exact or math.isclose(value.low, value.high, abs_tol=5e-3):
        return f"{value.high:.0%}"
    return f"{value.low:.0%} to {value.high:.0%}"
