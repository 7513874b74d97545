"""What a drafter is trained by. Every function takes rows of natural-log probabilities and returns a loss per row.

Notation: p is the target, q the drafter; ``log_p`` and ``log_q`` have shape (n, V), each row normalised; results have
shape (n,), in nats unless said otherwise. All but cross-entropy are f-divergences (Csiszar 1967; for distillation Wen
et al. 2023, "f-Divergence Minimization for Sequence-Level Knowledge Distillation", section 3),

    D_f(p || q) = sum_w q(w) f(p(w) / q(w)),   f convex, f(1) = 0,

written in their stable forms here; :data:`GENERATORS` has the f of each, and a test holds the two ways equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TINY = 1e-30


def cross_entropy(log_q: Tensor, tokens: Tensor) -> Tensor:
    """-ln q(token), tokens int64 (n,): the reference text's (baseline) or the target's (sequence-level KD, Kim & Rush
    2016, section 3.2; ImitKD, Lin et al. 2020, equation 5, where they are the target's answers to the drafter's text).
    """
    return -log_q.gather(1, tokens[:, None])[:, 0]


def forward_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(p || q) = sum p ln(p / q), word-level KD (Hinton et al. 2015; Kim & Rush 2016, section 3.1)."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def reverse_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) = sum q ln(q / p) (Gu et al. 2023, MiniLLM, equation 2, without its policy gradient)."""
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def jensen_shannon(log_q: Tensor, log_p: Tensor, beta: float = 0.5) -> Tensor:
    """Generalised JSD (Agarwal et al. 2023, GKD, equation 1): beta KL(p || m) + (1 - beta) KL(q || m),
    m = beta p + (1 - beta) q; at most ln 2 for beta = 1/2.
    """
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log(1 - beta))
    return beta * forward_kl(log_m, log_p) + (1 - beta) * forward_kl(log_m, log_q)


def total_variation(log_q: Tensor, log_p: Tensor) -> Tensor:
    """1/2 sum |p - q| = 1 - sum min(p, q): the chance of a rejection itself (Leviathan et al. 2023, Corollary 3.6;
    as a loss: Zhou et al. 2023, DistillSpec, section 4). Without unit.
    """
    return (log_p.exp() - log_q.exp()).abs().sum(-1) / 2


DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": forward_kl,
    "rkl": reverse_kl,
    "js": jensen_shannon,
    "tvd": total_variation,
}

# f(t), t = p / q > 0.
GENERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "kl": lambda t: t * t.log(),
    "rkl": lambda t: -t.log(),
    "js": lambda t: (t * t.log() - (1 + t) * ((1 + t) / 2).log()) / 2,
    "tvd": lambda t: (t - 1).abs() / 2,
}


def f_divergence(log_q: Tensor, log_p: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """D_f(p || q) by its definition, for the test; every p and q must be above 0. `f` takes and gives (n, V)."""
    return (log_q.exp() * f((log_p - log_q).exp())).sum(-1)


def tempered(log_x: Tensor, temperature: float) -> Tensor:
    """ln of x^(1/T), normalised: what a softmax at temperature T makes of the logits ln x; shape as given."""
    return log_x if temperature == 1 else (log_x / temperature).log_softmax(-1)


def divergence(name: str, log_q: Tensor, log_p: Tensor, temperature: float = 1.0) -> Tensor:
    """The divergence of that name between p and q at a temperature, times T squared.

    Gradients of softened distributions shrink as 1 / T^2; the factor keeps them comparable (Hinton et al. 2015,
    section 2).

    Raises:
        KeyError: no such divergence.
    """
    return DIVERGENCES[name](tempered(log_q, temperature), tempered(log_p, temperature)) * temperature**2
