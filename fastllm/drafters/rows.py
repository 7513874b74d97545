"""Fewer embeddings than tokens: frequent pieces have a row each, the others share some.

A vocabulary of 49,152 at width 128 is 12.6 MB in float16, three quarters of it for pieces that a summary seldom holds
and that are nearly always copied when it does. Of R = own + shared rows the first `own` belong to the most frequent
tokens, in order of frequency; every other token w reads row own + w mod shared. As an output a shared row is a class
(Goodman 2001, with equal chances within): q(w) = q(row of w) / tokens of that row, so that q is a distribution over
all V tokens whatever the rows are.

Losses need not see V columns: :class:`Columns` are a partition of the vocabulary, over which p and q are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def rows_of(order: Sequence[int], vocab_size: int, own: int, shared: int) -> Tensor:
    """The row of each token, int32, shape (V,).

    Args:
        order: all token ids, the most frequent first.
    """
    rows = own + torch.arange(vocab_size, dtype=torch.int32) % shared
    rows[torch.as_tensor(order[:own])] = torch.arange(own, dtype=torch.int32)
    return rows


def sizes(rows: Tensor, count: int) -> Tensor:
    """How many tokens read each of `count` rows, float32, shape (count,); at least 1, so that it can divide."""
    return torch.bincount(rows.long(), minlength=count).clamp(min=1).float()


class Columns(NamedTuple):
    """A partition of V tokens into C columns, each within one row.

    Attributes:
        cell: int64, shape (V,): the column of each token.
        row: int64, shape (C,): the row that a column's tokens read.
        size: float32, shape (C,): how many tokens it has, maybe none.
    """

    cell: Tensor
    row: Tensor
    size: Tensor

    @classmethod
    def every(cls, rows: Tensor) -> Columns:
        """Each token its own column: C = V. `rows`: (V,), the row of each token."""
        return cls(torch.arange(len(rows), device=rows.device), rows.long(), torch.ones_like(rows, dtype=torch.float32))

    @classmethod
    def few(cls, rows: Tensor, own: int, count: int, tokens: Tensor) -> Columns:
        """One column for each of `count` rows, and one for each of `tokens` whose row is shared, out of its row's.

        Divergences over it are at most those over all tokens (data processing), and differ only by what falls on
        tokens with shared rows that are not among `tokens`.
        """
        apart = tokens.unique()
        apart = apart[rows[apart] >= own]
        cell = rows.long().clone()
        row = torch.cat([torch.arange(count, device=rows.device), cell[apart]])
        cell[apart] = count + torch.arange(len(apart), device=rows.device)
        return cls(cell, row, torch.bincount(cell, minlength=len(row)).float())

    def gathered(self, log_p: Tensor) -> Tensor:
        """ln of a distribution over tokens, (..., V), as one over columns, (..., C); an empty one has ln 1e-30."""
        out = log_p.new_zeros(*log_p.shape[:-1], len(self.row))
        return out.index_add_(-1, self.cell, log_p.exp()).clamp_min(1e-30).log()
