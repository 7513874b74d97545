"""How fast speculative decoding is beside plain decoding: one way of timing for page, league, terminal and benchmark.

Both decoders take turns, call by call (:func:`alternating`), so that whatever else the machine does falls on both. The
figure is made of what is exact, how many calls of which draft length each text took, and of the *median* time of such a
call. A call that scores a draft takes no less time than one that scores a single token, so speculative decoding can be
at most tau times as fast; where the clock says otherwise, the clock is not believed (:class:`Timing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastllm.trace import Step, Trace

BUSY = "The machine is too busy to time this"
FEW = "There were too few calls to time this"
# A median needs so many calls of a kind; rarer kinds are put between their neighbours.
ENOUGH = 3
# Runs are resampled as wholes from so many on; the calls of fewer one by one.
MANY_RUNS = 8
# Of a run's three thirds, the slowest may have calls so many times as long as the quickest, each beside its kind.
DRIFT = 1.5
# The interval's upper end over its lower: a wider one says nothing.
WIDEST = 1.8
# The interval may begin so far above tau: a quiet machine, too, times two kinds of call a little unlike.
SLACK = 1.03
DRAWS = 400


@dataclass(frozen=True)
class Calls:
    """The timed calls of one run, one item a call.

    Attributes:
        drafted: draft tokens that it scored.
        opening: whether it was a run's first, in which the drafter also reads the article.
        seconds, seconds_draft, seconds_target: of the whole call, and the parts of it.
        tokens: that all of them wrote.
    """

    drafted: tuple[int, ...]
    opening: tuple[bool, ...]
    seconds: tuple[float, ...]
    seconds_draft: tuple[float, ...]
    seconds_target: tuple[float, ...]
    tokens: int

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Calls:
        """Those of a run's steps."""
        return cls(
            drafted=tuple(s.drafted for s in steps),
            opening=tuple(s.index == 0 for s in steps),
            seconds=tuple(s.seconds for s in steps),
            seconds_draft=tuple(s.seconds_draft for s in steps),
            seconds_target=tuple(s.seconds_target for s in steps),
            tokens=sum(len(s.tokens) for s in steps),
        )

    def __add__(self, other: Calls) -> Calls:
        """Both together, as if of one run."""
        return Calls(*(getattr(self, f) + getattr(other, f) for f in Calls.__dataclass_fields__))


@dataclass(frozen=True)
class Timing:
    """Speculative beside plain decoding of the same articles.

    Attributes:
        tokens, calls: of the speculative runs, exact; tau is their ratio (Leviathan et al. 2023, section 3.1).
        seconds, plain_seconds: of the speculative and of the plain texts, estimated as above; ``_token`` a token. The
            encoder, which both need once, is in neither.
        speedup: plain over speculative seconds a token, at most tau. None where it is not to be believed.
        interval: 95 % of it, from resampling (Efron 1979) runs, or calls of a kind where runs are few.
        trouble: one clause that says why there is no speedup, or "".
        c: seconds of a draft token / seconds of a plain target call, by medians; None where nothing was drafted.
        draft_token: seconds of a draft token.
    """

    tokens: int
    calls: int
    seconds: float
    plain_seconds: float
    seconds_token: float
    plain_seconds_token: float
    speedup: float | None
    interval: tuple[float, float] | None
    trouble: str
    c: float | None
    draft_token: float | None

    @property
    def tau(self) -> float:
        """Tokens per target call: what the speedup cannot exceed."""
        return self.tokens / self.calls


def alternating(speculative: Iterator[Step], plain: Iterator[Step]) -> Iterator[tuple[bool, Step]]:
    """Both decoders in turns, each step with whether it is a speculative one.

    The one that has been at work for less time so far goes next; when one has ended, the other goes on alone. They need
    a session each: one cache cannot follow two texts.
    """
    spent, ended = {True: 0.0, False: 0.0}, {True: False, False: False}
    sources = {True: speculative, False: plain}
    while not all(ended.values()):
        which = ended[False] or (not ended[True] and spent[True] <= spent[False])
        step = next(sources[which], None)
        if step is None:
            ended[which] = True
        else:
            spent[which] += step.seconds
            yield which, step


@dataclass(frozen=True)
class _Table:
    """The calls of all runs as arrays of one length; `kind` numbers draft length and opening together."""

    run: np.ndarray
    drafted: np.ndarray
    opening: np.ndarray
    seconds: np.ndarray
    draft: np.ndarray
    target: np.ndarray
    tokens: np.ndarray  # of each run

    @classmethod
    def of(cls, runs: Sequence[Calls]) -> _Table:
        join = lambda name, kind: np.array([v for r in runs for v in getattr(r, name)], kind)  # noqa: E731
        return cls(
            run=np.repeat(np.arange(len(runs)), [len(r.drafted) for r in runs]),
            drafted=join("drafted", np.int64),
            opening=join("opening", bool),
            seconds=join("seconds", np.float64),
            draft=join("seconds_draft", np.float64),
            target=join("seconds_target", np.float64),
            tokens=np.array([r.tokens for r in runs], np.float64),
        )

    @property
    def kind(self) -> np.ndarray:
        return 2 * self.drafted + self.opening


def _kinds(kind: np.ndarray) -> dict[int, np.ndarray]:
    return {int(k): np.flatnonzero(kind == k) for k in np.unique(kind)}


def _filled(kinds: dict[int, np.ndarray], medians: dict[int, np.ndarray], seconds: np.ndarray) -> dict[int, np.ndarray]:
    """`medians`, of the kinds that are frequent enough, with the rare ones between their neighbours by draft length.

    An opening call does more than others, so a rare kind of it keeps its own mean; so does every kind where none is
    frequent.
    """
    usual = sorted(k for k in medians if k % 2 == 0)
    found = dict(medians)
    for k in kinds.keys() - medians.keys():
        if k % 2 or not usual:
            found[k] = np.full_like(next(iter(medians.values()), np.zeros(1)), seconds[kinds[k]].mean())
            continue
        below, above = (
            max((u for u in usual if u < k), default=usual[0]),
            min((u for u in usual if u > k), default=usual[-1]),
        )
        share = (k - below) / (above - below) if above > below else 0.0
        found[k] = (1 - share) * medians[below] + share * medians[above]
    return found


def typical(runs: Sequence[Calls]) -> np.ndarray:
    """The time that each call would have taken on a quiet machine: the median of its kind.

    Returns:
        shape (calls of all runs,), seconds.
    """
    table = _Table.of(runs)
    return _typical(table, table.seconds)


def _typical(table: _Table, seconds: np.ndarray) -> np.ndarray:
    kinds = _kinds(table.kind)
    medians = {k: np.array([np.median(seconds[at])]) for k, at in kinds.items() if len(at) >= ENOUGH}
    out = np.empty(len(seconds))
    for k, value in _filled(kinds, medians, seconds).items():
        out[kinds[k]] = value[0]
    return out


def _by_calls(table: _Table, rng: np.random.Generator) -> np.ndarray:
    """Totals of seconds with the calls of each kind resampled, shape (DRAWS,): the counts are exact and stay."""
    kinds = _kinds(table.kind)
    medians = {}
    for k, at in kinds.items():
        if len(at) >= ENOUGH:
            medians[k] = np.median(table.seconds[at][rng.integers(0, len(at), (DRAWS, len(at)))], axis=1)
    totals = np.zeros(DRAWS)
    for k, value in _filled(kinds, medians, table.seconds).items():
        totals += len(kinds[k]) * value
    return totals


def _by_runs(table: _Table, weights: np.ndarray) -> np.ndarray:
    """Totals of seconds of the runs taken `weights` times, shape (draws, runs) to (draws,)."""
    kinds = _kinds(table.kind)
    medians = {}
    for k, at in kinds.items():
        if len(at) >= ENOUGH:
            order = at[np.argsort(table.seconds[at])]
            heaped = np.cumsum(weights[:, table.run[order]], axis=1)
            # A kind that a draw leaves out counts for nothing there, so any time will do.
            middle = (heaped < np.maximum(heaped[:, -1:], 1) / 2).sum(1).clip(max=len(order) - 1)
            medians[k] = table.seconds[order][middle]
    totals = np.zeros(len(weights))
    for k, value in _filled(kinds, medians, table.seconds).items():
        totals += weights[:, table.run[kinds[k]]].sum(1) * value
    return totals


def _drift(table: _Table, expected: np.ndarray) -> float:
    """How far the calls' times moved within the runs, beside their kinds: the slowest third over the quickest."""
    ratio = (table.seconds / np.maximum(expected, 1e-12))[~table.opening]
    if len(ratio) < 4 * ENOUGH:
        return 1.0
    thirds = [float(np.median(part)) for part in np.array_split(ratio, 3)]
    return max(thirds) / max(min(thirds), 1e-12)


def compare(speculative: Sequence[Calls], plain: Sequence[Calls], seed: int = 0) -> Timing | None:
    """Time runs of speculative decoding against plain decoding of the same articles, in the same order.

    Args:
        speculative, plain: a run each, taken in alternation; where there is one item only, the calls of plain decoding
            may be of several passes.
        seed: of the resampling.

    Returns:
        None where either wrote nothing.

    Raises:
        ValueError: not as many plain runs as speculative ones.
    """
    if len(speculative) != len(plain):
        raise ValueError(f"{len(speculative)} speculative runs cannot be compared with {len(plain)} plain ones")
    spec, base = _Table.of(speculative), _Table.of(plain)
    if not (spec.tokens.sum() and base.tokens.sum()):
        return None
    rng = np.random.default_rng(seed)
    spec_typical, base_typical = _typical(spec, spec.seconds), _typical(base, base.seconds)
    spec_tokens, base_tokens = float(spec.tokens.sum()), float(base.tokens.sum())
    seconds, base_seconds = float(spec_typical.sum()), float(base_typical.sum())
    ours, theirs = seconds / spec_tokens, base_seconds / base_tokens
    if len(speculative) >= MANY_RUNS:
        n = len(speculative)
        weights = rng.multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float64)
        per_token = lambda t: _by_runs(t, weights) / np.maximum(weights @ t.tokens, 1)  # noqa: E731
        ratios = per_token(base) / np.maximum(per_token(spec), 1e-12)
        drift = 1.0
    else:
        ratios = (_by_calls(base, rng) / base_tokens) / np.maximum(_by_calls(spec, rng) / spec_tokens, 1e-12)
        drift = max(_drift(spec, spec_typical), _drift(base, base_typical))
    tau = spec_tokens / len(spec.seconds)
    low, high = (float(x) for x in np.percentile(ratios, [2.5, 97.5]))
    trouble = ""
    if min(len(spec.seconds), len(base.seconds)) < ENOUGH or not ours:
        trouble = FEW
    elif low > SLACK * tau or drift > DRIFT or high > WIDEST * low:
        trouble = BUSY
    drafted = int(spec.drafted.sum())
    draft_token = float(_typical(spec, spec.draft).sum()) / drafted if drafted else None
    call = float(_typical(base, base.target).mean())
    speedup = min(theirs / ours, tau) if ours else 0.0
    return Timing(
        tokens=int(spec_tokens),
        calls=len(spec.seconds),
        seconds=seconds,
        plain_seconds=base_seconds,
        seconds_token=ours,
        plain_seconds_token=theirs,
        speedup=None if trouble else speedup,
        interval=None if trouble else (min(low, speedup), max(min(high, tau), speedup)),
        trouble=trouble,
        c=draft_token / call if draft_token is not None and call else None,
        draft_token=draft_token,
    )


def compare_runs(speculative: Trace, plain: Trace) -> Timing | None:
    """One run against plain decoding of its article."""
    return compare([Calls.of(speculative.steps)], [Calls.of(plain.steps)])
