"""The protocol of drafters, and the one sampling loop that all drafters with a distribution share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from fastllm.config import MAX_GAMMA
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler
from fastllm.source import Source


@dataclass(frozen=True)
class Draft:
    """What a drafter proposes: k tokens, 0 <= k <= gamma, or a tree of k nodes.

    Attributes:
        ids: the proposed tokens.
        q: shape (k, vocabulary), float32, row i the distribution that ids[i] was *sampled from* (after temperature,
            top-k, top-p and blocking). None says that every token was chosen with certainty: q is one-hot.
        view: makes `logits`; None where the drafter has no view of its own (lookup).
        by: who proposed each token, k names; empty: the drafter itself.
        unsure: whether a length policy ended the draft.
        calls: forward passes of the drafter's models.
        parents: of a tree, the index of each node's parent, -1 for the root (fastllm/trees.py); None: a chain.
    """

    ids: tuple[int, ...]
    q: torch.Tensor | None = None
    view: Callable[[], torch.Tensor] | None = None
    by: tuple[str, ...] = ()
    unsure: bool = False
    calls: int = 0
    parents: tuple[int, ...] | None = None

    @property
    def logits(self) -> torch.Tensor | None:
        """Shape (k, vocabulary), float32: the drafter's own view before all that. Only watchers need it, so it is made
        when it is asked for, off every clock."""
        return None if self.view is None else self.view()


class DrafterSession(ABC):
    """One article's drafting. Holds whatever state the drafter caches; no caller says how much to roll back."""

    @abstractmethod
    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """Propose up to `gamma` tokens that may follow `prefix` (summary tokens so far, without decoder start).

        A draft ends after an end-of-text token. It may be shorter than gamma, or empty. Only a session with a
        distribution consults `lengths`, and only one that :attr:`~fastllm.lengths.Lengths.asks`.
        """


class Drafter(ABC):
    """A loaded drafter. Sessions of one drafter are independent: two visitors may use it at once.

    Attributes:
        name: as in the table of drafters, with its parameter: ``ngram:3``.
        title: for people.
        vocab_size: columns of its distributions; must be the target's.
        size_bytes: what it takes on disk.
        sha256: of its files, or "" where it has none.
        takes_place: whether its parameter is a folder or a hub name.
        scores: whether its sessions are :class:`ScoringSession`.
        certain: whether it proposes with certainty, and nothing where it knows nothing (lookup).
        branches: whether it proposes several chains at once, so that only a rule for trees can judge them.
        short, phrase: the family's name and what it does, in a few words each, for the page's menu.
    """

    takes_place: ClassVar[bool] = False
    scores: ClassVar[bool] = False
    certain: ClassVar[bool] = False
    branches: ClassVar[bool] = False
    short: ClassVar[str] = ""
    phrase: ClassVar[str] = ""

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

    def room(self, prefix: Sequence[int]) -> int:
        """The longest draft after `prefix` that the drafter has positions for; it may be 0 or less."""
        return MAX_GAMMA

    def needs_rows(self, prefix: Sequence[int], lengths: Lengths | None) -> bool:
        """Whether a draft after `prefix` needs whole rows: a length policy reads them, or a first token is forced."""
        return bool(lengths and lengths.asks) or (self.sampler.first_id is not None and not prefix)

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        ids, rows, qs = list(prefix), [], []
        asked = lengths if lengths and lengths.asks else None
        unsure, calls = False, 0
        for _ in range(min(gamma, self.room(prefix))):
            logits = self.next_logits(ids)
            calls += 1
            if asked:
                probs = self.sampler.masked(logits[None], ids)[0].softmax(-1)
                if not asked.before(probs):
                    unsure = True
                    break
            token, q = self.sampler.choose(logits, ids)
            rows.append(logits)
            qs.append(q)
            ids.append(token)
            if token in self.sampler.eos_ids:
                break
            if asked and not asked.after(probs, token):
                unsure = True
                break
        if not rows:
            return Draft((), unsure=unsure, calls=calls)
        q = None if self.sampler.settings.greedy else torch.stack([q for q in qs if q is not None])
        return Draft(tuple(ids[len(prefix) :]), q, lambda: torch.stack(rows), unsure=unsure, calls=calls)


class ScoringSession(DistributionSession):
    """One that gives the logits after several tokens in one call."""

    @abstractmethod
    def score(self, prefix: Sequence[int], draft: Sequence[int] = ()) -> torch.Tensor:
        """Shape (k + 1, vocabulary), float32: rows after `prefix`, `prefix + draft[:1]`, ..., `prefix + draft`."""

    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        return self.score(prefix)[0]
