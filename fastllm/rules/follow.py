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
        its first children; of those kept and that one ``chances``. What stands nowhere on the path is ``aside``.

    Raises:
        ValueError: shapes or lengths do not fit.
    """
    k = len(draft)
    if p.dim() != 2 or len(p) != k + 1 or len(u) != k + 1 or (q is not None and q.shape != (k, p.shape[1])):
        raise ValueError(f"a tree of {k} needs p of {k + 1} rows, q of {k} rows and {k + 1} draws")
    parents = range(-1, k - 1) if parents is None else parents
    chances: dict[int, float] = {}
    at, left, here = -1, p[0], children(parents, -1)
    while here:
        kept, left = None, p[at + 1]
        for i in here:
            row = _row(draft, p, q, i)
            mine, theirs = float(left[draft[i]]), float(row[draft[i]])
            chances[i] = _chance(mine, theirs)
            if u[i] * theirs < mine:
                kept = i
                break
            left = left_by(left, row)
        if kept is None:
            break
        at, left, here = kept, p[kept + 1], children(parents, kept)
    walked = path(parents, at)
    order = list(walked)
    while below := children(parents, order[-1] if order else -1):
        order.append(below[0])
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
        chances=tuple(chances[i] for i in order if i in chances),
        order=tuple(order),
        aside=tuple(Aside(i, p_of[i], q_of[i], chances.get(i)) for i in range(k) if i not in order),
    )


def overlaps(
    draft: Sequence[int],
    p: torch.Tensor,
    q: torch.Tensor | None,
    verdict: Verdict,
    parents: Sequence[int] | None = None,
) -> tuple[float, ...]:
    """beta at each place along the path that `verdict` tested: the chance that any of the siblings there is kept, given
    those before the last. Of a single child it is the sum of min(p, q).

    Args:
        draft, p, q, parents: as of :func:`follow`, of whose ``order`` the verdict is.
    """
    parents = range(-1, len(draft) - 1) if parents is None else parents
    betas = []
    for at in (-1, *(verdict.order or ()))[: verdict.tested]:
        missed, left, here = 1.0, p[at + 1], children(parents, at)
        for i in here[:-1]:
            row = _row(draft, p, q, i)
            missed *= 1.0 - _chance(float(left[draft[i]]), float(row[draft[i]]))
            left = residual(left, row)
        betas.append(1.0 - missed * (1.0 - min(1.0, float(torch.minimum(left, _row(draft, p, q, here[-1])).sum()))))
    return tuple(betas)


def _row(draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, node: int) -> torch.Tensor:
    """What a node was drawn from, shape (vocabulary,)."""
    return one_hot([draft[node]], p.shape[1])[0] if q is None else q[node]


def _chance(p: float, q: float) -> float:
    """That a token is kept which has these chances in what is left, and where it was drawn."""
    return min(1.0, p / q) if q else float(p > 0)
