"""Self-speculative drafting (Draft & Verify, Zhang et al. 2023): the target itself with some sublayers left out.

It has no weights of its own and reads nothing twice: the encoder's output, or a decoder-only target's keys and values
of the prompt, are the whole target's. Which sublayers are left out stands in ``self/skip.json`` beside the target's
other drafters, found by ``python -m train skip``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastllm.checkpoints import file_sha256
from fastllm.drafters.base import Drafter
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.shortlist import ModelSession, first_and_articles, frequent_first
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.targets.base import Engine, TargetError
from fastllm.targets.sublayers import Sublayer, family_of

if TYPE_CHECKING:
    from fastllm.targets.base import Target

FILE = "skip.json"


@dataclass(frozen=True)
class SkipSet:
    """What ``skip.json`` says.

    Attributes:
        target_sha256: of the target that it was found for.
        skip: the sublayers to leave out, layers counted from 0.
    """

    target_sha256: str
    skip: tuple[Sublayer, ...]

    @classmethod
    def read(cls, file: Path) -> SkipSet:
        """
        Raises:
            DrafterError: the file is not there, or not in the form of :meth:`write`.
        """
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
            skip = tuple((layer, kind) for kind, layers in value["skip"].items() for layer in layers)
            if not all(type(layer) is int for layer, _ in skip):
                raise TypeError
            return cls(str(value["target_sha256"]), skip)
        except FileNotFoundError:
            raise DrafterError(f"There is no {file}: run `python -m train skip`, or use 'lookup'.") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DrafterError(f"{file} is damaged: restore it, or run `python -m train skip`.") from None

    def as_dict(self) -> dict:
        """Layers by kind."""
        kinds = dict.fromkeys(kind for _, kind in self.skip)
        skip = {kind: sorted(layer for layer, k in self.skip if k == kind) for kind in kinds}
        return {"version": 1, "target_sha256": self.target_sha256, "skip": skip}


class SkippingDrafter(Drafter):
    """A target less some of its sublayers; the target itself is left as it is."""

    short = "Itself"
    phrase = "the target, parts skipped"
    name = "self"
    title = "The target itself, parts of it skipped"
    scores = True

    def __init__(self, target: Target, skip: Iterable[Sublayer]) -> None:
        """
        Raises:
            TargetError: `skip` does not go with the target; as :meth:`fastllm.targets.sublayers.Family.check`.
        """
        config = target.checkpoint.config
        family = family_of(config)
        self.skip = family.check(skip, config)
        self.whole: Engine = target.engine
        self.engine = target.engine.without(family, self.skip)
        self.vocab_size = target.vocab_size
        self.frequent = frequent_first(target)
        self.engine.prepare(narrow=self.frequent > 0)

    @classmethod
    def fits(cls, file: Path, target: Target) -> bool:
        """Whether `file` is there and was found for this target: then it is worth being offered."""
        try:
            return SkipSet.read(file).target_sha256 == target.sha256
        except DrafterError:
            return False

    @classmethod
    def load(cls, file: Path, target: Target) -> SkippingDrafter:
        """
        Raises:
            DrafterError: `file` is damaged, was found for another target, or does not go with this one.
        """
        found = SkipSet.read(file)
        if found.target_sha256 != target.sha256:
            raise DrafterError(
                f"{file} was found for another target (hash {found.target_sha256[:12]}, not {target.sha256[:12]}): run "
                "`python -m train skip`."
            )
        try:
            drafter = cls(target, found.skip)
        except TargetError as error:
            raise DrafterError(
                f"{file} does not go with {target.preset.name} (hash {target.sha256[:12]}): {error}. Run `python -m "
                "train skip`."
            ) from None
        drafter.sha256 = file_sha256(file)
        return drafter

    def open(self, source: Source, sampler: Sampler) -> SkippingSession:
        return SkippingSession(self, source, sampler)


class SkippingSession(ModelSession):
    """One article; the cache follows the prefix, and begins with what the target made of the prompt."""

    def __init__(self, drafter: SkippingDrafter, source: Source, sampler: Sampler) -> None:
        super().__init__(sampler)
        self.vocab_size = drafter.vocab_size
        self.listed = first_and_articles(source, sampler, drafter.frequent)
        if source.encoded is None:
            reader = drafter.whole.open(source.prompt_ids)
            read = reader.read()
            self._decoder = drafter.engine.open(source.prompt_ids, read, self.listed)
            reader.close()
        else:
            self._decoder = drafter.engine.open(source.prompt_ids, source.encoded(), self.listed)
