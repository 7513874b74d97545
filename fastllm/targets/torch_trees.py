"""Trees of draft tokens in one call of a transformers model: what the call is given besides the tokens.

A model of rotary or learnt positions takes the nodes' depths as positions and a mask of who sees whom. T5 adds the bias
of *contiguous* places itself, so the mask carries the difference to the bias of the right distance. Whether a model
heeds all that is seen once, at its first tree (:func:`agrees`); one that does not is asked path by path.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from fastllm.trees import distances

# Models by whether one call gave what calls path by path give.
_FOUND: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
# Largest difference of two logits over the largest logit, by precision: another order of the same sums, no more.
_NEAR = {torch.float32: 1e-5, torch.bfloat16: 0.05}


def _nearsighted(config: Any) -> bool:
    """Whether attention ends at some distance, in some layer. It is then counted by places, which a tree's nodes do not
    stand at; a first tree within that distance would agree, and later ones would not."""
    windows = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    kinds = {*(getattr(config, "layer_types", None) or ()), *(getattr(config, "attention_layers", None) or ())}
    return bool(windows or getattr(config, "attention_chunk_size", None) or kinds - {"full_attention", "global"})


def decline(model: Any) -> None:
    """Remember that `model` cannot score a tree in one call."""
    if model is not None:
        _FOUND[model] = False


def known(model: Any) -> bool | None:
    """Whether `model` scores trees in one call; None where nobody has tried."""
    t5 = model.config.is_encoder_decoder and model.config.model_type in ("t5", "mt5", "umt5")
    if _nearsighted(model.config.get_text_config()):
        return False
    if not t5 and (
        model.config.is_encoder_decoder or "position_ids" not in inspect.signature(model.forward).parameters
    ):
        return False
    return _FOUND.get(model)


def agrees(model: Any, once: torch.Tensor, by_paths: torch.Tensor) -> bool:
    """Whether the logits of one call are those of several, both (k + 1, columns), up to rounding; remembered for the
    model."""
    near = _NEAR.get(model.dtype, 1e-5) * float(by_paths.abs().max())
    found = bool((once - by_paths).abs().max() <= near)
    _FOUND[model] = found
    return found


def tree_inputs(model: Any, past: int, chain: int, parents: Sequence[int]) -> dict[str, torch.Tensor]:
    """Arguments of the call that runs `chain` tokens and a tree behind `past` cached ones: with n = chain + nodes a
    mask (1, 1 or heads, n, past + n), added to the scores, and of a decoder-only model the n positions, (1, n)."""
    device = next(model.parameters()).device
    distance = torch.from_numpy(distances(past, chain, parents)).to(device)
    mask = torch.zeros(distance.shape, dtype=model.dtype, device=device)
    mask.masked_fill_(distance < 0, torch.finfo(model.dtype).min)
    if not model.config.is_encoder_decoder:
        return {"attention_mask": mask[None, None], "position_ids": distance[None, :, 0]}
    own = model.decoder.block[0].layer[0].SelfAttention
    usual = (
        past + torch.arange(len(distance), device=device)[:, None] - torch.arange(past + len(distance), device=device)
    )
    bias = _bias(own, distance) - _bias(own, usual)
    return {"decoder_attention_mask": (bias + mask)[None]}


def _bias(own: Any, distance: torch.Tensor) -> torch.Tensor:
    """T5's relative bias, (heads, n, keys), of tokens so far back; what lies ahead counts as no distance at all."""
    bucket = own._relative_position_bucket(
        -distance, False, own.relative_attention_num_buckets, own.relative_attention_max_distance
    )
    return own.relative_attention_bias(bucket).permute(2, 0, 1)
