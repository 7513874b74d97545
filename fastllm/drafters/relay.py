"""Relay: one drafter for the first places of a draft, another for the rest (the horizontal cascade of CS-Drafting,
Chen et al. 2023).

The first place of a draft is always tested and the last one seldom, so the better drafter goes first. A drafter that
proposes with certainty (lookup) goes on as long as it knows something, and the other takes over where it knows nothing;
any other first drafter gets the first half of the draft.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastllm.drafters.base import Draft, Drafter, DrafterSession
from fastllm.drafters.pair import PairDrafter
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler, one_hot
from fastllm.source import Source


class RelaySession(DrafterSession):
    """Two sessions over one sampler; row i of q is that of whoever proposed token i."""

    def __init__(
        self, first: DrafterSession, then: DrafterSession, names: tuple[str, str], certain: bool, sampler: Sampler
    ) -> None:
        self._sessions, self._names, self._certain, self._sampler = (first, then), names, certain, sampler

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """Up to `gamma` tokens; where a length policy stops the first drafter, the draft goes on with the other."""
        parts: list[Draft] = []
        ids: list[int] = []
        for session, places in zip(self._sessions, (gamma if self._certain else -(-gamma // 2), gamma), strict=True):
            if len(ids) < places and not (ids and ids[-1] in self._sampler.eos_ids):
                parts.append(session.propose([*prefix, *ids], places - len(ids), lengths))
                ids += parts[-1].ids
        by = tuple(name for part, name in zip(parts, self._names, strict=False) for _ in part.ids)
        unsure, calls = parts[-1].unsure, sum(part.calls for part in parts)
        parts = [part for part in parts if part.ids]
        if not any(part.view for part in parts):
            return Draft(tuple(ids), by=by, unsure=unsure, calls=calls)
        q = None
        if not self._sampler.settings.greedy:
            width = next(part.q.shape[1] for part in parts if part.q is not None)
            q = torch.cat([one_hot(p.ids, width) if p.q is None else p.q for p in parts])
        return Draft(tuple(ids), q, lambda: torch.cat(logits_of(parts)), by, unsure, calls)


def logits_of(parts: Sequence[Draft]) -> list[torch.Tensor]:
    """The logits of parts of k tokens, each (k, vocabulary); those of a one-hot q where a drafter has no view of its
    own. One of the parts has one."""
    rows = [part.logits for part in parts]
    width = next(x.shape[1] for x in rows if x is not None)
    return [one_hot(part.ids, width).log() if x is None else x for part, x in zip(parts, rows, strict=True)]


class RelayDrafter(PairDrafter):
    """`first`, then `then`: ``lookup-then-ngram:2``."""

    def __init__(self, first: Drafter, then: Drafter) -> None:
        super().__init__(first, then, f"{first.name}-then-{then.name}", f"{first.title}, then {then.title}")

    def open(self, source: Source, sampler: Sampler) -> RelaySession:
        first, then = self.first.open(source, sampler), self.second.open(source, sampler)
        return RelaySession(first, then, (self.first.name, self.second.name), self.first.certain, sampler)
