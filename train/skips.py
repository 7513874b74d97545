"""What leaving out a set of sublayers is worth: agreement with the target's own texts, and a draft token's cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fastllm.analysis.metrics import predicted_speedup
from fastllm.config import MAX_GAMMA, Sampling, Settings
from fastllm.targets.base import Decoder, Engine, Target
from fastllm.targets.sublayers import Family, Sublayer
from fastllm.targets.torch_engine import TorchEngine
from train.summaries import summarise

# Of the wide call that is timed beside the plain one: a draft of eight and the token before it.
_ROWS = 9


@dataclass(frozen=True)
class Text:
    """An article that the target has read and summarised: what reading left, and its greedy text."""

    prompt_ids: tuple[int, ...]
    read: Any
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Costs:
    """Of one draft token beside a target call: with nothing left out, what each sublayer of a kind saves, and what
    the token then adds to the target's own call, whose rows are not free."""

    whole: float
    saved: Mapping[str, float]
    row: float = 0.0

    def of(self, skip: Iterable[Sublayer]) -> float:
        """The cost coefficient c; Theorem 3.8 takes ``row`` besides it."""
        return max(0.0, self.whole - sum(self.saved[kind] for _, kind in skip))


def read_texts(target: Target, articles: Sequence[str], limit: int) -> list[Text]:
    """The articles as the torch model reads them, with the target's greedy texts of at most `limit` tokens."""
    engine, found = torch_engine(target), []
    for article in articles:
        ids = target.read(article).ids
        text = summarise(target, article, 0.0, limit)
        decoder = engine.open(ids)
        found.append(Text(ids, decoder.read(), tuple(text)))
    return found


def torch_engine(target: Target) -> TorchEngine:
    """The target's torch model: leaving out costs it no new graph."""
    start = target.start_id if target.checkpoint.seq2seq else None
    return TorchEngine(target.model, start)


def agreement(target: Target, engine: Engine, texts: Sequence[Text]) -> float:
    """Share of the texts' tokens that are the engine's own first choice after the tokens before them."""
    right = total = 0
    for text in texts:
        sampler = target.sampler(Settings(sampling=_sampling(target, 0.0)))
        rows = _rows(engine, text)
        right += sum(a == b for a, b in zip(sampler.best(rows, [], text.ids[:-1]), text.ids, strict=True))
        total += len(text.ids)
    return right / total


@torch.inference_mode()
def mean_beta(target: Target, whole: Engine, engine: Engine, texts: Sequence[Text]) -> float:
    """Mean over the same places of the sum of min(p, q) at temperature 1: the chance that a sampled token is kept."""
    betas: list[float] = []
    for text in texts:
        sampler = target.sampler(Settings(sampling=_sampling(target, 1.0)))
        p, q = (
            sampler.distribution(
                e.open(text.prompt_ids, text.read).score(text.ids[:-1], len(text.ids)), [], text.ids[:-1]
            )
            for e in (whole, engine)
        )
        betas += torch.minimum(p, q).sum(-1).tolist()
    return float(np.mean(betas))


def _rows(engine: Engine, text: Text) -> torch.Tensor:
    """Logits at each place of the text, given the target's own tokens before it."""
    return engine.open(text.prompt_ids, text.read).score(text.ids[:-1], len(text.ids))


def _sampling(target: Target, temperature: float) -> Sampling:
    return Sampling(temperature, no_repeat_ngram_size=target.preset.no_repeat_ngram_size)


def best_gamma(alpha: float, c: float) -> tuple[float, int]:
    """The greatest speedup that Theorem 3.8 (Leviathan et al. 2023) promises for any draft length, and that length."""
    return max((predicted_speedup(alpha, gamma, c), -gamma) for gamma in range(1, MAX_GAMMA + 1))


def measure_costs(target: Target, family: Family, article: str, calls: int = 40) -> Costs:
    """Time single-token calls on the target's own engine: whole, and without all that may go of each kind.

    Rounds go over all of them, and each one's fastest tenth counts: whatever else the machine does only adds.
    """
    every, ids = family.all(target.checkpoint.config), target.read(article).ids
    decoder = target.engine.open(ids)
    sets = [frozenset[Sublayer]()]
    for kind in family.kinds:
        found = [s for s in every if s[1] == kind]
        # One self-attention must stay; where a model has one layer, this is none.
        sets.append(frozenset(found[1:] if kind == "self" else found))
    cut = [target.engine.without(family, skip).open(ids, decoder.read()) for skip in sets]
    timed = [_stopwatch(decoder), _stopwatch(decoder, _ROWS), *map(_stopwatch, cut)]
    seconds = np.array([[one() for one in timed] for _ in range(calls)])
    plain, wide, whole, *less = np.quantile(seconds, 0.1, axis=0).tolist()
    saved = {}
    for kind, skip, rest in zip(family.kinds, sets[1:], less, strict=True):
        saved[kind] = max(0.0, whole - rest) / max(1, len(skip)) / plain
    return Costs(whole / plain, saved, max(0.0, wide / plain - 1) / (_ROWS - 1))


def _stopwatch(decoder: Decoder, rows: int = 1) -> Callable[[], float]:
    """Seconds of the next call of `rows` new tokens, after a text of 16 that is cut back to each time."""
    text = [3 + i for i in range(16 + rows)]

    def once() -> float:
        decoder.score(text[:16])
        started = time.perf_counter()
        decoder.score(text, rows)
        return time.perf_counter() - started

    return once
