"""The article as drafters see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """The article as a drafter sees it: token ids of the target's tokenizer.

    Attributes:
        article_ids: the part of the article that the target reads, without prompt and end-of-text token.
        prompt_ids: exactly what the target's encoder reads.
    """

    article_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
