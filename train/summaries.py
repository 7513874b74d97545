"""Summaries of many articles by the target: the program's own decoding, so that there is one definition of p."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive
from fastllm.targets.base import Target


def summarise(target: Target, article: str, temperature: float, max_new_tokens: int, seed: int = 0) -> list[int]:
    """The target's text of one article as token ids, end-of-text included where it came; as on the page.

    The draws follow from `seed` and the article, so that a resumed run draws as one that was not cut.
    """
    sampling = Sampling(temperature, no_repeat_ngram_size=target.preset.no_repeat_ngram_size)
    own = (seed * 1_000_003 + zlib.crc32(article.encode())) % 2**31
    session = target.open(article)
    try:
        steps = autoregressive(session, Settings(1, sampling, own, max_new_tokens, top=0))
        return [token for step in steps for token in step.tokens]
    finally:
        session.close()


def generate(
    target: Target, articles: Sequence[str], temperature: float, max_new_tokens: int, batch_size: int, seed: int = 0
) -> Iterator[list[list[int]]]:
    """:func:`summarise` of `articles`, `batch_size` at a time."""
    for at in range(0, len(articles), batch_size):
        yield [summarise(target, a, temperature, max_new_tokens, seed) for a in articles[at : at + batch_size]]
