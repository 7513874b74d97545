"""The T5 drafter: a T5 much smaller than the target, over the same tokenizer, with its own cached session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer

from fastllm.checkpoints import folder_sha256
from fastllm.drafters.base import DistributionSession, Drafter
from fastllm.drafters.errors import DrafterError
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.target import CachedDecoder, Target, choose_dtype, load_model


class T5Drafter(Drafter):
    """Any encoder-decoder of the hub's format whose token ids mean what the target's mean."""

    name = "t5"
    title = "T5"

    def __init__(self, model, vocab_size: int, start_id: int) -> None:
        """`vocab_size` is the target's; `start_id` the drafter's own decoder start."""
        self.model = model.eval()
        self.vocab_size = vocab_size
        self._start_id = start_id

    @classmethod
    def load(cls, where: str | Path, target: Target) -> T5Drafter:
        """Load from a folder or from the hub by name, onto the target's device and in the target's way of dtype.

        A folder without a tokenizer of its own is taken to use the target's, which is how ours are stored.

        Raises:
            DrafterError: it cannot be loaded, is no encoder-decoder, or its tokens are not the target's.
        """
        again = "give the folder or hub name of a T5 that shares the target's tokenizer"
        try:
            config = AutoConfig.from_pretrained(where)
            start = getattr(config, "decoder_start_token_id", None)
            if not config.is_encoder_decoder or start is None:
                raise DrafterError(f"{where} is no encoder-decoder (a {config.model_type}): {again}.")
            if config.vocab_size < target.legal_size:
                raise DrafterError(
                    f"The T5 drafter {where} has a vocabulary of {config.vocab_size} tokens and the target has "
                    f"{target.vocab_size}: {again}."
                )
            if not Path(where).is_dir() or (Path(where) / "tokenizer_config.json").exists():
                ours, theirs = target.tokenizer.get_vocab(), AutoTokenizer.from_pretrained(where).get_vocab()
                if ours != theirs:
                    raise DrafterError(f"The T5 drafter {where} has another tokenizer than the target: {again}.")
            model = load_model(where, choose_dtype(target.preset, target.device), target.device)
        except DrafterError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0][:200]
            raise DrafterError(
                f"The T5 drafter {where} could not be loaded; check the name, and that its files are there or the hub "
                f"can be reached ({reason})."
            ) from None
        drafter = cls(model, target.vocab_size, start)
        if Path(where).is_dir():
            drafter.sha256 = folder_sha256(Path(where))
            drafter.size_bytes = sum(f.stat().st_size for f in Path(where).glob("*.safetensors"))
        else:
            drafter.sha256 = getattr(model.config, "_commit_hash", None) or ""
            drafter.size_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
        return drafter

    def open(self, source: Source, sampler: Sampler) -> T5Session:
        return T5Session(self, source, sampler)


class T5Session(DistributionSession):
    """Reads exactly what the target's encoder reads, prompt included; its cache follows the prefix."""

    def __init__(self, drafter: T5Drafter, source: Source, sampler: Sampler) -> None:
        super().__init__(sampler)
        self._vocab_size = drafter.vocab_size
        self._decoder = CachedDecoder(drafter.model, source.prompt_ids, drafter._start_id)

    def next_logits(self, prefix: Sequence[int]) -> torch.Tensor:
        """Logits, float32, shape (V,): columns beyond the target's are cut, those it lacks are -inf."""
        logits = self._decoder.score(prefix)[0]
        missing = self._vocab_size - len(logits)
        if missing > 0:
            return torch.cat([logits, logits.new_full((missing,), -torch.inf)])
        return logits[: self._vocab_size]
