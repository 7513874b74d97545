"""Copying drafters on disk and at work: a folder with ``config.json`` and ``model.safetensors``, and their session."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fastllm.checkpoints import file_sha256
from fastllm.drafters.base import Drafter
from fastllm.drafters.copying import CopyConfig, CopyModel
from fastllm.drafters.engine import CopyEngine, EngineState
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.shortlist import ShortlistSession, most_frequent
from fastllm.loading import LOADING, lazy
from fastllm.sampling import Sampler, common_prefix
from fastllm.source import Source

FORMAT = "fastllm-copy-1"
WEIGHTS = "model.safetensors"


def save_model(model: CopyModel, family: str, folder: Path) -> None:
    """Weights in float16 (they are read back as float32), rows as they are, sizes as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    save_file({k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in kept.items()}, folder / WEIGHTS)
    config = {"format": FORMAT, "family": family, **asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def is_sound(rows: torch.Tensor, sizes: CopyConfig) -> bool:
    """Whether each token's row is one, and each row of the frequent tokens belongs to one of them."""
    if rows.is_floating_point() or not bool(((rows >= 0) & (rows < sizes.rows)).all()):
        return False
    return bool((torch.bincount(rows.long(), minlength=sizes.rows)[: sizes.own] == 1).all())


class CopyDrafter(Drafter):
    """Base of the drafters over a :class:`CopyModel`."""

    family: ClassVar[str]
    model_class: ClassVar[type[CopyModel]]
    cell_class: ClassVar[Any]  # of a CopyModel makes a Cell

    def __init__(self, model: CopyModel) -> None:
        self.name = self.family
        self.model = model.eval()
        self.vocab_size = model.config.vocab_size

    @classmethod
    def load(cls, folder: Path, vocab_size: int) -> CopyDrafter:
        """Read a folder that :func:`save_model` wrote.

        Args:
            vocab_size: columns of the target's logits.

        Raises:
            DrafterError: no such folder, damaged, of another family, or made for another vocabulary.
        """
        again = f"`python -m train drafter --family {cls.family}`"
        try:
            config = json.loads((folder / "config.json").read_text())
            if (config.pop("format"), config.pop("family")) != (FORMAT, cls.family):
                raise ValueError(f"it holds no {cls.title} of the format {FORMAT}")
            sizes = CopyConfig(**config)
            if sizes.vocab_size != vocab_size:
                raise DrafterError(
                    f"The {cls.title} drafter {folder} is made for a vocabulary of {sizes.vocab_size} tokens and the "
                    f"target has {vocab_size}: train one for this target with {again}."
                )
            with LOADING, torch.device("meta"):
                model = cls.model_class(sizes)
            weights = {k: v.float() if v.is_floating_point() else v for k, v in load_file(folder / WEIGHTS).items()}
            model.load_state_dict(weights, assign=True)
            if not all(bool(w.isfinite().all()) for w in weights.values()):
                raise ValueError("a weight is not finite")
            if model.rows is not None and not is_sound(model.rows, sizes):
                raise ValueError("its rows are not those of its sizes")
        except DrafterError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DrafterError(
                f"The {cls.title} drafter in {folder} is missing or damaged ({reason}): restore the folder, or train "
                f"it again with {again}."
            ) from None
        drafter = cls(model)
        file = folder / WEIGHTS
        drafter.size_bytes, drafter.sha256 = file.stat().st_size, file_sha256(file)
        return drafter

    @lazy
    def engine(self) -> CopyEngine:
        """The weights laid out for drafting, on first use: training needs none."""
        return CopyEngine(self.model, self.cell_class(self.model))

    def open(self, source: Source, sampler: Sampler) -> CopySession:
        return CopySession(self.engine, source, sampler)


class CopySession(ShortlistSession):
    """Holds one state per summary token, so a shorter prefix means a shorter list, and nothing else to undo."""

    def __init__(self, engine: CopyEngine, source: Source, sampler: Sampler) -> None:
        super().__init__(sampler)
        self._engine, self.vocab_size = engine, engine.vocab_size
        self._reading, start = engine.read(source.article_ids, most_frequent(sampler))
        self.listed = self._reading.shortlist
        self._tokens: list[int] = []
        self._states: list[EngineState] = [start]

    def listed_logits(self, prefix: Sequence[int]) -> np.ndarray:
        """ln q of the shortlist's tokens, float32, shape (S,)."""
        self._move_to(prefix)
        return self._engine.listed_log_probs(self._reading, self._states[-1])

    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        """ln q, float32, shape (V,): -inf for tokens that are neither frequent nor in the article."""
        self._move_to(prefix)
        return torch.from_numpy(self._engine.log_probs(self._reading, self._states[-1]))

    def _move_to(self, prefix: Sequence[int]) -> None:
        """Make the last of the states the one after `prefix`."""
        tokens = [self.sampler.start_id, *prefix]
        keep = common_prefix(self._tokens, tokens)
        del self._states[keep + 1 :]
        for token in tokens[keep:]:
            self._states.append(self._engine.step(self._reading, self._states[-1], token))
        self._tokens = tokens
