"""What only a watcher needs of a step: likeliest tokens, ranks, sums at other temperatures. No clock counts it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fastllm.config import Settings
from fastllm.drafters.base import Draft
from fastllm.rules import rule_of
from fastllm.sampling import Sampler, one_hot
from fastllm.targets.base import Target
from fastllm.trace import Candidate, Tempered

# Those that What if offers; 0 besides, which needs no sum.
TEMPERATURES = (0.3, 0.5, 0.7, 1.0, 1.2, 1.5, 2.0)


def seven_digits(value: float) -> float:
    """As traces hold what is for inspection."""
    return float(f"{value:.7g}")


class Rows:
    """One model's logits at k places, looked at: the likeliest `top` tokens of each, and what all sum up to.

    Attributes:
        legal: shape (k, V), float32: the columns of tokens with a piece.
        best, index: shape (k, top): logits and ids of the likeliest, falling.
        raw: shape (k, V): probabilities at temperature 1, nothing forbidden.
    """

    def __init__(self, target: Target, logits: torch.Tensor, top: int) -> None:
        self._piece = target.piece
        self.legal = logits[:, : target.legal_size]
        self.best, self.index = self.legal.topk(min(top, self.legal.shape[1]), -1)
        # Not e^(logit - ln sum): of logits as large as 40 that keeps 5 digits.
        self.raw = self.legal.softmax(-1)

    def ranks(self, ids: Sequence[int], first: int = 0) -> list[int]:
        """1 + how many tokens have a higher logit than ids[i] in row `first` + i."""
        rows = self.legal[first : first + len(ids)]
        own = rows.gather(1, torch.tensor(ids)[:, None])
        best = self.best[first : first + len(ids)]
        # Nearly all are among the likeliest: only the others' rows are read.
        found = (best > own).sum(-1).tolist()
        return [1 + (n if n < best.shape[1] else int((rows[i] > own[i]).sum())) for i, n in enumerate(found)]

    def candidates(self, probs: torch.Tensor, other: torch.Tensor | None) -> list[tuple[Candidate, ...]]:
        """Each row's likeliest tokens with what `probs`, and `other`, the other model's rows, give them.

        Where `other` has no row (the bonus token's place has no q) nothing is said; a token of raw probability 0 is
        none.
        """
        raw = self.raw.gather(-1, self.index).tolist()
        after = probs.gather(-1, self.index).tolist()
        both = 0 if other is None else min(len(other), len(raw))
        theirs: list[list[float | None]] = [[None] * self.index.shape[1]] * len(raw)
        if other is not None:
            given = other[:both].gather(-1, self.index[:both]).tolist()
            theirs[:both] = [[seven_digits(x) for x in row] for row in given]
        return [
            tuple(
                Candidate(t, self._piece(t), seven_digits(r), seven_digits(a), o)
                for t, r, a, o in zip(*row, strict=True)
                if r
            )
            for row in zip(self.index.tolist(), raw, after, theirs, strict=True)
        ]


@dataclass(frozen=True)
class Inspection:
    """What a step of k draft tokens shows besides its verdict; rows of nothing where nothing is inspected.

    Attributes:
        p_top, q_top: the likeliest tokens at each of the k + 1 and k places; () where a model gave no distribution.
        p_ranks, q_ranks, tempered: of each of the k draft tokens, as in the trace.
        rows: the target's.
    """

    p_top: Sequence[tuple[Candidate, ...]]
    q_top: Sequence[tuple[Candidate, ...]]
    p_ranks: Sequence[int | None]
    q_ranks: Sequence[int | None]
    tempered: Sequence[Tempered | None]
    rows: Rows | None = None

    def rank(self, place: int, token: int) -> int | None:
        """That of any token at one place under the target."""
        return self.rows.ranks([token], place)[0] if self.rows else None


def inspect(
    target: Target,
    sampler: Sampler,
    settings: Settings,
    prefix: Sequence[int],
    draft: Draft,
    logits: torch.Tensor,
    p: torch.Tensor,
    tested: int,
) -> Inspection:
    """What a step of k draft tokens, of which the first `tested` were tested, shows.

    Args:
        prefix: the text before the draft.
        logits, p: the target's at k + 1 places, shape (k + 1, columns), before and after sampling's transform.
    """
    k = len(draft.ids)
    if not settings.top:
        return Inspection([()] * (k + 1), [()] * k, [None] * k, [None] * k, [None] * k)
    q = one_hot(draft.ids, p.shape[1]) if draft.q is None and k else draft.q
    rows, theirs = Rows(target, logits, settings.top), None
    p_top = rows.candidates(p, q)
    q_top: list[tuple[Candidate, ...]] = [()] * k
    q_ranks: Sequence[int | None] = [None] * k
    if k and q is not None and (guess := draft.logits) is not None:
        theirs = Rows(target, guess, settings.top)
        q_top, q_ranks = theirs.candidates(q, p), theirs.ranks(draft.ids)
    known: list[Tempered | None] = [None] * k
    if rule_of(settings).tempered:
        tops = list(zip(p_top, q_top[:tested], strict=False))
        known[:tested] = tempered(sampler, prefix, draft.ids, rows, theirs, tops)
    return Inspection(p_top, q_top, rows.ranks(draft.ids), q_ranks, known, rows)


def tempered(
    sampler: Sampler,
    prefix: Sequence[int],
    draft: Sequence[int],
    p: Rows,
    q: Rows | None,
    tops: Sequence[tuple[tuple[Candidate, ...], tuple[Candidate, ...]]],
) -> list[Tempered | None]:
    """What the first draft tokens, one for each of `tops`, had been judged by at TEMPERATURES.

    Args:
        prefix: the text before the draft of k tokens.
        p, q: k + 1 rows and k; q is None where the drafter has no view of its own.
        tops: the listed tokens of p and q at each place that was tested.

    Returns:
        one for each of `tops`; None where a first token is forced, which no temperature changes.
    """
    found: list[Tempered | None] = []
    for i, (p_top, q_top) in enumerate(tops):
        if sampler.first_id is not None and not prefix and not i:
            found.append(None)
            continue
        blocked = sampler.blocked([*prefix, *draft[:i]])
        mine, theirs = _Weights(p, i, blocked), _Weights(q, i, blocked) if q and q_top else None
        betas = [mine.overlap(t, theirs) for t in TEMPERATURES]
        found.append(
            Tempered(
                p_raw=mine.raw(draft[i]),
                q_raw=theirs.raw(draft[i]) if theirs else None,
                p_norms=tuple(mine.norms),
                q_norms=tuple(theirs.norms) if theirs else (),
                betas=tuple(b for b in betas if b is not None),
                p_others=tuple(mine.raw(c.id) for c in q_top) if theirs else (),
                q_others=tuple(theirs.raw(c.id) for c in p_top) if theirs else (),
            )
        )
    return found


class _Weights:
    """One model's weights at one place, at one temperature after the other.

    With x the logits and m their largest, a token weighs e^((x - m) / T); those that blocking forbids weigh nothing.
    """

    def __init__(self, rows: Rows, at: int, blocked: Sequence[int]) -> None:
        self._logits, self._raw = rows.legal[at].numpy(), rows.raw[at].numpy()
        best = most = float(rows.best[at, 0])
        forbidden = list(blocked)
        if forbidden:
            kept = self._logits.copy()
            kept[forbidden] = -np.inf
            best = float(kept.max())
        self._possible = best > -math.inf
        # In units of the likeliest token that may stand here: else all might weigh 0 when it is cold.
        self._x = self._logits - (best if self._possible else 0.0)
        self._x[forbidden] = -np.inf
        self._below = best - most
        self._weights = np.empty_like(self._x)
        self._sum = 0.0
        self.norms: list[float] = []

    def raw(self, token: int) -> float:
        """Probability at temperature 1, nothing forbidden."""
        return seven_digits(float(self._raw[token]))

    def overlap(self, temperature: float, other: _Weights | None) -> float | None:
        """Sum of min(p, q) at a temperature, with `other` the weights of q; both sums are added to the `norms`. None
        without q, or where all that either knows is forbidden."""
        mine, theirs = self._weigh(temperature), other._weigh(temperature) if other else None
        if mine is None or theirs is None or other is None:
            return None
        np.multiply(theirs, self._sum / other._sum, out=theirs)
        np.minimum(mine, theirs, out=theirs)
        return seven_digits(min(1.0, float(theirs.sum()) / self._sum))

    def _weigh(self, temperature: float) -> np.ndarray | None:
        if not self._possible:
            return None
        np.multiply(self._x, 1 / temperature, out=self._weights)
        np.exp(self._weights, out=self._weights)
        self._sum = float(self._weights.sum())
        # Seven places: it is an exponent.
        self.norms.append(round(math.log(self._sum) + self._below / temperature, 7))
        return self._weights
