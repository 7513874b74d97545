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
    """One window per layer. State: the article's part of the input, then each layer's last kernel - 1 inputs."""

    @torch.inference_mode()
    def __init__(self, model: CnnModel) -> None:
        self._begin, self._begin_bias = numpy(model.begin.weight), numpy(model.begin.bias)
        self._d, self._kernel = model.config.d_state, model.config.kernel
        self._layers = [(numpy(layer.weight), numpy(layer.bias)) for layer in model.convolutions]
        self._table = numpy(model.widen(model.embedding.weight))

    def first(self, mean_key: Array) -> tuple[Array, ...]:
        window = np.zeros((self._kernel - 1) * self._d, np.float32)
        return (self._begin @ mean_key + self._begin_bias, *(window for _ in self._layers))

    def advance(self, hidden: tuple[Array, ...], token: int) -> tuple[tuple[Array, ...], Array]:
        d, (about, *windows) = self._d, hidden
        x = self._table[token] + about
        kept = []
        for (weight, bias), window in zip(self._layers, windows, strict=True):
            seen = np.concatenate([window, x])
            kept.append(seen[d:])
            y = weight @ seen
            y += bias
            x = x + y[:d] * sigmoid(y[d:])
        return (about, *kept), x


class CnnDrafter(CopyDrafter):
    """A causal CNN that sees the article; ``cnn-baseline`` or ``cnn-distilled``."""

    family = "cnn"
    title = "CNN"
    model_class = CnnModel
    cell_class = CnnCell
