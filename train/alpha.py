"""Alpha of a drafter while it is trained: the acceptance rate over the target's own texts, teacher-forced.

Greedy, a draft token is accepted where q's most probable token is the target's: alpha_greedy is the share of positions
where it is. Sampling, it is accepted with chance beta = sum min(p, q) (Leviathan et al. 2023, Corollary 3.6):
alpha_sampled is the mean of beta over texts drawn from the target. Both ignore n-gram blocking, and count positions
that a run would never test, too; ``train evaluate`` measures what runs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastllm.targets.base import Target
from train.batches import Example, make_batch
from train.students import Student
from train.teacher import TopK, dense, rows_at_once


@dataclass(frozen=True)
class Alpha:
    """Acceptance rates in [0, 1]; ``mean`` is what the best checkpoint is chosen by."""

    greedy: float
    sampled: float

    @property
    def mean(self) -> float:
        return (self.greedy + self.sampled) / 2


def pad_top_k(rows: Sequence[TopK], length: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """ids int64 and logp float32 of shape (B, length, k); padding holds the token 0 with certainty."""
    k = rows[0].ids.shape[1]
    ids = torch.arange(k).expand(len(rows), length, k).clone()
    logp = torch.full((len(rows), length, k), -60.0)
    logp[..., 0] = 0.0
    for i, row in enumerate(rows):
        t = len(row.ids)
        ids[i, :t] = torch.from_numpy(row.ids.astype("int64"))
        logp[i, :t] = torch.from_numpy(row.logp.astype("float32"))
    return ids.to(device), logp.to(device)


@torch.no_grad()
def measure_alpha(
    student: Student,
    target: Target,
    greedy: Sequence[Example],
    sampled: Sequence[Example],
    teacher: Sequence[TopK],
    batch_size: int = 32,
) -> Alpha:
    """Alpha over the target's greedy texts and over its sampled ones; `teacher` belongs to the latter."""
    was_training = student.training
    student.eval()
    device = next(student.parameters()).device
    length = max(len(e.text) for e in [*greedy, *sampled])
    batch_size = rows_at_once(batch_size, length, target.vocab_size)
    hits = tokens = 0
    for at in range(0, len(greedy), batch_size):
        batch = make_batch(greedy[at : at + batch_size], target.eos_id, target.start_id, device)
        best = student(batch.article, batch.prompt, batch.prompt_mask, batch.inputs).argmax(-1)
        hits += int(((best == batch.labels) & batch.mask).sum())
        tokens += int(batch.mask.sum())
    total = positions = 0.0
    for at in range(0, len(sampled), batch_size):
        batch = make_batch(sampled[at : at + batch_size], target.eos_id, target.start_id, device)
        q = student(batch.article, batch.prompt, batch.prompt_mask, batch.inputs).exp()
        p = dense(*pad_top_k(teacher[at : at + batch_size], q.shape[1], device), target.vocab_size).exp()
        beta = torch.minimum(p, q).sum(-1)
        total += float(beta[batch.mask].sum())
        positions += int(batch.mask.sum())
    student.train(was_training)
    return Alpha(hits / tokens, total / positions)
