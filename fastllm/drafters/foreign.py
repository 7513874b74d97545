"""Drafters whose tokenizer is not the target's (Timor et al. 2025, "Accelerating LLM Inference with Lossless
Speculative Decoding Algorithms for Heterogeneous Vocabularies").

``slem:NAME``, string-level exact match (their Algorithm 2): the other model's text, in the target's tokens, is a draft
that was chosen with certainty, so the target keeps what it would have said itself. ``tli:NAME``, token-level
intersection (their Algorithm 4): q is the other model's distribution over the pieces that both vocabularies have,
renormalised, and the ordinary rule applies. Both are lossless, greedy and sampled. NAME is whatever could be a target:
a preset, a folder or a hub name; it reads the article in its own prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from fastllm.config import MAX_GAMMA
from fastllm.drafters.base import DistributionSession, Draft, Drafter, DrafterSession
from fastllm.drafters.errors import DrafterError
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.targets.base import Target, TargetError
from fastllm.targets.load import load_target

# Beginnings of words, from the end of a text back, at which its tokens may be cut and read again.
LOOK_BEHIND = 4
_HALF = "\ufffd"  # what a part of a character decodes to


def plain(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of `ids` as it stands: no spaces tidied away, special tokens left out."""
    return tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


def encode(tokenizer: Any, text: str) -> list[int]:
    """`text` as ids, nothing added."""
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []


def continued(target: Target, prefix: Sequence[int], more: str) -> list[int] | None:
    """`more` in the target's tokens, behind those of `prefix`; None where the text of `prefix` does not come back.

    A sampled text need not be cut into tokens as the tokenizer would cut it, so it is read again from the beginnings of
    its last words only where the whole does not come back. A draft may be anything: what is wrong is refused.
    """
    words = [i for i, t in enumerate(prefix) if i and target.piece(t).startswith(" ")]
    for start in [0, *reversed(words[-LOOK_BEHIND:])]:
        kept = list(prefix[start:])
        found = encode(target.tokenizer, plain(target.tokenizer, kept) + more)
        if found[: len(kept)] == kept:
            return found[len(kept) :]
    return None


class _Reader:
    """The other model over the article in its own tokens, following the target's text."""

    def __init__(self, target: Target, foreign: Target, source: Source) -> None:
        self._target, self.foreign = target, foreign
        self._session = foreign.open(source.text)
        self.eos = list(foreign.eos_ids)

    def text(self, prefix: Sequence[int]) -> str:
        return plain(self._target.tokenizer, prefix)

    def ids(self, text: str) -> list[int]:
        return encode(self.foreign.tokenizer, text)

    def room(self, ids: Sequence[int]) -> int:
        """How many tokens more than `ids`, of its own, the model has positions to write; it may be 0 or less."""
        limit = self._session.limit
        return MAX_GAMMA if limit is None else limit - len(ids)

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """(its vocabulary,), after `ids` of its own, or as many of them as there are positions for: any q will do."""
        return self._session.score(ids[: self._session.limit])[0][: self.foreign.legal_size]


class SlemSession(DrafterSession):
    """Writes on greedily in its own tokens, and hands over the text in the target's."""

    def __init__(self, target: Target, reader: _Reader, sampler: Sampler) -> None:
        self._target, self._reader, self._sampler = target, reader, sampler

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """As many of its own tokens as there may be of the target's: a token more or less matters to no rule."""
        reader = self._reader
        before = self._reader.text(prefix)
        ids = reader.ids(before)
        begun, ended, calls = len(ids), False, 0
        most = min(gamma, reader.room(ids))
        while len(ids) - begun < most and not ended:
            token = int(reader.logits(ids).argmax())
            calls += 1
            ended = token in reader.eos
            if not ended:
                ids.append(token)
        own, whole = plain(reader.foreign.tokenizer, ids[:begun]), plain(reader.foreign.tokenizer, ids)
        # What the other tokenizer cannot write in full it cannot go on from either.
        if not whole.startswith(own):
            return Draft((), calls=calls)
        more = whole[len(own) :].rstrip(_HALF)
        found = continued(self._target, prefix, more)
        if found is None:
            return Draft((), calls=calls)
        if ended and len(found) < gamma:
            found.append(self._target.eos_id)
        return Draft(self._legal(prefix, found[:gamma]), calls=calls)

    def _legal(self, prefix: Sequence[int], ids: Sequence[int]) -> tuple[int, ...]:
        """The beginning of `ids` that repeats no forbidden n-gram and ends with the text."""
        kept: list[int] = []
        for token in ids:
            if token in self._sampler.blocked([*prefix, *kept]):
                break
            kept.append(token)
            if token in self._sampler.eos_ids:
                break
        return tuple(kept)


class TliSession(DistributionSession):
    """q over the pieces that both have; a token of the target that was drawn from it is the partner's in the other
    model's text, and any other text is read again."""

    def __init__(self, drafter: TliDrafter, reader: _Reader, sampler: Sampler) -> None:
        super().__init__(sampler)
        self._drafter, self._reader = drafter, reader
        self._known: tuple[list[int], list[int]] = ([], [])  # a text of the target's, and the same in its own tokens

    def room(self, prefix: Sequence[int]) -> int:
        return self._reader.room(self._follow(list(prefix)))

    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        """-inf for what only one of the vocabularies has, which then has no part in temperature or top-p."""
        theirs = self._reader.logits(self._follow(list(prefix)))
        out = torch.full((self._drafter.vocab_size,), -torch.inf)
        out[self._drafter.ours] = theirs[self._drafter.theirs]
        out[self._drafter.eos_id] = theirs[self._reader.eos].amax()
        return out

    def _follow(self, prefix: list[int]) -> list[int]:
        text, ids = self._known
        new = prefix[len(text) :]
        partner = self._drafter.partner
        if prefix[: len(text)] == text and new and all(t in partner for t in new):
            ids = [*ids, *(partner[t] for t in new)]
        elif prefix != text:
            ids = self._reader.ids(self._reader.text(prefix))
        self._known = prefix, ids
        return ids


class ForeignDrafter(Drafter):
    """Base of both: a whole model with a tokenizer of its own."""

    takes_place = True
    how: ClassVar[str]

    def __init__(self, target: Target, foreign: Target) -> None:
        self.target, self.foreign = target, foreign
        self.vocab_size = target.vocab_size
        self.name = f"{self.how}:{foreign.preset.asked}"
        self.sha256 = foreign.sha256
        folder = Path(str(foreign.checkpoint.where))
        self.size_bytes = sum(f.stat().st_size for f in folder.glob("*.safetensors")) if folder.is_dir() else 0

    @classmethod
    def load(cls, where: str | Path, target: Target) -> Self:
        """Load a preset, a folder or a hub name as the other model, on the target's device and in its way of engine.

        Raises:
            DrafterError: it cannot be loaded, or its vocabulary has nothing in common with the target's.
        """
        try:
            engine = "torch" if target.engine.name == "torch" else None
            foreign = load_target(str(where), str(target.device), engine)
        except TargetError as error:
            raise DrafterError(f"The drafter {cls.how}:{where} could not be loaded. {error}") from None
        return cls(target, foreign)

    def _reader(self, source: Source) -> _Reader:
        if not source.text:
            raise DrafterError(f"{self.name!r} reads the article's text, and only its tokens are known here.")
        return _Reader(self.target, self.foreign, source)


class SlemDrafter(ForeignDrafter):
    """``slem:NAME``"""

    how = "slem"
    short = "Other, by text"
    title = "Another model, by its text"
    phrase = "another model's words, read anew"
    certain = True

    def open(self, source: Source, sampler: Sampler) -> SlemSession:
        return SlemSession(self.target, self._reader(source), sampler)


class TliDrafter(ForeignDrafter):
    """``tli:NAME``

    Attributes:
        ours, theirs: ids of the same pieces in both vocabularies, int64, one for one.
        partner: the same as a dictionary.
        eos_id: the target's end of text, which stands for all of the other model's.
    """

    how = "tli"
    short = "Other, by pieces"
    title = "Another model, by shared pieces"
    phrase = "another model, in shared pieces"

    def __init__(self, target: Target, foreign: Target) -> None:
        super().__init__(target, foreign)
        self.eos_id = target.eos_id
        pairs = shared_pieces(target, foreign)
        if not pairs:
            raise DrafterError(
                f"The vocabularies of {target.preset.name} and {foreign.preset.name} have no piece in common: use "
                f"slem:{foreign.preset.asked}, which needs none."
            )
        self.partner = dict(pairs)
        self.ours, self.theirs = (torch.tensor(ids) for ids in zip(*pairs, strict=True))

    def open(self, source: Source, sampler: Sampler) -> TliSession:
        return TliSession(self, self._reader(source), sampler)


def shared_pieces(target: Target, foreign: Target) -> list[tuple[int, int]]:
    """Ids of the pieces that both write alike, the target's and the other's, in the target's order.

    Pieces are compared as text, a space at the beginning of a word included, whatever signs a tokenizer keeps them in;
    special tokens are no pieces.
    """
    theirs: dict[str, int] = {}
    for i in _words(foreign):
        theirs.setdefault(foreign.piece(i), i)
    seen: set[str] = set()
    pairs = []
    for i in _words(target):
        piece = target.piece(i)
        if piece in theirs and piece not in seen:
            seen.add(piece)
            pairs.append((i, theirs[piece]))
    return pairs


def _words(target: Target) -> list[int]:
    special = {*target.tokenizer.all_special_ids, *target.tokenizer.get_added_vocab().values(), *target.eos_ids}
    return [i for i in range(target.legal_size) if i not in special and target.piece(i)]
