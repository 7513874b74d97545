"""From logits to the distribution that is sampled from: p and q both go through here before the acceptance rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from fastllm.config import Sampling


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
    scaled = logits.float() if settings.temperature == 1 else logits.float() / settings.temperature
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


def draw(probs: torch.Tensor, u: float) -> int:
    """The token that inverse-transform sampling picks: the first whose cumulative probability exceeds u * total.

    Args:
        probs: shape (vocabulary,), not negative, not all zero; need not sum to 1.
        u: uniform in [0, 1).
    """
    # float64: in float32 the sum over 32 thousand tokens is too coarse for rare ones. Torch adds up in a third of
    # NumPy's time, NumPy looks up in a fifth of torch's.
    weights = probs.numpy()
    cumulative = probs.cumsum(0, dtype=torch.float64).numpy()
    index = int(cumulative.searchsorted(u * cumulative[-1], side="right"))
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
        eos_id, start_id: end-of-text token and decoder start token.
    """

    def __init__(self, settings: Sampling, vocab_size: int, eos_id: int, start_id: int, seed: int = 0) -> None:
        self.settings = settings
        self.vocab_size = vocab_size
        self.eos_id = eos_id
        self.start_id = start_id
        self._generator = torch.Generator().manual_seed(seed)
        self._blocker = RepeatBlocker(settings.no_repeat_ngram_size, start_id)

    def uniform(self, n: int) -> list[float]:
        """`n` uniform draws in [0, 1), in float64."""
        return torch.rand(n, generator=self._generator, dtype=torch.float64).tolist()

    def blocked(self, prefix: Sequence[int]) -> list[int]:
        """Tokens that may not follow `prefix` because they would repeat an n-gram."""
        return self._blocker.blocked(prefix) if self.settings.no_repeat_ngram_size else []

    def masked(self, logits: torch.Tensor, prefix: Sequence[int], draft: Sequence[int] = ()) -> torch.Tensor:
        """Logits with every forbidden token at -inf, each row by its own prefix; the input is left as it is.

        Args:
            logits: shape (k + 1, vocabulary): row i follows `prefix` + `draft[:i]`.

        Returns:
            same shape.
        """
        out = logits.clone()
        if self.vocab_size < out.shape[1]:
            out[:, self.vocab_size :] = -torch.inf
        if self.settings.no_repeat_ngram_size:
            text = list(prefix)
            for i in range(len(out)):
                if i:
                    text.append(draft[i - 1])
                if blocked := self._blocker.blocked(text):
                    out[i, blocked] = -torch.inf
        return out

    def distribution(self, logits: torch.Tensor, prefix: Sequence[int], draft: Sequence[int] = ()) -> torch.Tensor:
        """:func:`distribution` of :meth:`masked`; shapes as there."""
        return distribution(self.masked(logits, prefix, draft), self.settings)

    def choose(self, logits: torch.Tensor, prefix: Sequence[int]) -> tuple[int, torch.Tensor | None]:
        """A drafter's next token after `prefix` and the q it was drawn from, shape (vocabulary,); None when greedy."""
        if self.vocab_size < len(logits) or self.blocked(prefix):
            logits = self.masked(logits[None], prefix)[0]
        if self.settings.greedy:
            return int(logits.numpy().argmax()), None  # a fifth of torch's time
        q = distribution(logits, self.settings)
        return draw(q, self.uniform(1)[0]), q
