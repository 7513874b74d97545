"""One draft token at a time, in microseconds: what a :class:`CopyModel` computes for one article, in NumPy.

A draft token should cost a twentieth of a target call. The model's own `step` and `log_probs` cost a seventh: thirty
calls of torch, and weights that the target's call has driven out of the caches, most of them the vocabulary's. So here

- what depends on a single token (its embedding through a first layer) is a row of a table, made once per drafter;
- the vocabulary is a shortlist: its most frequent tokens and the article's (fastllm/drafters/shortlist.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fastllm.drafters.copying import SMALLEST, CopyModel, positions
from fastllm.drafters.rows import sizes
from fastllm.drafters.shortlist import SHORTLIST

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    """By tanh, which cannot overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


class Cell(ABC):
    """The summary side of a copying model, for one sequence."""

    @abstractmethod
    def first(self, mean_key: Array) -> tuple[Array, ...]:
        """State before the first token; mean_key of shape (d_model,)."""

    @abstractmethod
    def advance(self, hidden: tuple[Array, ...], token: int) -> tuple[tuple[Array, ...], Array]:
        """One token more, by its row of the embedding: the new state and top (d_state,); `hidden` is left as it is."""


@dataclass(frozen=True)
class Reading:
    """An article of L tokens, read once.

    Attributes:
        ids: int64, shape (L,).
        keys: shape (L, d_model).
        shortlist: int64, shape (S,), ascending: the tokens that q can give.
        at: int64, shape (L,): where in the shortlist each article token is.
        rows, bias: the head's weights for the shortlist, shapes (S, d_model) and (S,).
        after: of each token, where the article goes on after it, ascending.
    """

    ids: Array
    keys: Array
    shortlist: Array
    at: Array
    rows: Array
    bias: Array
    after: Mapping[int, Array]


@dataclass(frozen=True)
class EngineState:
    """The summary side after some tokens: as :class:`fastllm.drafters.copying.State`, without the batch."""

    hidden: tuple[Array, ...]
    top: Array
    match: Array


class CopyEngine:
    """A model's weights laid out for one token at a time; shared by all sessions of a drafter."""

    @torch.inference_mode()
    def __init__(self, model: CopyModel, cell: Cell) -> None:
        config = model.config
        self._cell, self.vocab_size, self._longest = cell, config.vocab_size, config.max_match
        self._d, self._d_state = config.d_model, config.d_state
        self._embedding, self._bias = numpy(model.embedding.weight), numpy(model.bias)
        # Row of each token and, of the most frequent, the token of each row.
        self._rows = np.arange(self.vocab_size) if model.rows is None else model.rows.long().cpu().numpy()
        # A unigram tokenizer's first ids are the frequent ones; where rows are shared (rows.py), the first rows are.
        own = config.own or self.vocab_size
        self._frequent = np.argsort(self._rows, kind="stable")[:own]
        if model.rows is not None:
            self._bias = self._bias - numpy(sizes(model.rows, config.rows).log())
        # Article side: a token's own part of its key, then what each place of the convolution's window makes of it.
        # Columns of a row: (1 + article_kernel) d_model.
        itself, self._near = (
            numpy(model.article_out.weight[:, : self._d]),
            numpy(model.article_out.weight[:, self._d :]),
        )
        taps = [itself, *numpy(model.article.weight).transpose(2, 0, 1)]
        self._tokens = self._embedding @ np.concatenate(taps).T
        self._tokens[:, : self._d] += numpy(model.article_out.bias)
        bias: Any = model.article.bias  # a convolution with one
        self._near_bias, self._position = numpy(bias), numpy(model.position.weight)
        self._places = np.empty((0, self._d), np.float32)
        scale = self._d**-0.5
        self._query, self._query_bias = numpy(model.query.weight) * scale, numpy(model.query.bias) * scale
        # The gate reads what the bottleneck reads: one matrix for both, the gate last.
        self._narrow = np.concatenate([numpy(model.bottleneck.weight), numpy(model.gate.weight)])
        self._narrow_bias = np.concatenate([numpy(model.bottleneck.bias), numpy(model.gate.bias)])
        self._match_score, self._match_gate = numpy(model.match_score), numpy(model.match_gate)

    def read(self, article: Sequence[int], shortlist: int = SHORTLIST) -> tuple[Reading, EngineState]:
        """An article's token ids as they are drafted from, and the state before any summary token.

        Args:
            shortlist: how many of the most frequent tokens q can give beside the article's.
        """
        ids = np.array(article)
        keys = self._keys(ids)
        listed = np.zeros(self.vocab_size, bool)
        listed[self._frequent[:shortlist]] = True
        listed[ids] = True
        allowed = listed.nonzero()[0]
        at = np.searchsorted(allowed, ids)
        own = self._rows[allowed]
        rows, bias = np.take(self._embedding, own, 0), self._bias[own]
        reading = Reading(ids, keys, allowed, at, rows, bias, _after(ids))
        top = np.zeros(self._d_state, np.float32)
        return reading, EngineState(self._cell.first(keys.mean(0)), top, np.zeros(len(ids), np.int64))

    def _keys(self, ids: Array) -> Array:
        """As :meth:`CopyModel.read`, shape (L, d_model)."""
        d, length = self._d, len(ids)
        # Sessions share the engine: another may replace its places by fewer while this one reads.
        places = self._places
        if length > len(places):
            # Rounded up, so that longer articles seldom make it anew.
            places = self._places = positions(-(-length // 512) * 512, d).numpy() @ self._position.T
        rows = np.take(self._tokens, self._rows[ids], 0)
        near = np.tile(self._near_bias, (length, 1))
        reach = (rows.shape[1] // d - 1) // 2
        for tap in range(2 * reach + 1):
            # near_j += W_tap e_{j + offset}, for the `n` places j where there is such a token.
            offset = tap - reach
            n, here, there = max(0, length - abs(offset)), max(0, -offset), max(0, offset)
            near[here : here + n] += rows[there : there + n, (1 + tap) * d : (2 + tap) * d]
        keys = np.tanh(near, out=near) @ self._near.T
        keys += rows[:, :d]
        keys += places[:length]
        return keys

    def step(self, reading: Reading, state: EngineState, token: int) -> EngineState:
        """The state after one more token."""
        hidden, top = self._cell.advance(state.hidden, int(self._rows[token]))
        match = np.zeros_like(state.match)
        if self._longest and (after := reading.after.get(token)) is not None:
            match[after] = np.minimum(state.match[after - 1] + 1, self._longest)
        return EngineState(hidden, top, match)

    def log_probs(self, reading: Reading, state: EngineState) -> Array:
        """ln q of the next token, float32, shape (V,): -inf off the shortlist."""
        out = np.full(self.vocab_size, -np.inf, np.float32)
        out[reading.shortlist] = self.listed_log_probs(reading, state)
        return out

    def listed_log_probs(self, reading: Reading, state: EngineState) -> Array:
        """ln q of the next token, float32, shape (S,): of the shortlist's tokens, in its order."""
        scores = reading.keys @ (self._query @ state.top + self._query_bias)
        scores += self._match_score.take(state.match)
        attention = softmax(scores)
        narrow = self._narrow @ np.concatenate([state.top, attention @ reading.keys]) + self._narrow_bias
        gate = float(sigmoid(narrow[-1] + self._match_gate[state.match.max()]))
        logits = reading.rows @ narrow[:-1]
        logits += reading.bias
        q = softmax(logits)
        q *= gate
        attention *= 1 - gate
        q += np.bincount(reading.at, attention, len(q))
        return np.log(np.maximum(q, SMALLEST, out=q), out=q)


def _after(ids: Array) -> dict[int, Array]:
    """Of each token but the last, the places behind its occurrences."""
    found: dict[int, list[int]] = {}
    for place, token in enumerate(ids[:-1].tolist(), 1):
        found.setdefault(token, []).append(place)
    return {token: np.array(places) for token, places in found.items()}


def softmax(x: Array) -> Array:
    """Of one row, written over `x`."""
    x -= x.max()
    np.exp(x, out=x)
    x /= x.sum()
    return x


def numpy(weights: torch.Tensor) -> Array:
    """`weights`, of any shape, as float32 NumPy on the CPU: the same memory where they are that already."""
    return weights.detach().float().cpu().numpy()
