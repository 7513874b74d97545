"""What every drafter made of two has in common."""

from __future__ import annotations

from fastllm.drafters.base import Drafter


class PairDrafter(Drafter):
    """Base of the composites. It is as large as both together, and its hash is that of both."""

    def __init__(self, first: Drafter, second: Drafter, name: str, title: str) -> None:
        self.first, self.second, self.name, self.title = first, second, name, title
        self.vocab_size = first.vocab_size
        self.size_bytes = first.size_bytes + second.size_bytes
        self.sha256 = "+".join(filter(None, (first.sha256, second.sha256)))
