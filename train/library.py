"""transformers' own ``generate`` under our definition of p: whatever the folder's generation settings ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from transformers import GenerationConfig


@contextmanager
def _room_for_the_decoder(model: Any) -> Iterator[None]:
    """transformers 5.24 sizes the caches of `generate` by the encoder's number of layers, and fails on a T5 whose
    decoder is deeper; its own caches of an assistant cannot be given from outside. The built layers do not ask again.
    """
    config = model.config
    own, wanted = getattr(config, "num_layers", None), getattr(config, "num_decoder_layers", None)
    if not (config.is_encoder_decoder and own and wanted):
        yield
        return
    config.num_layers = wanted
    try:
        yield
    finally:
        config.num_layers = own


@torch.no_grad()
def library_generate(
    model: Any,
    inputs: dict[str, torch.Tensor],
    limit: int,
    eos_ids: Sequence[int],
    start_id: int | None = None,
    first_id: int | None = None,
    blocked: int = 0,
    sample: bool = False,
    assistant: Any = None,
) -> torch.Tensor:
    """Token ids, (B, start or prompt + new), greedy or drawn at temperature 1.

    Args:
        inputs: as the model takes them: ``input_ids``, ``attention_mask``.
        start_id: decoder start of an encoder-decoder.
        first_id: token that must come first, or None.
        blocked: size of the n-grams that are not repeated; 0 for none.
        assistant: a smaller model for transformers' assisted generation.
    """
    own = model.generation_config
    model.generation_config = GenerationConfig(
        max_new_tokens=limit,
        do_sample=sample,
        top_k=0 if sample else None,
        num_beams=1,
        no_repeat_ngram_size=blocked,
        eos_token_id=list(eos_ids),
        pad_token_id=eos_ids[0] if own.pad_token_id is None else own.pad_token_id,
        decoder_start_token_id=start_id,
        forced_bos_token_id=first_id,
    )
    helped: dict[str, Any] = {} if assistant is None else {"assistant_model": assistant}
    with ExitStack() as restored:
        for one in (model, assistant):
            if one is not None:
                restored.enter_context(_room_for_the_decoder(one))
        try:
            return model.generate(**inputs, **helped)
        finally:
            model.generation_config = own
