"""The rollback rule of Big Little Decoder (Kim et al. 2023, "Speculative Decoding with Big Little Decoder").

Lossy by design. Unlike the reference code, every position of a draft is looked at, not only the first above the
threshold, and an end-of-text token is reviewed like any other: so a threshold of 0 gives exactly the greedy text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from fastllm.trace import Kind
from fastllm.verify import Verdict, probabilities


def bild(
    draft: Sequence[int],
    p: torch.Tensor,
    q: torch.Tensor | None,
    u: Sequence[float],
    eos_ids: Sequence[int] = (),
    soft: torch.Tensor | None = None,
    rollback: float = 0.0,
) -> Verdict:
    """Keep tokens while each is the target's argmax or -ln p(x) <= rollback; then the target's argmax.

    Args:
        draft, p, q, u, eos_ids: as of :func:`fastllm.verify.verify`; nothing is drawn, so `u` is not read.
        soft: shape of p, the target's probabilities at temperature 1; None: p itself.
        rollback: in nats, 0 or more. At 0 only the argmax stays.
    """
    k = len(draft)
    p_draft, q_draft = probabilities(draft, p, q, u)
    best = p.argmax(-1).tolist()
    likely = p if soft is None else soft
    chances: list[float] = []
    for i, token in enumerate(draft):
        chance = float(likely[i, token])
        unlikely = rollback == 0 or chance <= 0 or -math.log(chance) > rollback
        chances.append(float(token == best[i] or not unlikely))
        if not chances[-1]:
            break
    accepted = int(sum(chances))
    facts = tuple(p_draft), tuple(q_draft), tuple(chances)
    if accepted == k and k and draft[-1] in eos_ids:
        return Verdict(k, None, None, *facts)
    kind: Kind = "target" if k == 0 else "resampled" if accepted < k else "bonus"
    return Verdict(accepted, best[accepted], kind, *facts)
