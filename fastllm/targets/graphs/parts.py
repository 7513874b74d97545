"""What the graphs share: products with a constant right side, RMS norms, attention."""

from __future__ import annotations

import torch
from torch import nn

# Added to a score that may not be looked at: exp gives exactly 0 of it.
HIDDEN = -1e9


class Product(nn.Module):
    """x W^T + b, (n, in) to (n, out), the matrix kept as (in, out): ONNX Runtime packs a constant right side once."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().T.contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach().float().clone(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class Norm(nn.Module):
    """Root-mean-square norm over the last axis (Zhang & Sennrich 2019, equation 4), without a mean; shape as given."""

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().clone(), requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.epsilon))


def attend(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """softmax(q k + bias) v.

    Numerator and denominator come out of one product with the values and a column of ones: a softmax that adds up in
    lanes would give a row other digits when hidden columns follow.

    Args:
        q: (h, n, d); keys: (h, d, T); values: (h, T, d); bias: broadcastable to (h, n, T).
    """
    scores = q @ keys
    if bias is not None:
        scores = scores + bias
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    both = weights @ torch.cat([values, torch.ones_like(values[:, :, :1])], -1)
    return both[:, :, :-1] / both[:, :, -1:]
