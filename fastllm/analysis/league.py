"""The league: every drafter along one and the same text of the target, position by position.

A speculative run shows a drafter only at the positions that it tests, and those differ from drafter to drafter. Here
each is asked at every position of the target's text what it would draft, so that one column of the result is one token.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastllm.config import Settings
from fastllm.drafters.base import Drafter
from fastllm.targets.base import TargetSession


@dataclass(frozen=True)
class Along:
    """One drafter along the text.

    Attributes:
        drafter: its name.
        betas: per token, sum over the vocabulary of min(p, q), the chance that its draft is accepted there
            (Leviathan et al. 2023, Definition 3.1); 0 or 1 in greedy decoding, 0 where it drafts nothing.
        guesses: per token, the text of what it drafted there; "" for nothing.
        seconds_token: seconds per draft token, the opening of the article included.
    """

    drafter: str
    betas: tuple[float, ...]
    guesses: tuple[str, ...]
    seconds_token: float

    @property
    def mean_beta(self) -> float:
        """Mean over all tokens of the text, those that a run would not test included."""
        return sum(self.betas) / len(self.betas)


@torch.inference_mode()
def along(session: TargetSession, drafter: Drafter, settings: Settings, tokens: Sequence[int]) -> Along:
    """Ask `drafter` for one token after every beginning of `tokens`, the target's own text.

    Raises:
        ValueError: an empty text.
    """
    if not tokens:
        raise ValueError("The target said nothing about this article, so there is no text to draft along.")
    sampler = session.target.sampler(settings)
    text = list(tokens[:-1])
    p = sampler.distribution(session.score([], text), [], text)
    betas, guesses = [], []
    started = time.perf_counter()
    drafting = drafter.open(session.source, sampler)
    drafts = [drafting.propose(text[:i], 1) for i in range(len(tokens))]
    seconds = time.perf_counter() - started
    for row, draft in zip(p, drafts, strict=True):
        if not draft.ids:
            betas.append(0.0)
            guesses.append("")
            continue
        # One-hot q at x: the sum of min(p, q) is p(x).
        betas.append(float(row[draft.ids[0]] if draft.q is None else torch.minimum(row, draft.q[0]).sum()))
        guesses.append(session.target.piece(draft.ids[0]))
    return Along(drafter.name, tuple(betas), tuple(guesses), seconds / len(tokens))
