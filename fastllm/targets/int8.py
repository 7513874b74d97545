"""A target with dynamic int8 products, for the Lab only: its p after a text depends on what is scored beside it.

One scale serves all rows of a call, the largest activation among them over 127 (as in ONNX Runtime's
``DynamicQuantizeLinear`` and torch's ``quantize_dynamic``), so a token of the draft with large activations makes every
other row coarser. Products of int8 are added up in float32, exactly below 2^24, so about 1,000 inputs.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from fastllm.targets.base import Target, TargetError
from fastllm.targets.torch_engine import TorchEngine

# A copy of a larger model would not fit beside it on the machines that the page runs on.
MOST_PARAMETERS = 500_000_000


def rounded(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`x` as whole numbers from -127 to 127 (still floats, shape as given) and the one scale, of shape (), that they
    are multiples of."""
    scale = x.abs().amax().clamp_min(1e-30) / 127
    return (x / scale).round_(), scale


class Int8Linear(nn.Module):
    """x W^T + b of int8 weights (a scale for each output) and of activations with one scale for the whole call;
    (..., in) to (..., out)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.scale = weight.abs().amax(1).clamp_min(1e-30) / 127
        self.weight = (weight / self.scale[:, None]).round_().to(torch.int8)
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole, scale = rounded(x.float())
        y = (whole @ self.weight.float().T) * (scale * self.scale)
        return (y if self.bias is None else y + self.bias).to(x.dtype)


def _replace(module: nn.Module) -> int:
    """Put an Int8Linear in the place of every nn.Linear below `module`; how many there were."""
    count = 0
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
            count += 1
        else:
            count += _replace(child)
    return count


def quantised(target: Target) -> Target:
    """`target` with int8 products in its decoder and its head; what reads the article is left as it is.

    Raises:
        TargetError: it is too large to be copied, or has no product that could be quantised.
    """
    checkpoint = target.checkpoint
    model = checkpoint.model
    size = sum(p.numel() for p in model.parameters())
    if size > MOST_PARAMETERS:
        raise TargetError(
            f"{target.preset.name} has {size / 1e9:.1f} billion parameters, too many to be copied as int8 here: choose "
            "a smaller target for this fault."
        )
    # Modules are copied, parameters shared: what is not replaced is the target's own.
    shared: dict[int, Any] = {id(p): p for p in model.parameters()}
    copied = copy.deepcopy(model, shared)
    count = _replace(copied.decoder) if checkpoint.seq2seq and hasattr(copied, "decoder") else _replace(copied)
    head = copied.get_output_embeddings()
    if isinstance(head, nn.Linear):
        names = [n for n, m in copied.named_modules() if m is head]
        setattr(copied.get_submodule(names[0].rpartition(".")[0]), names[0].rpartition(".")[2], Int8Linear(head))
        count += 1
    if not count:
        raise TargetError(
            f"{target.preset.name} ({checkpoint.config.model_type}) has no product that can be made int8 here: choose "
            "a T5, Llama or similar target for this fault."
        )
    engine = TorchEngine(model, target.start_id if checkpoint.seq2seq else None)
    engine.model = copied  # sizes are those of the model itself, whose head is no nn.Linear any more
    if target.engine.name != "torch":
        checkpoint.forget()
    return type(target)(target.preset, checkpoint, target.tokenizer, engine)
