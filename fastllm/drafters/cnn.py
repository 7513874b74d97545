"""The CNN drafter: a stack of causal gated convolutions over the last summary tokens, with copying.

Each layer is a gated linear unit over a window that ends at the current token (Dauphin et al. 2017, equation 1; the
encoder-decoder form is Gehring et al. 2017), with a residual. A draft token costs one window per layer: the last
kernel - 1 inputs of each layer are its state.
"""

from __future__ import annotations

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
        """The article's mean key is a constant part of every input; the windows begin empty."""
        windows = memory.keys.new_zeros(len(memory.ids), self.config.kernel - 1, self.config.d_state)
        return (self.begin(mean_key(memory)), *(windows for _ in self.convolutions))

    def advance(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        about, *windows = hidden
        x = self.widen(self.embedding(tokens)) + about
        kept = []
        for layer, window in zip(self.convolutions, windows, strict=True):
            seen = torch.cat([window, x[:, None]], 1)
            kept.append(seen[:, 1:])
            x = x + F.glu(layer(seen.flatten(1)), -1)
        return (about, *kept), x

    def unroll(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        about, *windows = hidden
        x = self.widen(self.embedding(tokens)) + about[:, None]
        for layer, window in zip(self.convolutions, windows, strict=True):
            # (B, T, d, kernel) to (B, T, kernel * d): each row is the window that `advance` would see.
            seen = torch.cat([window, x], 1).unfold(1, self.config.kernel, 1).transpose(2, 3).flatten(2)
            x = x + F.glu(layer(seen), -1)
        return x


class CnnCell(Cell):
    """One window per layer.

    State: the article's part of the first layer's taps; the first layer's products of the last kernel - 1 tokens; and
    the last kernel - 1 inputs of each further layer.
    """

    @torch.inference_mode()
    def __init__(self, model: CnnModel) -> None:
        d, kernel = model.config.d_state, model.config.kernel
        self._d, self._kernel = d, kernel
        self._begin, self._begin_bias = numpy(model.begin.weight), numpy(model.begin.bias)
        first, *self._deeper = [(numpy(layer.weight), numpy(layer.bias)) for layer in model.convolutions]
        # (kernel, 2 d, d): one matrix per place in the window. What the first layer makes of a token at each place is a
        # table of shape (V, kernel, 2 d), in half precision: 34 MB with 8,192 tokens.
        self._taps, self._bias = first[0].reshape(2 * d, kernel, d).transpose(1, 0, 2).reshape(-1, d).copy(), first[1]
        self._inputs = numpy(model.widen(model.embedding.weight))
        self._table = (self._inputs @ self._taps.T).astype(np.float16)

    def first(self, mean_key: Array) -> tuple[Array, ...]:
        about = self._begin @ mean_key + self._begin_bias
        products = np.zeros((self._kernel - 1, self._kernel * 2 * self._d), np.float32)
        window = np.zeros((self._kernel - 1) * self._d, np.float32)
        return (about, self._taps @ about, products, *(window for _ in self._deeper))

    def advance(self, hidden: tuple[Array, ...], token: int) -> tuple[tuple[Array, ...], Array]:
        d, (about, tapped, products, *windows) = self._d, hidden
        seen = np.concatenate([products, (self._table[token] + tapped)[None]])
        y = self._bias.copy()
        for place in range(self._kernel):
            y += seen[place, place * 2 * d : (place + 1) * 2 * d]
        x = self._inputs[token] + about
        x += y[:d] * sigmoid(y[d:])
        kept = []
        for (weight, bias), window in zip(self._deeper, windows, strict=True):
            inputs = np.concatenate([window, x])
            kept.append(inputs[d:])
            y = weight @ inputs
            y += bias
            x = x + y[:d] * sigmoid(y[d:])
        return (about, tapped, seen[1:], *kept), x


class CnnDrafter(CopyDrafter):
    """A causal CNN that sees the article; ``cnn-baseline`` or ``cnn-distilled``."""

    family = "cnn"
    title = "CNN"
    model_class = CnnModel
    cell_class = CnnCell
