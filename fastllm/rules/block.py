"""Block verification (Sun et al. 2024, "Block Verification Accelerates Speculative Decoding", Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastllm.sampling import draw
from fastllm.verify import Verdict, probabilities, replacement


def block(
    draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, u: Sequence[float], eos_ids: Sequence[int] = ()
) -> Verdict:
    """Keep the longest prefix of the draft that passes; arguments and result as of :func:`fastllm.verify.verify`.

    With w_0 = 1 and w_i = min(1, w_{i-1} p_i(x_i) / q_i(x_i)), the prefix of i < k tokens passes with chance
    h_i = n_i / (n_i + 1 - w_i), n_i = sum max(0, w_i p_{i+1} - q_{i+1}), and the whole draft with h_k = w_k. The last i
    that passes is kept, whether or not those before it did; after it comes a bonus token, or one drawn from
    norm(max(0, w_i p_{i+1} - q_{i+1})). Greedy, every w and h is 0 or 1 and this is the token rule.

    ``chances`` holds h_i of all k tokens: each was tested, with its own u.
    """
    k = len(draft)
    p_draft, q_draft = probabilities(draft, p, q, u)
    if k == 0:
        return Verdict(0, draw(p[0], u[0]), "target", (), ())
    weights, chances = [1.0], []
    for i in range(k):
        w = weights[-1]
        if i:
            # sum over x of max(0, w p - q); for a one-hot q at the draft token that is w (1 - p(token)), since w <= 1.
            n = w * (1 - p_draft[i]) if q is None else float((w * p[i] - q[i]).clamp_min(0.0).sum())
            chances.append(1.0 if w == 1 and n == 0 else n / (n + 1 - w))
        weights.append(min(1.0, w * p_draft[i] / q_draft[i]))
    chances.append(weights[k])
    accepted = max((i + 1 for i in range(k) if u[i] < chances[i]), default=0)
    facts = tuple(p_draft), tuple(q_draft), tuple(chances)
    if accepted < k:
        row = None if q is None else q[accepted]
        token = replacement(p[accepted], row, draft[accepted], u[k], weights[accepted])
        return Verdict(accepted, token, "resampled", *facts)
    if draft[-1] in eos_ids:
        return Verdict(k, None, None, *facts)
    return Verdict(k, draw(p[k], u[k]), "bonus", *facts)
