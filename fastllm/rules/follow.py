"""Trees: from the root down, test each node's children in turn, and go where one is kept.

A child x_j that was drawn from q_j is kept with chance min(1, p_j(x_j) / q_j(x_j)); refused, it leaves p_{j+1} =
norm(max(0, p_j - q_j)) for the next one, and the last of these is what the target's own token is drawn from when all
were refused (Miao et al. 2023, "SpecInfer"; Chen et al. 2024, "Sequoia", Algorithm 2, where q_{j+1} is q_j without x_j,
renormalised). Children that were picked, not drawn, have a one-hot q: then p_{j+1} is p_j without x_j, and all of it is
one draw from p that follows the child which it hits. Of a chain both are the token rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastllm.sampling import draw, one_hot
from fastllm.trace import Kind
from fastllm.trees import children, path
from fastllm.verify import Aside, Verdict, residual


def follow(
    draft: Sequence[int],
    p: torch.Tensor,
    q: torch.Tensor | None,
    u: Sequence[float],
    eos_ids: Sequence[int] = (),
    parents: Sequence[int] | None = None,
    left_by=residual,
) -> Verdict:
    """What becomes of a tree; of a chain where `parents` is None.

    Args:
        draft: k token ids, siblings all different; a node with an end-of-text token has no child.
        p: shape (k + 1, vocabulary); row i + 1 follows node i, row 0 the text.
        q: shape (k, vocabulary), what node i was *drawn from* among its siblings; None for one-hot rows.
        u: k + 1 uniform draws: one a node, and the last for the token that the target adds.
        left_by: what a refused token's q leaves of p; :func:`fastllm.verify.residual`.

    Returns:
        The verdict along ``order``: the nodes kept, then the first child of the last of them where there was one, and
        its first children; of those kept and that one ``betas`` and ``chances``. A beta is the chance that any of the
        siblings is kept, given those before the last; of a single child it is the sum of min(p, q). What stands nowhere
        on the path is ``aside``.

    Raises:
        ValueError: shapes or lengths do not fit.
    """
    k = len(draft)
    if p.dim() != 2 or len(p) != k + 1 or len(u) != k + 1 or (q is not None and q.shape != (k, p.shape[1])):
        raise ValueError(f"a tree of {k} needs p of {k + 1} rows, q of {k} rows and {k + 1} draws")
    parents = range(-1, k - 1) if parents is None else parents
    chances: dict[int, float] = {}
    betas: list[float] = []
    at, left, here = -1, p[0], children(parents, -1)
    while here:
        kept, missed, left = None, 1.0, p[at + 1]
        for i in here:
            row = one_hot([draft[i]], p.shape[1])[0] if q is None else q[i]
            mine, theirs = float(left[draft[i]]), float(row[draft[i]])
            chance = min(1.0, mine / theirs) if theirs else float(mine > 0)
            if kept is None:
                chances[i] = chance
                kept = i if u[i] * theirs < mine else None
            # Of the last sibling the mean over what might have been drawn; of the others, which were drawn, their own.
            missed *= 1.0 - (min(1.0, float(torch.minimum(left, row).sum())) if i == here[-1] else chance)
            left = left_by(left, row)
        betas.append(1.0 - missed)
        if kept is None:
            break
        at, left, here = kept, p[kept + 1], children(parents, kept)
    walked = path(parents, at)
    order = list(walked)
    while below := children(parents, order[-1] if order else -1):
        order.append(below[0])
    tested = len(walked) + bool(here)
    ended = bool(walked) and draft[walked[-1]] in eos_ids
    kind: Kind = "target" if not k else "resampled" if here else "bonus"
    p_of = [float(p[parents[i] + 1, draft[i]]) for i in range(k)]
    q_of = [1.0 if q is None else float(q[i, draft[i]]) for i in range(k)]
    return Verdict(
        accepted=len(walked),
        token=None if ended else draw(left, u[k]),
        kind=None if ended else kind,
        p=tuple(p_of[i] for i in order),
        q=tuple(q_of[i] for i in order),
        betas=tuple(betas),
        chances=tuple(chances[i] for i in order[:tested]),
        order=tuple(order),
        aside=tuple(Aside(i, p_of[i], q_of[i], chances.get(i)) for i in range(k) if i not in order),
    )
