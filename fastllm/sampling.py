"""From logits to the distribution that is sampled from: p and q both go through here before the acceptance rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from fastllm.config import Sampling
from fastllm.trees import prefixes


def distribution(logits: torch.Tensor, settings: Sampling) -> torch.Tensor:
    """The distribution that is sampled from.

    Temperature first, then top-k, then top-p, each renormalised, in the order of transformers' logits warpers.

    Args:
        logits: shape (..., vocabulary); -inf marks forbidden tokens, at least one entry of each row must be finite.

    Returns:
        shape (..., vocabulary), float32, rows summing to 1; one-hot at the argmax (the first, on a tie) when greedy.
    """
    if settings.greedy:
        best = logits.argmax(-1, keepdim=True)
        return torch.zeros_like(logits, dtype=torch.float32).scatter_(-1, best, 1.0)
    scaled = _scaled(logits, settings.temperature)
    if 0 < settings.top_k < scaled.shape[-1]:
        kth = scaled.topk(settings.top_k, -1).values[..., -1:]
        scaled = scaled.masked_fill(scaled < kth, -torch.inf)
    probs = scaled.softmax(-1)
    if settings.top_p < 1:
        ordered, index = probs.sort(dim=-1, descending=True, stable=True)
        # A token stays while the probability before it has not reached top_p: the first always stays.
        drop = ordered.cumsum(-1) - ordered >= settings.top_p
        probs = probs.scatter(-1, index, ordered.masked_fill(drop, 0.0))
        probs = probs / probs.sum(-1, keepdim=True)
    return probs


# Below it float32 has no reciprocal of a temperature to speak of.
_COLDEST_IN_FLOAT32 = 1e-30


def _scaled(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """(x - max x) / T, which neither overflows nor loses digits however small T is: softmax(x / T) is the same."""
    if temperature == 1:
        return logits.float()
    x = logits.float() if temperature >= _COLDEST_IN_FLOAT32 else logits.double()
    return ((x - x.amax(-1, keepdim=True)) / temperature).float()


def one_hot(ids: Sequence[int], vocabulary: int) -> torch.Tensor:
    """Rows that are sure of `ids`, shape (len(ids), vocabulary), float32."""
    # NumPy's zeros are pages that nobody has written to: they cost nothing until they are read.
    rows = np.zeros((len(ids), vocabulary), np.float32)
    rows[np.arange(len(ids)), ids] = 1.0
    return torch.from_numpy(rows)


def draw(probs: torch.Tensor, u: float, otherwise: torch.Tensor | None = None) -> int:
    """The token that inverse-transform sampling picks: the first whose cumulative probability exceeds u * total.

    Args:
        probs: shape (vocabulary,), not negative, not all zero; need not sum to 1.
        u: uniform in [0, 1).
        otherwise: what is drawn from where `probs` are all zero, of the same shape.
    """
    # float64: in float32 the sum over 32 thousand tokens is too coarse for rare ones. Torch adds up in a third of
    # NumPy's time, NumPy looks up in a fifth of torch's.
    weights = probs.numpy()
    cumulative = probs.cumsum(0, dtype=torch.float64).numpy()
    total = cumulative.item(-1)
    if otherwise is not None and not total:
        return draw(otherwise, u)
    index = int(cumulative.searchsorted(u * total, side="right"))
    if index < len(weights) and weights[index] > 0:
        return index
    # Rounding can land past the last possible token; never emit one of probability zero.
    return int(weights.nonzero()[0][-1])


def common_prefix(a: list[int], b: list[int]) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    return next(i for i in range(n) if a[i] != b[i])


class RepeatBlocker:
    """Which tokens would repeat an n-gram of the text so far (transformers' ``no_repeat_ngram_size``).

    Keeps an index of the text it saw last and moves it to the next text by their common prefix, so asking for
    growing prefixes costs O(1) a token, and no caller says what to forget.
    """

    def __init__(self, n: int, start_id: int) -> None:
        """`start_id` is the decoder's start token: transformers counts it as the first token of the text."""
        self.n = n
        self._text = [start_id]
        self._followers: dict[tuple[int, ...], list[int]] = defaultdict(list)
        self._keys: list[tuple[int, ...] | None] = [None]  # per token of _text: the n-gram start it was filed under
        self._file(0)

    def _file(self, at: int) -> None:
        key = tuple(self._text[at - self.n + 1 : at]) if at >= self.n - 1 else None
        self._keys[at] = key
        if key is not None:
            self._followers[key].append(self._text[at])

    def _move_to(self, prefix: Sequence[int]) -> None:
        common = common_prefix(self._text[1:], list(prefix))
        while len(self._text) - 1 > common:
            key = self._keys.pop()
            self._text.pop()
            if key is not None:
                self._followers[key].pop()
        for token in prefix[common:]:
            self._text.append(token)
            self._keys.append(None)
            self._file(len(self._text) - 1)

    def blocked(self, prefix: Sequence[int]) -> list[int]:
        """Token ids that may not follow `prefix` (summary tokens without the start token)."""
        if self.n <= 0:
            return []
        self._move_to(prefix)
        if len(self._text) + 1 < self.n:
            return []
        return self._followers.get(tuple(self._text[len(self._text) - self.n + 1 :]), [])


class Sampler:
    """One run's sampling: its settings, its generator, its vocabulary. All draws of a run come from here, in order.

    Attributes:
        settings: temperature, top-k, top-p, blocking.
        vocab_size: ids at or above it are columns without a piece (T5 pads its 32,100 pieces to 32,128): forbidden.
        eos_ids: tokens that end the text.
        start_id: what precedes the first token: a T5's decoder start.
        first_id: the only token that may come first, or None.
    """

    def __init__(
        self,
        settings: Sampling,
        vocab_size: int,
        eos_ids: Sequence[int],
        start_id: int,
        seed: int = 0,
        first_id: int | None = None,
    ) -> None:
        self.settings = settings
        self.vocab_size = vocab_size
        self.eos_ids = tuple(eos_ids)
        self.start_id, self.first_id = start_id, first_id
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn: list[float] = []
        self._blocker = RepeatBlocker(settings.no_repeat_ngram_size, start_id)

    def uniform(self, n: int) -> list[float]:
        """`n` uniform draws in [0, 1), in float64."""
        # One call of the generator costs 10 us, whether for 1 or for 64 draws, and gives the same ones.
        while len(self._drawn) < n:
            self._drawn += torch.rand(64, generator=self._generator, dtype=torch.float64).tolist()
        drawn, self._drawn = self._drawn[:n], self._drawn[n:]
        return drawn

    def blocked(self, prefix: Sequence[int]) -> list[int]:
        """Tokens that may not follow `prefix` because they would repeat an n-gram."""
        return self._blocker.blocked(prefix) if self.settings.no_repeat_ngram_size else []

    def masked(
        self,
        logits: torch.Tensor,
        prefix: Sequence[int],
        draft: Sequence[int] = (),
        parents: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Logits with every forbidden token at -inf, each row by its own prefix; the input is left as it is.

        Args:
            logits: shape (k + 1, vocabulary): row i follows `prefix` + `draft[:i]`, or, where the draft is a tree, row
                i + 1 follows `prefix` and the path to node i.
            parents: of a draft that is a tree (fastllm/trees.py).

        Returns:
            same shape.
        """
        out = logits.clone()
        rows = out.numpy()
        rows[:, self.vocab_size :] = -np.inf
        for row, blocked in zip(rows, self._blocked_rows(len(out), prefix, draft, parents), strict=True):
            row[blocked] = -np.inf
        if self.first_id is not None and not prefix:
            rows[0] = -np.inf
            rows[0, self.first_id] = 0.0
        return out

    def _blocked_rows(
        self, n: int, prefix: Sequence[int], draft: Sequence[int], parents: Sequence[int] | None = None
    ) -> list[list[int]]:
        """For each of n = k + 1 rows what may not follow its text, because it would repeat an n-gram."""
        if not self.settings.no_repeat_ngram_size:
            return [[]] * n
        return [list(self._blocker.blocked(text)) for text in prefixes(prefix, draft, parents)]

    def distribution(
        self,
        logits: torch.Tensor,
        prefix: Sequence[int],
        draft: Sequence[int] = (),
        parents: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """:func:`distribution` of :meth:`masked`; shapes as there."""
        if self.settings.greedy:
            return one_hot(self.best(logits, prefix, draft, parents), logits.shape[1])
        if self.first_id is not None and not prefix:
            return distribution(self.masked(logits, prefix, draft, parents), self.settings)
        # A copy of all the logits costs as much as their softmax: forbid for its time only.
        rows = logits.numpy()
        blocked = self._blocked_rows(len(rows), prefix, draft, parents)
        if self.vocab_size >= rows.shape[1] and not any(blocked):
            return distribution(logits, self.settings)
        padding, kept = rows[:, self.vocab_size :].copy(), [r[b] for r, b in zip(rows, blocked, strict=True)]
        try:
            rows[:, self.vocab_size :] = -np.inf
            for row, ids in zip(rows, blocked, strict=True):
                row[ids] = -np.inf
            found = distribution(logits, self.settings)
        finally:
            for row, ids, values in zip(rows, blocked, kept, strict=True):
                row[ids] = values
            rows[:, self.vocab_size :] = padding
        return found

    def best(
        self,
        logits: torch.Tensor,
        prefix: Sequence[int],
        draft: Sequence[int] = (),
        parents: Sequence[int] | None = None,
    ) -> list[int]:
        """The most probable token of each row of :meth:`masked` (the first, on a tie), k + 1 ids."""
        rows = logits.numpy()[:, : self.vocab_size]
        found = [int(row.argmax()) for row in rows]  # row by row: a fifth of torch's time
        for i, blocked in enumerate(self._blocked_rows(len(rows), prefix, draft, parents)):
            if found[i] in blocked:
                row = rows[i].copy()
                row[blocked] = -np.inf
                found[i] = int(row.argmax())
        if self.first_id is not None and not prefix:
            found[0] = self.first_id
        return found

    def choose(self, logits: torch.Tensor, prefix: Sequence[int]) -> tuple[int, torch.Tensor | None]:
        """A drafter's next token after `prefix` and the q it was drawn from, shape (vocabulary,); None when greedy."""
        if self.settings.greedy:
            return self.best(logits[None], prefix)[0], None
        if self.vocab_size < len(logits) or self.blocked(prefix) or (self.first_id is not None and not prefix):
            logits = self.masked(logits[None], prefix)[0]
        q = distribution(logits, self.settings)
        return draw(q, self.uniform(1)[0]), q

    def choose_listed(
        self, logits: torch.Tensor, listed: np.ndarray, prefix: Sequence[int]
    ) -> tuple[int, torch.Tensor | None]:
        """:meth:`choose` where every token off a shortlist has the logit -inf, without looking at those.

        Args:
            logits: shape (S,), of the tokens `listed`.
            listed: int64, shape (S,), ascending ids; what a forced first token needs is not looked for here.

        Returns:
            the token's id, and q of the tokens `listed`, shape (S,); None when greedy.
        """
        if (blocked := self.blocked(prefix)) or listed[-1] >= self.vocab_size:
            logits = logits.clone()
            at = np.searchsorted(listed, blocked)
            at = at[np.take(listed, at, mode="clip") == blocked]
            logits.numpy()[at] = -np.inf
            logits.numpy()[np.searchsorted(listed, self.vocab_size) :] = -np.inf
        if self.settings.greedy:
            return int(listed[logits.numpy().argmax()]), None
        q = distribution(logits, self.settings)
        return int(listed[draw(q, self.uniform(1)[0])]), q
