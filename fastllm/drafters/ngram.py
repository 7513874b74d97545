"""N-gram drafters: modified Kneser-Ney models (Chen and Goodman 1998) over the target's own tokens, as flat arrays.

KenLM answers "how probable is this word here?"; drafting needs the whole next-token distribution. So the model lies in
a file as successor lists, and a query starts from the unigram vector and overwrites what longer contexts know better.

The file ``ngram-N.safetensors`` (written by ``train/arpa.py``) holds, with V the vocabulary size and row V standing for
KenLM's ``<s>``, the begin of the text:

    unigram         float32 (V,)   log10 P(token), every entry finite
    {n}.context     uint32 (C,)    ascending rows; for n = 2 a row is a token id, for n > 2 an entry of order n - 1
    {n}.backoff     float32 (C,)   log10 of the context's backoff weight
    {n}.count       uint16 (C,)    how many successors the context has, may be 0
    {n}.token       uint16 (E,)    successors, context by context, ascending within each
    {n}.code        uint16 (E,)    their probabilities, see :func:`decode_log10`
    {n}.floor       float32 (1,)   least log10 P of order n

for n = 2 .. N, and the metadata ``format``, ``order``, ``vocab_size``, ``kind``, ``text``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from fastllm.checkpoints import file_sha256
from fastllm.drafters.base import DistributionSession, Draft, Drafter
from fastllm.drafters.errors import DrafterError
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler
from fastllm.source import Source

FORMAT = "fastllm-ngram-1"
MAX_CODE = 65535
MAX_VOCAB = 65535  # token ids lie in uint16
LN10 = math.log(10)


def encode_log10(log10: np.ndarray, floor: float) -> np.ndarray:
    """log10 probabilities in [`floor`, 0] as uint16 codes, finer towards 0; shape as given."""
    return np.rint((np.minimum(log10, 0.0) / floor) ** (2 / 3) * MAX_CODE).astype(np.uint16)


def decode_log10(code: np.ndarray, floor: float) -> np.ndarray:
    """log10 P = floor * (code / 65535)^1.5, float64, shape as given.

    Rounding a code moves log10 P by at most 1.5 |floor| / 131070: 8e-5 for a floor of -7. The power 1.5 makes the step
    smaller where P is large, so that rounding moves the sum of a distribution by less than 1e-4.
    """
    return floor * (code / MAX_CODE) ** 1.5


@dataclass(frozen=True)
class Successors:
    """What one order knows: for each of C contexts, ascending in ``key``, a slice of its E successors.

    Attributes:
        key: int64 (C,), the context's tokens as digits to the base V + 1.
        start: int64 (C + 1,), successors of context i are start[i] : start[i + 1].
        backoff: float32 (C,), natural log.
        token: intp (E,); logp: float32 (E,), natural log.
    """

    key: np.ndarray
    start: list[int]
    backoff: list[float]
    token: np.ndarray
    logp: np.ndarray


class NgramDrafter(Drafter):
    """An n-gram model of order 1 to 5; ``kind`` says of which text, ``baseline`` or ``distilled``."""

    short = "N-gram"
    phrase = "counts which words follow each other"

    def __init__(self, unigram: np.ndarray, successors: Sequence[Successors], kind: str) -> None:
        """`unigram` is float32 (V,), natural log; `successors` belong to the orders 2, 3, ..."""
        self.order = len(successors) + 1
        self.kind = kind
        self.name = f"ngram:{self.order}"
        self.title = f"{self.order}-gram ({kind})"
        self.vocab_size = len(unigram)
        self._unigram = unigram
        # Of two alike the lower id first, as argmax has it.
        self._frequent = np.argsort(-unigram, kind="stable").astype(np.int32)
        self._successors = tuple(successors)

    @classmethod
    def load(cls, path: str | Path, vocab_size: int) -> NgramDrafter:
        """Read ``ngram-N.safetensors``.

        Args:
            vocab_size: columns of the target's logits.

        Raises:
            DrafterError: no such file, damaged, or made for another vocabulary.
        """
        path = Path(path)
        if not path.is_file():
            raise DrafterError(f"There is no n-gram drafter at {path}: estimate it with `python -m train ngram`.")
        try:
            with safe_open(path, framework="numpy") as f:
                meta = f.metadata() or {}
                arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a dict)
            if meta.get("format") != FORMAT:
                raise ValueError(f"its format is {meta.get('format')!r}, not {FORMAT!r}")
            order, made_for = int(meta["order"]), int(meta["vocab_size"])
            if made_for != vocab_size:
                raise DrafterError(
                    f"The n-gram drafter {path} is made for a vocabulary of {made_for} tokens and the target has "
                    f"{vocab_size}: estimate one for this target with `python -m train ngram`."
                )
            drafter = cls(*_unpack(arrays, order, vocab_size), meta.get("kind", ""))
        except DrafterError:
            raise
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise DrafterError(
                f"The n-gram drafter {path} is damaged ({' '.join(str(error).split())}): restore the file, or estimate "
                "it again with `python -m train ngram`."
            ) from None
        drafter.size_bytes = path.stat().st_size
        drafter.sha256 = file_sha256(path)
        return drafter

    def log_probs(self, prefix: Sequence[int]) -> np.ndarray:
        """Natural-log P(token | begin of text, prefix): a fresh float32 array of shape (V,), every entry finite.

        The backoff recursion P(w | c) = P*(w | c) where listed, else b(c) P(w | c without its first token), unrolled
        from the unigrams up: all entries get every backoff weight, then each longer context overwrites its successors.
        Tokens that the training text never showed share KenLM's ``<unk>`` mass equally, so that the exponentials sum
        to 1 within 1e-4. (Where the text shows the whole vocabulary nobody takes that mass, and it is missing.)
        """
        found, total = self._contexts(prefix)
        out = self._unigram + np.float32(total)
        for tokens, logp in found:
            out[tokens] = logp
        return out

    def likeliest(self, prefix: Sequence[int], legal: int, blocked: Sequence[int] = ()) -> int:
        """The argmax of :meth:`log_probs` over the ids below `legal` that are not `blocked` (the first, on a tie),
        without the V columns: one of the contexts' successors, or the most frequent token that is none of them."""
        found, total = self._contexts(prefix)
        best, chosen = -math.inf, -1
        longer: list[np.ndarray] = []

        def allowed(token: int) -> bool:
            # What a longer context knows is not asked of a shorter one.
            return token < legal and token not in blocked and not any(_holds(t, token) for t in longer)

        for tokens, logp in reversed(found):
            # Each falling, until it is below the best so far: mostly the shorter contexts' first one is.
            while len(tokens) and (value := logp[at := int(logp.argmax())]) >= best and value > -math.inf:
                token = int(tokens[at])
                if allowed(token):
                    best, chosen = value, token if value > best else min(token, chosen)
                    break
                logp[at] = -np.inf
            longer.append(tokens)
        for token in map(int, self._frequent):
            value = self._unigram[token] + np.float32(total)
            if value < best:
                break
            if allowed(token):
                return token if value > best else min(token, chosen)
        return chosen

    def _contexts(self, prefix: Sequence[int]) -> tuple[list[tuple[np.ndarray, np.ndarray]], float]:
        """The successors of each context of `prefix` that is listed, the shortest first, with their natural-log
        probabilities (a longer one's override); and what all backoffs sum up to."""
        base = self.vocab_size + 1
        key, digit, found, total = 0, 1, [], 0.0
        for n, level in enumerate(self._successors, 1):
            if n <= len(prefix):
                token = prefix[-n]
                if not 0 <= token < self.vocab_size:
                    break
            elif n == len(prefix) + 1:
                token = self.vocab_size
            else:
                break
            key += token * digit
            digit *= base
            at = int(level.key.searchsorted(key))
            if at < len(level.key) and level.key[at] == key:
                total += level.backoff[at]
                found.append((level, at, total))
        lists = []
        for level, at, used in found:
            ids = slice(level.start[at], level.start[at + 1])
            # `used` holds the backoffs up to this context; those of longer contexts still apply to its successors.
            lists.append((level.token[ids], level.logp[ids] + np.float32(total - used)))
        return lists, total

    def open(self, source: Source, sampler: Sampler) -> NgramSession:
        """A session; an n-gram model sees nothing of the article."""
        return NgramSession(self, sampler)


class NgramSession(DistributionSession):
    """Drafts from the last N - 1 tokens of the prefix; keeps no state, so there is nothing to roll back."""

    def __init__(self, drafter: NgramDrafter, sampler: Sampler) -> None:
        super().__init__(sampler)
        self._drafter = drafter

    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        """Natural-log probabilities, float32, shape (V,)."""
        return torch.from_numpy(self._drafter.log_probs(prefix))

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """The general loop's draft; greedy, no row of the vocabulary is filled before somebody looks at it."""
        sampler = self.sampler
        if not sampler.settings.greedy or self.needs_rows(prefix, lengths):
            return super().propose(prefix, gamma, lengths)
        ids, start = list(prefix), len(prefix)
        for _ in range(gamma):
            ids.append(self._drafter.likeliest(ids, sampler.vocab_size, sampler.blocked(ids)))
            if ids[-1] in sampler.eos_ids:
                break
        new = ids[start:]
        if not new:
            return Draft(())
        return Draft(tuple(new), None, lambda: self._rows(ids, start), calls=len(new))

    def _rows(self, ids: Sequence[int], start: int) -> torch.Tensor:
        return torch.stack([self.next_logits(ids[:i]) for i in range(start, len(ids))])


def _holds(ascending: np.ndarray, token: int) -> bool:
    at = int(ascending.searchsorted(token))
    return at < len(ascending) and ascending[at] == token


def _unpack(arrays: dict[str, np.ndarray], order: int, vocab_size: int) -> tuple[np.ndarray, list[Successors]]:
    """Arrays as in the file into arrays as in memory, each checked.

    Raises:
        KeyError, ValueError: an array is missing, or not as the format says.
    """
    _need(0 < vocab_size <= MAX_VOCAB and order > 0, "order or vocabulary size out of range")
    _need((vocab_size + 1) ** (order - 1) < 2**63, "order too high for this vocabulary")
    unigram = _array(arrays, "unigram", np.float32, vocab_size)
    _need(bool(np.isfinite(unigram).all()), "unigram is not finite")
    rows = np.arange(vocab_size + 1, dtype=np.int64)  # keys of the rows that contexts of the next order point to
    levels = []
    for n in range(2, order + 1):
        context = _array(arrays, f"{n}.context", np.uint32).astype(np.int64)
        backoff = _array(arrays, f"{n}.backoff", np.float32, len(context))
        count = _array(arrays, f"{n}.count", np.uint16, len(context)).astype(np.int64)
        token = _array(arrays, f"{n}.token", np.uint16, int(count.sum())).astype(np.int64)
        code = _array(arrays, f"{n}.code", np.uint16, len(token))
        floor = float(_array(arrays, f"{n}.floor", np.float32, 1)[0])
        _need(bool(np.all(np.diff(context) > 0)) and (not len(context) or context[-1] < len(rows)), f"{n}.context")
        _need(bool(np.isfinite(backoff).all()) and math.isfinite(floor) and floor <= 0, f"{n}.backoff or {n}.floor")
        _need(not len(token) or int(token.max()) < vocab_size, f"{n}.token")
        key = rows[context]
        # By the contexts' numbers: keys of whole 5-grams of a vocabulary of 49,152 would not fit int64.
        places = np.repeat(np.arange(len(context)), count) * (vocab_size + 1) + token
        _need(bool(np.all(np.diff(places) > 0)), f"{n}.token is out of order")
        if n < order:
            rows = np.repeat(key, count) * (vocab_size + 1) + token
        levels.append(
            Successors(
                key=key,
                start=np.concatenate(([0], np.cumsum(count))).tolist(),
                backoff=(backoff.astype(np.float64) * LN10).tolist(),
                token=token.astype(np.intp),
                logp=(decode_log10(code, floor) * LN10).astype(np.float32),
            )
        )
    return (unigram.astype(np.float64) * LN10).astype(np.float32), levels


def _need(fact: bool, name: str) -> None:
    if not fact:
        raise ValueError(f"bad {name}")


def _array(arrays: dict[str, np.ndarray], name: str, dtype: type, length: int | None = None) -> np.ndarray:
    """The array of that name, of that type, one-dimensional, of that length."""
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    a = arrays[name]
    if a.dtype != dtype or a.ndim != 1 or (length is not None and len(a) != length):
        raise ValueError(f"bad {name}")
    return a
