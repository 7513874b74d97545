"""Drafters for tests: they agree with the target always, never, or sometimes, by construction."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastllm.drafters.base import DistributionSession, Draft, Drafter, DrafterSession


class _TargetSession(DistributionSession):
    def __init__(self, sampler, session, noise: float, shift: int) -> None:
        super().__init__(sampler)
        self._session, self._noise, self._shift = session, noise, shift

    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        logits = self._session.score(prefix)[0]
        if self._noise:
            generator = torch.Generator().manual_seed(hash(tuple(prefix)) % 2**31)
            logits = logits + self._noise * torch.randn(logits.shape, generator=generator)
        return logits.roll(self._shift)


class TargetAsDrafter(Drafter):
    """Drafts with the target itself: agrees always; with noise, sometimes; with its columns rolled, nearly never."""

    title = "the target itself"

    def __init__(self, target, article: str, noise: float = 0.0, shift: int = 0) -> None:
        self.name = f"self:{noise:g}:{shift}"
        self.vocab_size = target.vocab_size
        self._open = lambda: target.open(article)
        self._noise, self._shift = noise, shift

    def open(self, source, sampler):
        return _TargetSession(sampler, self._open(), self._noise, self._shift)


class ScriptedDrafter(Drafter):
    """Proposes, at each summary length, the tokens of a script: deterministic, q one-hot."""

    name = "scripted"
    title = "a script"

    def __init__(self, vocab_size: int, script: Sequence[int]) -> None:
        self.vocab_size = vocab_size
        self._script = tuple(script)

    def open(self, source, sampler):
        script = self._script

        class Session(DrafterSession):
            def propose(self, prefix, gamma, lengths=None):
                return Draft(script[len(prefix) : len(prefix) + gamma])

        return Session()
