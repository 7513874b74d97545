"""The T5 drafter: a T5 much smaller than the target, over the same tokenizer, with its own cached session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fastllm.config import is_folder
from fastllm.drafters.base import Drafter
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.shortlist import ModelSession, first_and_articles, frequent_first
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.targets.base import Engine, Target, TargetError
from fastllm.targets.load import choose_dtype, open_engine
from fastllm.targets.pretrained import TOKENIZER_FILES, Checkpoint, read_tokenizer


class T5Drafter(Drafter):
    """Any encoder-decoder of the hub's format whose token ids mean what the target's mean."""

    short = "T5"
    phrase = "a smaller model of the same kind"
    name = "t5"
    title = "T5"
    seq2seq: ClassVar[bool] = True
    kind: ClassVar[str] = "encoder-decoder"
    takes_place = True
    scores = True

    def __init__(self, engine: Engine, vocab_size: int, frequent: int = 0) -> None:
        """`vocab_size` is the target's; the engine knows the drafter's own decoder start.

        Args:
            frequent: as of :func:`fastllm.drafters.shortlist.frequent_first`.
        """
        self.engine = engine
        self.vocab_size, self.frequent = vocab_size, frequent
        self.checkpoint: Checkpoint | None = None

    @classmethod
    def load(cls, where: str | Path, target: Target) -> T5Drafter:
        """Load from a folder or from the hub by name, onto the target's device and in the target's way of dtype.

        A folder without a tokenizer of its own is taken to use the target's, which is how ours are stored.

        Raises:
            DrafterError: it cannot be loaded, is no encoder-decoder, or its tokens are not the target's.
        """
        again = f"give the folder or hub name of one ({cls.kind}) that shares the target's tokenizer"
        try:
            checkpoint = Checkpoint(where, choose_dtype(target.preset, target.device), target.device)
            if checkpoint.seq2seq is not cls.seq2seq:
                raise DrafterError(f"{where} (a {checkpoint.config.model_type}) is no {cls.kind}: {again}.")
            folder = Path(where)
            own = not is_folder(where) or any((folder / name).exists() for name in TOKENIZER_FILES)
            if own and read_tokenizer(where).get_vocab() != target.tokenizer.get_vocab():
                raise DrafterError(f"The {cls.title} drafter {where} has another tokenizer than the target: {again}.")
            start = checkpoint.start_id(target.tokenizer) if cls.seq2seq else None
            engine = open_engine(checkpoint, start, "torch" if target.engine.name == "torch" else "auto")
        except TargetError as error:
            raise DrafterError(f"The {cls.title} drafter could not be loaded. {error}") from None
        if engine.columns < target.legal_size or engine.rows < target.legal_size:
            raise DrafterError(
                f"The {cls.title} drafter {where} has a vocabulary of {engine.columns} tokens and the target has "
                f"{target.vocab_size}: {again}."
            )
        drafter = cls(engine, target.vocab_size, frequent_first(target))
        engine.prepare(narrow=drafter.frequent > 0)
        drafter.checkpoint, drafter.sha256 = checkpoint, checkpoint.sha256
        if is_folder(where):
            drafter.size_bytes = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
        else:
            drafter.size_bytes = sum(p.numel() * p.element_size() for p in checkpoint.model.parameters())
        return drafter

    @property
    def model(self) -> Any:
        """The torch model, for transformers' own assisted generation.

        Raises:
            ValueError: the drafter was made of an engine.
        """
        if self.checkpoint is None:
            raise ValueError("this drafter was made of an engine, not of a checkpoint")
        return self.checkpoint.model

    def open(self, source: Source, sampler: Sampler) -> T5Session:
        """
        Raises:
            DrafterError: it has fewer positions than the target's prompt has tokens.
        """
        positions = None if self.checkpoint is None else self.checkpoint.positions
        if positions is not None and len(source.prompt_ids) > positions:
            raise DrafterError(
                f"The {self.title} drafter has positions for {positions} tokens and the target's prompt has "
                f"{len(source.prompt_ids)}: give a shorter article or choose another drafter."
            )
        # A draft's last token is not read by who drafted it; an encoder-decoder reads its start before the text.
        read = 0 if self.seq2seq else len(source.prompt_ids) - 1
        return T5Session(self, source, sampler, None if positions is None else positions - read)


class T5Session(ModelSession):
    """Reads exactly what the target's encoder reads, prompt included; its cache follows the prefix."""

    def __init__(self, drafter: T5Drafter, source: Source, sampler: Sampler, longest: int | None = None) -> None:
        """`longest`: the length of text, drafts included, that there are positions for; None: any."""
        super().__init__(sampler)
        self._longest = longest
        self.vocab_size = drafter.vocab_size
        self.listed = first_and_articles(source, sampler, drafter.frequent)
        self._decoder = drafter.engine.open(source.prompt_ids, columns=self.listed)

    def room(self, prefix: Sequence[int]) -> int:
        return super().room(prefix) if self._longest is None else self._longest - len(prefix)
