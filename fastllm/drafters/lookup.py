"""Prompt lookup: copy what followed the same last tokens in the article, or in the summary so far.

Source: prompt lookup decoding (Saxena 2023) and LLMA (Yang et al. 2023, "Inference with Reference"); for an
encoder-decoder the text to copy from is the encoder's input, which decoder-only implementations never search.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastllm.drafters.base import Draft, Drafter, DrafterSession
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler
from fastllm.source import Source

MAX_MATCH = 5


class LookupSession(DrafterSession):
    """Deterministic: q is one-hot. The article's n-grams are indexed once, n = 1 .. MAX_MATCH."""

    def __init__(self, source: Source, sampler: Sampler) -> None:
        self._sampler = sampler
        self._article = list(source.article_ids)
        self._index: dict[tuple[int, ...], int] = {}  # n-gram -> where its first occurrence ends
        for n in range(1, MAX_MATCH + 1):
            for end in range(n, len(self._article)):
                self._index.setdefault(tuple(self._article[end - n : end]), end)

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """Longest match first; of equal length, the article before the summary. At the start, the article's opening."""
        copied = self._continuation(list(prefix), gamma)
        if not self._sampler.settings.no_repeat_ngram_size:
            return Draft(tuple(copied))
        ids: list[int] = []
        for token in copied:
            if token in self._sampler.blocked([*prefix, *ids]):
                break
            ids.append(token)
        return Draft(tuple(ids))

    def _continuation(self, prefix: list[int], gamma: int) -> list[int]:
        if not prefix:
            return self._article[:gamma]
        ends: list[int] | None = None
        for n in range(min(MAX_MATCH, len(prefix)), 0, -1):
            tail = prefix[-n:]
            end = self._index.get(tuple(tail))
            if end is not None:
                return self._article[end : end + gamma]
            if ends is None:
                # Behind where the last token stood before, the most recent place first: no other can end a match.
                ends = [end for end in range(len(prefix) - 1, 0, -1) if prefix[end - 1] == prefix[-1]]
            for end in ends:
                if end >= n and prefix[end - n : end] == tail:
                    return prefix[end : end + gamma]
        return []


class LookupDrafter(Drafter):
    """Copies from the article; no weights, nothing to train, fits every target."""

    short = "Lookup"
    phrase = "copies what the article says next"
    name = "lookup"
    title = "Lookup (copies from the article)"
    certain = True

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def open(self, source: Source, sampler: Sampler) -> LookupSession:
        return LookupSession(source, sampler)
