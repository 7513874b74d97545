"""The LSTM drafter: one LSTM cell step per draft token (Hochreiter & Schmidhuber 1997), with copying.

The state begins from the article's mean key and reads summary tokens only, so all of a teacher-forced text runs through
torch's fused LSTM at once; attention enters after it, as in Luong et al. 2015 without input feeding.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fastllm.drafters.copying import CopyConfig, CopyModel, Memory, mean_key
from fastllm.drafters.engine import Array, Cell, numpy
from fastllm.drafters.neural import CopyDrafter


class LstmModel(CopyModel):
    """Hidden state: (h, c), each of shape (B, d_state); the layers of a deeper LSTM lie side by side in it."""

    def __init__(self, config: CopyConfig) -> None:
        super().__init__(config)
        self.lstm = nn.LSTM(config.d_model, config.d_state, config.layers, batch_first=True)
        self.begin = nn.Linear(config.d_model, 2 * config.layers * config.d_state)

    def first(self, memory: Memory) -> tuple[Tensor, ...]:
        h, c = torch.tanh(self.begin(mean_key(memory))).chunk(2, -1)
        return h, c

    def advance(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        layers, (h, c), x = self.config.layers, hidden, self.embed(tokens)
        new = []
        for n, before in enumerate(zip(h.chunk(layers, -1), c.chunk(layers, -1), strict=True)):
            weights = (getattr(self.lstm, f"{name}_l{n}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            new.append(torch.lstm_cell(x, before, *weights))
            x = new[-1][0]
        return tuple(torch.cat(side, -1) for side in zip(*new, strict=True)), x

    def unroll(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        layers = self.config.layers
        h, c = (torch.stack(x.chunk(layers, -1)) for x in hidden)
        return self.lstm(self.embed(tokens), (h, c))[0]


class LstmCell(Cell):
    """One LSTM step.

    Gates lie in the order input, forget, output, cell (torch: input, forget, cell, output), and the first three have
    half their weights, so that one tanh serves all four: sigmoid(x) = (1 + tanh(x / 2)) / 2.
    """

    @torch.inference_mode()
    def __init__(self, model: LstmModel) -> None:
        lstm, d, layers = model.lstm, model.config.d_state, range(model.config.layers)
        self._begin, self._begin_bias = numpy(model.begin.weight), numpy(model.begin.bias)
        self._d = d
        order = np.r_[0 : 2 * d, 3 * d : 4 * d, 2 * d : 3 * d]
        halves = np.repeat(np.array([0.5, 0.5, 0.5, 1], np.float32), d)

        def laid(weights: torch.Tensor) -> Array:
            """Of 4 d rows, in this order and halved."""
            return (numpy(weights)[order].T * halves).T.copy()

        self._recurrent = [laid(getattr(lstm, f"weight_hh_l{n}")) for n in layers]
        self._input = [laid(getattr(lstm, f"weight_ih_l{n}")) for n in layers]
        self._bias = [laid(getattr(lstm, f"bias_ih_l{n}") + getattr(lstm, f"bias_hh_l{n}")) for n in layers]
        # The first layer's input is an embedding: (rows, 4 d_state), its part of the gates.
        self._table = numpy(model.embedding.weight) @ self._input[0].T + self._bias[0]

    def first(self, mean_key: Array) -> tuple[Array, ...]:
        h, c = np.split(np.tanh(self._begin @ mean_key + self._begin_bias), 2)
        return h, c

    def advance(self, hidden: tuple[Array, ...], token: int) -> tuple[tuple[Array, ...], Array]:
        d, (h, c) = self._d, hidden
        new_h, new_c = np.empty_like(h), np.empty_like(c)
        for n, recurrent in enumerate(self._recurrent):
            own = slice(n * d, (n + 1) * d)
            gates = recurrent @ h[own]
            gates += self._input[n] @ new_h[(n - 1) * d : n * d] + self._bias[n] if n else self._table[token]
            np.tanh(gates, out=gates)
            open_ = gates[: 3 * d]
            open_ += 1
            open_ *= 0.5
            np.multiply(gates[d : 2 * d], c[own], out=new_c[own])
            new_c[own] += gates[:d] * gates[3 * d :]
            np.multiply(gates[2 * d : 3 * d], np.tanh(new_c[own]), out=new_h[own])
        return (new_h, new_c), new_h[-d:]


class LstmDrafter(CopyDrafter):
    """An LSTM that sees the article; ``lstm-baseline`` or ``lstm-distilled``."""

    short = "LSTM"
    phrase = "a small network that reads word by word"
    family = "lstm"
    title = "LSTM"
    model_class = LstmModel
    cell_class = LstmCell
