"""The acceptance rule of speculative sampling. Tensors in, verdict out; knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastllm.sampling import draw
from fastllm.trace import Kind


@dataclass(frozen=True)
class Aside:
    """A node of a tree that does not stand on the path which was recorded: its index among the draft's nodes, its
    probabilities, and what it was tested with; None where it was not."""

    node: int
    p: float
    q: float
    chance: float | None


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a draft of k tokens, or of the k nodes on the path that it took through a tree.

    Attributes:
        accepted: how many draft tokens are kept, 0 .. k.
        token, kind: what the target adds after them; None where the accepted draft ended the text.
        p, q: probability of each draft token, k floats each.
        chances: what each token that was tested was kept with, to be compared with its u: of the first min(accepted +
            1, k) tokens, or of all k where the rule judges the draft as a whole.
        order: the nodes of a tree that the k tokens are; None for a chain.
        aside: its other nodes.
    """

    accepted: int
    token: int | None
    kind: Kind | None
    p: tuple[float, ...]
    q: tuple[float, ...]
    chances: tuple[float, ...] = ()
    order: tuple[int, ...] | None = None
    aside: tuple[Aside, ...] = ()

    @property
    def tested(self) -> int:
        """Of the k tokens, those that are kept and the first that is not."""
        return min(self.accepted + 1, len(self.p))


def residual(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """norm(max(0, p - q)), what a rejected token is resampled from (Leviathan et al. 2023, section 2.3; Chen et al.
    2023, Algorithm 2).

    Args:
        p, q: shape (vocabulary,), each summing to 1.

    Returns:
        shape (vocabulary,). Where p - q is nowhere positive, p itself: then p = q up to rounding, and a rejection can
        only come from rounding.
    """
    rest = (p - q).clamp_min_(0.0)
    total = float(rest.sum())
    return rest.div_(total) if total > 0 else p


def replacement(p: torch.Tensor, q: torch.Tensor | None, token: int, u: float, weight: float = 1.0) -> int:
    """What is drawn from norm(max(0, weight p - q)) after `token` was refused; from p where that is nowhere positive.

    Args:
        p, q: shape (vocabulary,), each summing to 1; q None is one-hot at `token`.
        u: uniform in [0, 1).
        weight: in (0, 1].
    """
    # No sum is needed: draw() does not ask for one of 1.
    if q is None:
        rest = torch.from_numpy(p.numpy().copy())
        rest.numpy()[token] = 0.0
    else:
        rest = ((p if weight == 1 else weight * p) - q).clamp_min_(0.0)
    return draw(rest, u, p)


def _picked(rows: torch.Tensor, ids: Sequence[int]) -> list[float]:
    """rows[i, ids[i]]"""
    values = rows.numpy()
    return [values.item(i, token) for i, token in enumerate(ids)]


def verify(
    draft: Sequence[int],
    p: torch.Tensor,
    q: torch.Tensor | None,
    u: Sequence[float],
    eos_ids: Sequence[int] = (),
    certain: Sequence[int] | None = None,
) -> Verdict:
    """Accept each draft token x while u < p(x) / q(x); then resample, or add a bonus token (Leviathan et al. 2023,
    Algorithm 1).

    Greedy decoding is the same rule over one-hot p and q: a token is accepted exactly if it is the target's argmax.

    Args:
        draft: k token ids; an end-of-text token can only be the last.
        p: shape (k + 1, vocabulary), what the target would be sampled from at each position.
        q: shape (k, vocabulary), what draft[i] *was* sampled from; None for one-hot rows.
        u: k + 1 uniform draws in [0, 1): one test a token, and the last for the token that the target adds.
        eos_ids: after an accepted one of them the text has ended, and nothing is added.
        certain: where each row of p is one-hot, if all are (greedy): the same verdict, without reading the rows.

    Raises:
        ValueError: shapes or lengths do not fit.
    """
    k = len(draft)
    p_draft, q_draft = probabilities(draft, p, q, u)
    if k == 0:
        return Verdict(0, certain[0] if certain else draw(p[0], u[0]), "target", (), ())
    accepted = 0
    # u < p / q without the division: q(x) > 0, since x was drawn from q.
    while accepted < k and u[accepted] * q_draft[accepted] < p_draft[accepted]:
        accepted += 1
    tested = min(accepted + 1, k)
    kind: Kind | None
    if accepted < k:
        kind = "resampled"
        if certain:
            token = certain[accepted]
        else:
            row = None if q is None else q[accepted]
            token = replacement(p[accepted], row, draft[accepted], u[k])
    elif draft[-1] in eos_ids:
        token, kind = None, None
    else:
        token, kind = certain[k] if certain else draw(p[k], u[k]), "bonus"
    chances = tuple(min(1.0, x / y) for x, y in zip(p_draft[:tested], q_draft[:tested], strict=True))
    return Verdict(accepted, token, kind, tuple(p_draft), tuple(q_draft), chances)


def probabilities(
    draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, u: Sequence[float]
) -> tuple[list[float], list[float]]:
    """p and q of each of the k draft tokens; shapes as of :func:`verify`.

    Raises:
        ValueError: shapes or lengths do not fit.
    """
    k = len(draft)
    if p.dim() != 2 or len(p) != k + 1 or len(u) != k + 1 or (q is not None and q.shape != (k, p.shape[1])):
        raise ValueError(f"a draft of {k} needs p of {k + 1} rows, q of {k} rows and {k + 1} draws")
    if k == 0:
        return [], []
    return _picked(p, draft), [1.0] * k if q is None else _picked(q, draft)


def overlaps(
    draft: Sequence[int],
    p: torch.Tensor,
    q: torch.Tensor | None,
    verdict: Verdict,
    parents: Sequence[int] | None = None,
) -> tuple[float, ...]:
    """beta at each position that `verdict` tested: the sum over the vocabulary of min(p, q), the chance that what is
    drawn from q is kept there (Leviathan et al. 2023, Definition 3.1 and Theorem 3.5). No decoder needs it.

    Args:
        draft, p, q: as of :func:`verify`; min(p, one-hot at x) sums to p(x).
        parents: None; a tree's are of :func:`fastllm.rules.follow.overlaps`.
    """
    n = verdict.tested
    return verdict.p[:n] if q is None else tuple(torch.minimum(p[:n], q[:n]).sum(-1).tolist())
