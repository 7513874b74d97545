"""The LSTM drafter: one LSTM cell step per draft token (Hochreiter & Schmidhuber 1997), with copying.

The state begins from the article's mean key and reads summary tokens only, so all of a teacher-forced text runs through
torch's fused LSTM at once; attention enters after it, as in Luong et al. 2015 without input feeding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastllm.drafters.copying import CopyConfig, CopyModel, Memory, mean_key
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
        """By the cell: torch's fused LSTM takes five times as long over a single token."""
        layers, (h, c), x = self.config.layers, hidden, self.embedding(tokens)
        new = []
        for n, before in enumerate(zip(h.chunk(layers, -1), c.chunk(layers, -1), strict=True)):
            weights = (getattr(self.lstm, f"{name}_l{n}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            new.append(torch.lstm_cell(x, before, *weights))
            x = new[-1][0]
        return tuple(torch.cat(side, -1) for side in zip(*new, strict=True)), x

    def unroll(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        layers = self.config.layers
        h, c = (torch.stack(x.chunk(layers, -1)) for x in hidden)
        return self.lstm(self.embedding(tokens), (h, c))[0]


class LstmDrafter(CopyDrafter):
    """An LSTM that sees the article; ``lstm-baseline`` or ``lstm-distilled``."""

    family = "lstm"
    title = "LSTM"
    model_class = LstmModel
