"""Drafts within a shortlist of the vocabulary: its most frequent tokens and the article's (FR-Spec, Zhao et al. 2025).

The product with the whole vocabulary is the larger part of what a small drafter reads for a token. Any q is lossless,
so a shortlist costs acceptance at most: none greedy and less than .01 of sampled beta with ``mini``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fastllm.drafters.base import DistributionSession, Draft, ScoringSession
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler
from fastllm.source import Source

if TYPE_CHECKING:
    from fastllm.targets.base import Target

# How many of the most frequent tokens are listed beside the article's, by whether one of all is drawn or the most
# probable is taken, which is nearly always the article's or among the first.
SHORTLIST, SHORTLIST_GREEDY = 1024, 256


def numbered_by_frequency(tokenizer: Any) -> bool:
    """Whether the first ids are the frequent ones: a unigram tokenizer numbers its pieces by falling probability (Kudo
    2018). The merges of a byte-level BPE are in another order: the first eighth of SmolLM2's lacks 5 % of its greedy
    and 17 % of its sampled tokens."""
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    return type(model).__name__ == "Unigram"


def frequent_first(target: Target) -> int:
    """How many of the target's first ids have a piece, where frequent ones come first; 0 where they do not."""
    return target.legal_size if numbered_by_frequency(target.tokenizer) else 0


def most_frequent(sampler: Sampler) -> int:
    """How many of the most frequent tokens are listed."""
    return SHORTLIST_GREEDY if sampler.settings.greedy else SHORTLIST


def first_and_articles(source: Source, sampler: Sampler, size: int) -> np.ndarray | None:
    """The first ids of a unigram vocabulary, those that end the text, and the article's: int64, ascending.

    Args:
        size: as of :func:`frequent_first`.

    Returns:
        None where they would be most of the vocabulary, and where its first ids are not the frequent ones.
    """
    listed = np.zeros(size, bool)
    listed[: most_frequent(sampler)] = True
    listed[[i for i in (*source.article_ids, *sampler.eos_ids) if i < size]] = True
    found = listed.nonzero()[0]
    return found if 2 * len(found) < size else None


class ShortlistSession(DistributionSession):
    """A session that may know the logits of a shortlist only: everything else has -inf.

    Attributes:
        listed: int64, shape (S,), ascending ids; None: every token.
        vocab_size: V.
    """

    listed: np.ndarray | None
    vocab_size: int

    @abstractmethod
    def listed_logits(self, prefix: Sequence[int]) -> np.ndarray:
        """Logits after `prefix`, float32, shape (S,): of the shortlist's tokens, in its order."""

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """The general loop's draft, drawn within the shortlist: no row of the vocabulary is filled but those of q."""
        sampler, listed, most = self.sampler, self.listed, min(gamma, self.room(prefix))
        if listed is None or most < 1 or self.needs_rows(prefix, lengths):
            return super().propose(prefix, gamma, lengths)
        ids = list(prefix)
        found: list[np.ndarray] = []
        q = None if sampler.settings.greedy else np.zeros((most, self.vocab_size), np.float32)
        for row in range(most):
            found.append(self.listed_logits(ids))
            token, chosen = sampler.choose_listed(torch.from_numpy(found[-1]), listed, ids)
            if q is not None and chosen is not None:
                q[row, listed] = chosen.numpy()
            ids.append(token)
            if token in sampler.eos_ids:
                break
        k = len(ids) - len(prefix)
        rows = None if q is None else torch.from_numpy(q[:k])
        return Draft(tuple(ids[-k:]), rows, lambda: _spread(found, listed, self.vocab_size), calls=k)


def _spread(rows: Sequence[np.ndarray], listed: np.ndarray, vocab_size: int) -> torch.Tensor:
    """Logits of the tokens `listed`, k rows of shape (S,), as those of all: shape (k, V), -inf for the others."""
    out = np.full((len(rows), vocab_size), -np.inf, np.float32)
    out[:, listed] = rows
    return torch.from_numpy(out)


class ModelSession(ShortlistSession, ScoringSession):
    """One of a drafter that is a whole model: its cache follows the prefix. A subclass opens ``_decoder``, of the
    columns in ``listed``."""

    _decoder: Any

    def listed_logits(self, prefix: Sequence[int]) -> np.ndarray:
        return self._decoder.score(prefix, 1)[0].numpy()

    def score(self, prefix: Sequence[int], draft: Sequence[int] = ()) -> torch.Tensor:
        """Logits, float32, shape (k + 1, V): columns beyond the target's are cut; those that the drafter lacks, and
        those off the shortlist, are -inf."""
        logits = self._decoder.score([*prefix, *draft], len(draft) + 1)
        if self.listed is None and logits.shape[1] >= self.vocab_size:
            return logits[:, : self.vocab_size]
        rows = np.full((len(logits), self.vocab_size), -np.inf, np.float32)
        rows[:, slice(logits.shape[1]) if self.listed is None else self.listed] = logits.numpy()
        return torch.from_numpy(rows)
