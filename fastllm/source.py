"""The article as drafters see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """The article as a drafter sees it: token ids of the target's tokenizer, and the text for a drafter that has
    another.

    Attributes:
        article_ids: the part of the article that the target reads, without prompt and end-of-text token.
        prompt_ids: exactly what the target's encoder reads.
        encoded: gives what the target made of the prompt, for a drafter that has the target's own weights; None where
            no target has read it.
        text: the article; "" where only its tokens are known.
    """

    article_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    encoded: Callable[[], Any] | None = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
