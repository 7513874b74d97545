"""What the rest of the program knows of a target. Names no family and no engine.

A :class:`Target` knows words: tokenizer, prompt, end of text. An :class:`Engine` knows numbers: it opens a
:class:`Decoder`, one prompt on one model, whose cache follows the text that it is asked about. A :class:`TargetSession`
is one article on one target.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch

from fastllm.config import Settings, TargetPreset
from fastllm.loading import lazy
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.targets.pieces import pieces_of
from fastllm.trace import Article

if TYPE_CHECKING:
    from fastllm.targets.pretrained import Checkpoint
    from fastllm.targets.sublayers import Family, Sublayer


class TargetError(ValueError):
    """A target cannot be loaded or used; the message is one sentence that says what to do."""


class Decoder(ABC):
    """One prompt on one model: computed once, its keys and values kept, the cache following the tokens asked for.

    The target's sessions and those of drafters that are whole models are made of it.
    """

    @abstractmethod
    def score(self, text: Sequence[int], wanted: int = 1) -> torch.Tensor:
        """Logits after `text` (what follows the prompt, without any start token) and after its beginnings that lack
        1 .. wanted - 1 tokens.

        Args:
            wanted: 1 .. len(text) + 1.

        Returns:
            shape (wanted, columns), float32, on the CPU; the last row follows the whole of `text`.
        """

    @abstractmethod
    def score_tree(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        """Logits after `text` and after `text` with the path to each node of a tree (fastllm/trees.py).

        Returns:
            shape (k + 1, columns), float32, on the CPU; row i + 1 follows node i.
        """

    @abstractmethod
    def read(self) -> Any:
        """What reading the prompt left, for :meth:`Engine.open` of an engine over the same weights."""

    @abstractmethod
    def close(self) -> None:
        """Give the cache's memory back; a closed decoder is not asked again. May be called twice."""


class Engine(ABC):
    """Who multiplies: one loaded model, shared by all its decoders.

    Attributes:
        name: ``torch`` or ``onnx``.
        columns: of the logits.
        rows: of the input embedding, so ids that may be read.
        to_the_last_bit: whether a row of logits is bit for bit the same however many rows are scored with it. Then
            greedy equality with plain decoding is a theorem; else it holds up to rounding.
        notes: sentences about why it is this engine, to be told once; none where it is the usual one.
    """

    name: str
    columns: int
    rows: int
    to_the_last_bit: bool = False
    notes: tuple[str, ...] = ()

    @abstractmethod
    def open(self, prompt_ids: Sequence[int], read: Any = None, columns: np.ndarray | None = None) -> Decoder:
        """Read a prompt: run the encoder, or fill the cache of a decoder-only model.

        Args:
            read: of a :meth:`Decoder.read` of the same prompt on the same weights, none of them left out: then
                nothing is computed.
            columns: int64 ids, of the only columns that the decoder's logits shall have; None: all of them. Which
                they are moves the last digits, so this is for drafts.
        """

    def prepare(self, narrow: bool) -> None:  # noqa: B027 (most engines have nothing to do)
        """Make what :meth:`open` needs at its first use: with `columns`, if `narrow`, else without."""

    @abstractmethod
    def without(self, family: Family, skip: frozenset[Sublayer]) -> Engine:
        """The same weights less the sublayers of `skip`, which ``family.check`` has seen. This engine stays as it is,
        and no private copy is made of weights that would double what the process holds."""


@dataclass(frozen=True)
class Prompt:
    """An article as a target reads it.

    Attributes:
        ids: exactly what the model reads, special tokens included.
        article: the article's own tokens among them, in order.
        cut: the article's tokens that there was no room for.
    """

    ids: tuple[int, ...]
    article: tuple[int, ...]
    cut: tuple[int, ...]


class Target(ABC):
    """A model with its tokenizer. Holds no state of any run: sessions do.

    Attributes:
        preset: prompt, lengths, drafters.
        engine: who computes p.
        vocab_size: columns of the logits, so the length of p and q.
        legal_size: ids below it have a piece; T5 pads its 32,100 pieces to 32,128 columns.
        eos_ids: tokens that end the text; the first is the one that training texts end with.
        start_id: what precedes the first summary token for drafters and for n-gram blocking: a T5's decoder start.
        first_id: the only token that may come first (BART's forced one), or None. Part of p.
        notes: sentences about what the checkpoint asks for and p leaves out, and about the engine, to be told once.
    """

    #: What a preset that only names a model leaves to the family.
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, preset: TargetPreset, checkpoint: Checkpoint, tokenizer: Any, engine: Engine) -> None:
        self.preset = preset
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self.engine = engine
        self.device = checkpoint.device
        self.vocab_size = engine.columns
        self.legal_size = min(len(tokenizer), engine.columns)
        self.eos_ids = checkpoint.eos_ids(tokenizer, engine.columns)
        self.start_id = checkpoint.start_id(tokenizer)
        self.first_id = checkpoint.first_id
        self.notes = checkpoint.left_out(preset.no_repeat_ngram_size) + engine.notes

    def with_preset(self, preset: TargetPreset) -> Self:
        """The same model and tokenizer under another preset."""
        return type(self)(preset, self.checkpoint, self.tokenizer, self.engine)

    @property
    def eos_id(self) -> int:
        """The first of :attr:`eos_ids`."""
        return self.eos_ids[0]

    @property
    def model(self) -> Any:
        """The torch model, for training and for transformers' own ``generate``; read on first use where the engine
        does without it."""
        return self.checkpoint.model

    @property
    def sha256(self) -> str:
        """Hash of the weight files, or the hub commit of a hub model."""
        return self.checkpoint.sha256

    @lazy
    def pieces(self) -> list[str]:
        """The text of each legal id; a leading space where the piece begins a word."""
        return pieces_of(self.tokenizer, self.legal_size)

    @property
    @abstractmethod
    def room(self) -> int:
        """Tokens that may be read, of what :attr:`TargetPreset.max_article_tokens` counts."""

    @abstractmethod
    def limit(self, prompt: Prompt) -> int | None:
        """How many new tokens the model has positions for after `prompt`; None where positions do not end."""

    @abstractmethod
    def read_many(self, articles: Sequence[str]) -> list[Prompt]:
        """Articles as prompts, cut to what the target reads; one that holds no token has an empty ``article``."""

    def read(self, article: str) -> Prompt:
        """One article as a prompt."""
        return self.read_many([article])[0]

    def piece(self, token: int) -> str:
        """The text of one id."""
        return self.pieces[token] if token < self.legal_size else f"<{token}>"

    def text(self, ids: Sequence[int]) -> str:
        """A summary's ids as text, special tokens left out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def open(self, article: str) -> TargetSession:
        """Read an article and begin a session.

        Raises:
            TargetError: the article holds no token.
        """
        return TargetSession(self, article)

    def sampler(self, settings: Settings) -> Sampler:
        """A fresh sampler, seeded, for one run."""
        return Sampler(settings.sampling, self.legal_size, self.eos_ids, self.start_id, settings.seed, self.first_id)


class TargetSession:
    """One article on one target. Several runs over it, one after the other, are fine: the cache follows the prefix.

    Attributes:
        article: the text, how many tokens of it were read, how many cut.
        source: the same as token ids, for drafters.
        limit: new tokens that the model has positions for, or None where they do not end.
        seconds_encode: seconds of reading the prompt: a seq2seq's encoder, a decoder-only model's first pass.
    """

    def __init__(self, target: Target, text: str) -> None:
        self.target = target
        prompt = target.read(text)
        if not prompt.article:
            raise TargetError("The article is empty: paste some text to summarise.")
        self.article = Article(text, len(prompt.article), len(prompt.cut))
        self.limit = target.limit(prompt)
        started = time.perf_counter()
        self._decoder = target.engine.open(prompt.ids)
        self.seconds_encode = time.perf_counter() - started
        self.source = Source(prompt.article, prompt.ids, self._decoder.read, text)

    def score(
        self, prefix: Sequence[int], draft: Sequence[int] = (), parents: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Logits of the k + 1 positions after `prefix`, `prefix + draft[:1]`, ..., `prefix + draft`.

        One forward pass over whatever of this the cache does not hold yet.

        Args:
            parents: of a draft that is a tree (fastllm/trees.py); then row i + 1 follows node i.

        Returns:
            shape (k + 1, vocab_size), float32, on the CPU.
        """
        if parents:
            return self._decoder.score_tree(prefix, draft, parents)
        return self._decoder.score([*prefix, *draft], len(draft) + 1)

    def close(self) -> None:
        """Give the session's memory back."""
        self._decoder.close()
