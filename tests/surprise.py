"""Whether sampled texts could be the target's own, over all their places: surprise minus entropy.

Of a token drawn from p, the mean of -ln p(token) is the entropy of p, whatever the text before it. So over a lossless
run the sum of surprise minus entropy has mean 0, and its variance is the sum of Var(-ln p): a z-score, of any number of
texts of any length, that sees what a test of first tokens cannot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from fastllm.config import Settings
from fastllm.targets.base import TargetSession


@torch.inference_mode()
def z_score(session: TargetSession, settings: Settings, texts: Iterable[tuple[int, ...]]) -> float:
    """Of texts (token ids) after the session's article, under the sampling of `settings`."""
    sampler = session.target.sampler(settings)
    total = variance = 0.0
    for text in texts:
        ids = list(text)
        p = sampler.distribution(session.score([], ids[:-1]), [], ids[:-1])
        surprise = -p.clamp_min(1e-30).log()
        entropy = (p * surprise).sum(-1)
        total += float((surprise[torch.arange(len(ids)), ids] - entropy).sum())
        variance += float(((p * surprise * surprise).sum(-1) - entropy * entropy).sum())
    return total / math.sqrt(variance)
