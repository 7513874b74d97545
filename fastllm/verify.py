"""The acceptance rule of speculative sampling. Tensors in, verdict out; knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastllm.sampling import draw
from fastllm.trace import Kind


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a draft of k tokens.

    Attributes:
        accepted: how many draft tokens are kept, 0 .. k.
        token, kind: what the target adds after them; None where the accepted draft ended the text.
        p, q: probability of each draft token, k floats each.
        betas: sum over the vocabulary of min(p, q) at each *tested* position, min(accepted + 1, k) floats.
    """

    accepted: int
    token: int | None
    kind: Kind | None
    p: tuple[float, ...]
    q: tuple[float, ...]
    betas: tuple[float, ...]


def residual(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """norm(max(0, p - q)), what a rejected token is resampled from (Leviathan et al. 2023, section 2.3; Chen et al.
    2023, Algorithm 2).

    Args:
        p, q: shape (vocabulary,), each summing to 1.

    Returns:
        shape (vocabulary,). Where p - q is nowhere positive, p itself: then p = q up to rounding, and a rejection can
        only come from rounding.
    """
    rest = (p - q).clamp_min(0.0)
    total = rest.sum()
    return rest / total if total > 0 else p


def verify(
    draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, u: Sequence[float], eos_id: int | None = None
) -> Verdict:
    """Accept each draft token x while u < p(x) / q(x); then resample, or add a bonus token (Leviathan et al. 2023,
    Algorithm 1).

    Greedy decoding is the same rule over one-hot p and q: a token is accepted exactly if it is the target's argmax.

    Args:
        draft: k token ids; an end-of-text token can only be the last.
        p: shape (k + 1, vocabulary), what the target would be sampled from at each position.
        q: shape (k, vocabulary), what draft[i] *was* sampled from; None for one-hot rows.
        u: k + 1 uniform draws in [0, 1): one test a token, and the last for the token that the target adds.
        eos_id: after an accepted one the text has ended, and nothing is added.

    Raises:
        ValueError: shapes or lengths do not fit.
    """
    k = len(draft)
    if p.dim() != 2 or len(p) != k + 1 or len(u) != k + 1 or (q is not None and q.shape != (k, p.shape[1])):
        raise ValueError(f"a draft of {k} needs p of {k + 1} rows, q of {k} rows and {k + 1} draws")
    if k == 0:
        return Verdict(0, draw(p[0], u[0]), "target", (), (), ())
    ids = torch.tensor(draft)
    rows = torch.arange(k)
    p_draft = p[rows, ids].tolist()
    q_draft = [1.0] * k if q is None else q[rows, ids].tolist()
    accepted = 0
    # u < p / q without the division: q(x) > 0, since x was drawn from q.
    while accepted < k and u[accepted] * q_draft[accepted] < p_draft[accepted]:
        accepted += 1
    tested = min(accepted + 1, k)
    # min(p, one-hot at x) sums to p(x).
    betas = p_draft[:tested] if q is None else torch.minimum(p[:tested], q[:tested]).sum(-1).tolist()
    kind: Kind | None
    if accepted < k:
        q_row = q[accepted] if q is not None else torch.zeros_like(p[accepted]).index_fill_(0, ids[accepted], 1.0)
        token, kind = draw(residual(p[accepted], q_row), u[k]), "resampled"
    elif draft[-1] == eos_id:
        token, kind = None, None
    else:
        token, kind = draw(p[k], u[k]), "bonus"
    return Verdict(accepted, token, kind, tuple(p_draft), tuple(q_draft), tuple(betas))
