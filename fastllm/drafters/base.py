"""The protocol of drafters, and the one sampling loop that all drafters with a distribution share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastllm.sampling import Sampler
from fastllm.source import Source


@dataclass(frozen=True)
class Draft:
    """What a drafter proposes: k tokens, 0 <= k <= gamma.

    Attributes:
        ids: the proposed tokens.
        q: shape (k, vocabulary), float32, row i the distribution that ids[i] was *sampled from* (after temperature,
            top-k, top-p and blocking). None says that every token was chosen with certainty: q is one-hot.
        logits: shape (k, vocabulary), float32, the drafter's own view before all that; None where it has none (lookup).
    """

    ids: tuple[int, ...]
    q: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class DrafterSession(ABC):
    """One article's drafting. Holds whatever state the drafter caches; no caller says how much to roll back."""

    @abstractmethod
    def propose(self, prefix: Sequence[int], gamma: int) -> Draft:
        """Propose up to `gamma` tokens that may follow `prefix` (summary tokens so far, without decoder start).

        A draft ends after an end-of-text token. It may be shorter than gamma, or empty.
        """


class Drafter(ABC):
    """A loaded drafter. Sessions of one drafter are independent: two visitors may use it at once.

    Attributes:
        name: as in the table of drafters, with its parameter: ``ngram:3``.
        title: for people.
        vocab_size: columns of its distributions; must be the target's.
        size_bytes: what it takes on disk.
        sha256: of its files, or "" where it has none.
    """

    name: str
    title: str
    vocab_size: int
    size_bytes: int = 0
    sha256: str = ""

    @abstractmethod
    def open(self, source: Source, sampler: Sampler) -> DrafterSession:
        """Begin an article. The session draws from ``sampler`` and from nothing else."""


class DistributionSession(DrafterSession):
    """A session of a drafter that gives next-token logits: samples token by token from the transformed distribution."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @abstractmethod
    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        """Shape (vocabulary,), float32: logits or natural-log probabilities of the token after `prefix`.

        The returned tensor must not be written to later.
        """

    def propose(self, prefix: Sequence[int], gamma: int) -> Draft:
        ids, rows, qs = list(prefix), [], []
        for _ in range(gamma):
            logits = self.next_logits(ids)
            token, q = self.sampler.choose(logits, ids)
            rows.append(logits)
            qs.append(q)
            ids.append(token)
            if token == self.sampler.eos_id:
                break
        if not rows:
            return Draft(())
        q = None if self.sampler.settings.greedy else torch.stack(qs)
        return Draft(tuple(ids[len(prefix) :]), q, torch.stack(rows))
