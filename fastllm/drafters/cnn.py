"""The CNN drafter: a stack of causal gated convolutions over the last summary tokens, with copying.

Each layer is a gated linear unit over a window that ends at the current token (Dauphin et al. 2017, equation 1; the
encoder-decoder form is Gehring et al. 2017), with a residual. A draft token costs one window per layer: the last
kernel - 1 inputs of each layer are its state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastllm.drafters.copying import CopyConfig, CopyModel, Memory, mean_key
from fastllm.drafters.engine import Array, Cell, numpy, sigmoid
from fastllm.drafters.neural import CopyDrafter


class CnnModel(CopyModel):
    """Hidden state: for each layer its last kernel - 1 inputs, (B, kernel - 1, d_state), zeros before the text."""

    def __init__(self, config: CopyConfig) -> None:
        super().__init__(config)
        d = config.d_state
        self.widen = nn.Linear(config.d_model, d)
        self.begin = nn.Linear(config.d_model, d)
        self.convolutions = nn.ModuleList(nn.Linear(config.kernel * d, 2 * d) for _ in range(config.layers))

    def first(self, memory: Memory) -> tuple[Tensor, ...]:
        """The article's mean key, (B, d_state), is a constant part of every input; the windows,
        (B, kernel - 1, d_state), begin empty."""
        windows = memory.keys.new_zeros(len(memory.ids), self.config.kernel - 1, self.config.d_state)
        return (self.begin(mean_key(memory)), *(windows for _ in self.convolutions))

    def advance(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        about, *windows = hidden
        x = self.widen(self.embed(tokens)) + about
        kept = []
        for layer, window in zip(self.convolutions, windows, strict=True):
            seen = torch.cat([window, x[:, None]], 1)
            kept.append(seen[:, 1:])
            x = x + F.glu(layer(seen.flatten(1)), -1)
        return (about, *kept), x

    def unroll(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        about, *windows = hidden
        x = self.widen(self.embed(tokens)) + about[:, None]
        for layer, window in zip(self.convolutions, windows, strict=True):
            # (B, T, d, kernel) to (B, T, kernel * d): each row is the window that `advance` would see.
            seen = torch.cat([window, x], 1).unfold(1, self.config.kernel, 1).transpose(2, 3).flatten(2)
            x = x + F.glu(layer(seen), -1)
        return x


class CnnCell(Cell):
    """One window per layer, as sums that begin when a token comes in and are full kernel - 1 tokens later.

    State: the article's part of x and of the first layer's taps; then for each layer its begun sums, shape
    (kernel - 1, 2 d_state), row i that of the i-th next token.
    """

    @torch.inference_mode()
    def __init__(self, model: CnnModel) -> None:
        d, kernel = model.config.d_state, model.config.kernel
        self._d, self._shape = d, (kernel, 2 * d)
        self._begin, self._begin_bias = numpy(model.begin.weight), numpy(model.begin.bias)
        # (kernel * 2 d, d): what an input gives to the sum of its own token, of the next and so on, which see it at
        # the last place of their windows, the one before it and so on.
        layers: list[Any] = list(model.convolutions)
        first, *self._deeper = [
            numpy(layer.weight).reshape(2 * d, kernel, d).transpose(1, 0, 2)[::-1].reshape(-1, d) for layer in layers
        ]
        self._first, self._bias = first, [numpy(layer.bias) for layer in layers]
        self._inputs = numpy(model.widen(model.embedding.weight))
        # The first layer's input is a token's and the article's: (rows, kernel, 2 d), half precision: 17 MB for mini.
        self._table = (self._inputs @ first.T).astype(np.float16)

    def first(self, mean_key: Array) -> tuple[Array, ...]:
        about = self._begin @ mean_key + self._begin_bias
        sums = np.zeros((self._shape[0] - 1, self._shape[1]), np.float32)
        return (about, self._first @ about, *(sums for _ in self._bias))

    def advance(self, hidden: tuple[Array, ...], token: int) -> tuple[tuple[Array, ...], Array]:
        d, (about, tapped, *begun) = self._d, hidden
        x = self._inputs[token] + about
        given = self._table[token] + tapped
        sums = []
        for n, before in enumerate(begun):
            if n:
                given = self._deeper[n - 1] @ x
            given = given.reshape(self._shape)
            given[:-1] += before
            sums.append(given[1:])
            y = given[0] + self._bias[n]
            x = x + y[:d] * sigmoid(y[d:])
        return (about, tapped, *sums), x


class CnnDrafter(CopyDrafter):
    """A causal CNN that sees the article; ``cnn-baseline`` or ``cnn-distilled``."""

    short = "CNN"
    phrase = "a small network that sees a few words"
    family = "cnn"
    title = "CNN"
    model_class = CnnModel
    cell_class = CnnCell
