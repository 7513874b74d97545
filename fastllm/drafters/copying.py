"""What the LSTM and the CNN drafter share: a cheap reading of the article, and a way to copy from it.

The next-token distribution is that of a pointer-generator (See et al. 2017, equations 1 to 9),

    q(w) = g softmax(E b)_w + (1 - g) sum over article positions j with token w of a_j,

where s is the summary side's state, k_j the article's keys, a = softmax_j(k_j . W s / sqrt(d) + bias[m_j]) and
b = W [s; sum_j a_j k_j]. Beside what they learn of content, positions are scored by m_j, how many of the last summary
tokens stand in the article just before j: an exact-match feature (Chen et al. 2017, DrQA, section 3.2), by which a
model of a few layers can go on copying what it has begun to copy. No gate, key or match looks at a later summary token.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastllm.drafters.rows import Columns, rows_of, sizes

PAST_END = -1  # no token has this id, so nothing matches it
SMALLEST = 1e-30


@dataclass(frozen=True)
class CopyConfig:
    """Sizes of a copying drafter.

    Attributes:
        vocab_size: columns of the distribution, the target's.
        d_model: width of embeddings, keys and of the layer before the vocabulary.
        d_state: width of the summary side's state.
        layers, kernel: of the summary side; an LSTM has no kernel.
        article_kernel: article tokens that one key sees, odd.
        max_match: longest match that is told apart; 0 takes the match feature away.
        own, shared: rows of the embedding for the most frequent tokens and for all others together
            (:mod:`fastllm.drafters.rows`); own = 0 gives every token its own.
    """

    vocab_size: int
    d_model: int = 128
    d_state: int = 256
    layers: int = 1
    kernel: int = 1
    article_kernel: int = 7
    max_match: int = 6
    own: int = 0
    shared: int = 0

    @property
    def rows(self) -> int:
        """Of the embedding."""
        return self.own + self.shared if self.own else self.vocab_size

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.d_model, self.d_state, self.layers, self.kernel) < 1 or self.max_match < 0:
            raise ValueError("a size of the drafter is not positive")
        if self.article_kernel % 2 == 0 or self.d_model % 2:
            raise ValueError("article_kernel must be odd and d_model even")
        if self.own and not (self.own > 0 and self.shared > 0 and self.rows <= self.vocab_size):
            raise ValueError("own and shared rows must be positive and together at most the vocabulary")


class Memory(NamedTuple):
    """An article as the drafter reads it, once: ids (B, L) with PAST_END where padded, keys (B, L, d_model)."""

    ids: Tensor
    keys: Tensor

    @property
    def padding(self) -> Tensor:
        """Shape (B, L), True where there is no token."""
        return self.ids == PAST_END


class State(NamedTuple):
    """The summary side after some tokens.

    Attributes:
        hidden: what the next step needs; tensors of shape (B, ...).
        top: shape (B, d_state), what the head reads.
        match: int64, shape (B, L), m_j for every article position j.
    """

    hidden: tuple[Tensor, ...]
    top: Tensor
    match: Tensor


@lru_cache(maxsize=8)
def _sinusoids(length: int, width: int) -> np.ndarray:
    angle = np.arange(length)[:, None] * np.exp(np.arange(0, width, 2) * (-math.log(1e4) / width))
    return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)


def positions(length: int, width: int) -> Tensor:
    """Sinusoids (Vaswani et al. 2017, section 3.5), shape (length, width), width even. Not to be written to."""
    # Kept as NumPy: a tensor made in inference mode could not be trained through later.
    return torch.from_numpy(_sinusoids(-(-length // 512) * 512, width)[:length])


def next_match(match: Tensor, article: Tensor, tokens: Tensor, longest: int) -> Tensor:
    """m_j after one more summary token: m'_j = m_{j-1} + 1 where the article has that token at j - 1, else 0.

    Args:
        match, article: int64, shape (B, L).
        tokens: int64, shape (B,).
        longest: m is cut there.
    """
    follows = (article[:, :-1] == tokens[:, None]) & (article[:, 1:] != PAST_END)
    grown = torch.where(follows, match[:, :-1] + 1, 0).clamp_(max=longest)
    return F.pad(grown, (1, 0))


class CopyModel(nn.Module):
    """Base of the two: article side, match feature and head. A subclass gives the summary side."""

    def __init__(self, config: CopyConfig) -> None:
        super().__init__()
        d, longest = config.d_model, config.max_match
        self.config = config
        self.embedding = nn.Embedding(config.rows, d)
        whole = range(config.vocab_size)
        self.register_buffer("rows", rows_of(whole, len(whole), config.own, config.shared) if config.own else None)
        self.rows: Tensor | None
        nn.init.normal_(self.embedding.weight, std=d**-0.5)
        self.article = nn.Conv1d(d, d, config.article_kernel, padding=config.article_kernel // 2)
        self.article_out = nn.Linear(2 * d, d)
        self.position = nn.Linear(d, d, bias=False)
        self.query = nn.Linear(config.d_state, d)
        self.bottleneck = nn.Linear(config.d_state + d, d)
        self.bias = nn.Parameter(torch.zeros(config.rows))
        self.gate = nn.Linear(config.d_state + d, 1)
        # A copier from the first step on: what has been copied for long is copied further. Training adjusts it.
        self.match_score = nn.Parameter(2.0 * torch.arange(longest + 1))
        self.match_gate = nn.Parameter(-1.0 * torch.arange(longest + 1))

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings of token ids, shape (..., d_model)."""
        return self.embedding(tokens if self.rows is None else self.rows[tokens].long())

    @abstractmethod
    def first(self, memory: Memory) -> tuple[Tensor, ...]:
        """State before the first token: tensors whose first axis is the batch, (B, ...), as the class says."""

    @abstractmethod
    def advance(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """One token more, tokens of shape (B,): the new state and top (B, d_state)."""

    @abstractmethod
    def unroll(self, hidden: tuple[Tensor, ...], tokens: Tensor) -> Tensor:
        """All tops at once, tokens (B, T) to (B, T, d_state); row t is what `advance` gives after t + 1 tokens."""

    def read(self, article: Tensor) -> Memory:
        """Encode articles.

        Args:
            article: int64 ids, shape (B, L), PAST_END where padded.
        """
        pad = article == PAST_END
        embedded = self.embed(article.masked_fill(pad, 0)).masked_fill(pad[..., None], 0.0)
        # The convolution as a matrix product over windows: oneDNN's compiles a kernel for every new length, 5 ms.
        reach = self.config.article_kernel // 2
        windows = F.pad(embedded, (0, 0, reach, reach)).unfold(1, self.config.article_kernel, 1).flatten(2)
        near = torch.tanh(F.linear(windows, self.article.weight.flatten(1), self.article.bias))
        where = self.position(positions(article.shape[1], self.config.d_model).to(embedded))
        return Memory(article, self.article_out(torch.cat([embedded, near], -1)) + where)

    def start(self, memory: Memory) -> State:
        """Before any token, decoder start included."""
        hidden = self.first(memory)
        top = memory.keys.new_zeros(len(memory.ids), self.config.d_state)
        return State(hidden, top, torch.zeros_like(memory.ids))

    def step(self, memory: Memory, state: State, tokens: Tensor) -> State:
        """The state after one more token, tokens int64 (B,); `state` is left as it is."""
        hidden, top = self.advance(state.hidden, tokens)
        match = state.match
        if self.config.max_match:
            match = next_match(match, memory.ids, tokens, self.config.max_match)
        return State(hidden, top, match)

    def head(self, memory: Memory, top: Tensor, match: Tensor, columns: Columns | None = None) -> Tensor:
        """ln q of the next token.

        Args:
            top: shape (B, T, d_state).
            match: int64, shape (B, T, L).
            columns: where rows are shared, over what q is added up; every token by itself if not given.

        Returns:
            shape (B, T, columns or vocabulary), float32, normalised.
        """
        keys = memory.keys
        scores = self.query(top) @ keys.transpose(1, 2) * self.config.d_model**-0.5 + self.match_score[match]
        attention = scores.masked_fill(memory.padding[:, None], -torch.inf).softmax(-1)
        seen = torch.cat([top, attention @ keys], -1)
        gate = self.gate(seen) + self.match_gate[match.amax(-1, keepdim=True)]
        spoken = F.linear(self.bottleneck(seen), self.embedding.weight, self.bias).float().softmax(-1)
        ids = memory.ids.clamp(min=0)
        if self.rows is not None:
            columns = columns or Columns.every(self.rows)
            share = columns.size / sizes(self.rows, self.config.rows)[columns.row]
            spoken, ids = spoken.index_select(-1, columns.row) * share, columns.cell[ids]
        mixed = spoken * gate.float().sigmoid()
        ids = ids[:, None].expand(-1, mixed.shape[1], -1)
        return mixed.scatter_add(2, ids, (attention * (-gate).sigmoid()).float()).clamp_min(SMALLEST).log()

    def log_probs(self, memory: Memory, state: State) -> Tensor:
        """ln q after `state`, shape (B, vocabulary)."""
        return self.head(memory, state.top[:, None], state.match[:, None])[:, 0]

    def forward(self, article: Tensor, tokens: Tensor, columns: Columns | None = None) -> Tensor:
        """ln q at every position, as teacher forcing needs it.

        Args:
            article: int64, shape (B, L), PAST_END where padded.
            tokens: int64, shape (B, T): decoder start, then the summary without its last token.
            columns: as for :meth:`head`.

        Returns:
            shape (B, T, columns or vocabulary): row t is the distribution after tokens[:, : t + 1].
        """
        memory = self.read(article)
        state = self.start(memory)
        match, matches = state.match, []
        for t in range(tokens.shape[1]):
            if self.config.max_match:
                match = next_match(match, article, tokens[:, t], self.config.max_match)
            matches.append(match)
        return self.head(memory, self.unroll(state.hidden, tokens), torch.stack(matches, 1), columns)


def mean_key(memory: Memory) -> Tensor:
    """Mean of an article's keys over its tokens, shape (B, d_model)."""
    seen = (~memory.padding)[..., None].to(memory.keys)
    return (memory.keys * seen).sum(1) / seen.sum(1).clamp(min=1)
