"""A torch model with sublayers left out that shares every parameter with the whole one and leaves it untouched.

Modules on the way to the sublayers are copied shallowly, with a module table of their own; what is left out is replaced
there by a module that passes its input on. A switch on the model itself would be the other visitor's, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Set
from typing import Any

from torch import nn

from fastllm.targets.sublayers import Sublayer, kept_attentions


class _PassOn(nn.Module):
    """A T5 sublayer that is left out: the hidden state comes out as it went in; an attention also hands on the position
    bias and has no weights to tell."""

    def __init__(self, attention: bool) -> None:
        super().__init__()
        self._attention = attention

    def forward(self, hidden_states: Any, *args: Any, position_bias: Any = None, **kwargs: Any) -> Any:
        return (hidden_states, position_bias, None) if self._attention else hidden_states


class _Nothing(nn.Module):
    """A Llama sublayer that is left out: its layer adds what comes out to the residual."""

    def __init__(self, attention: bool) -> None:
        super().__init__()
        self._attention = attention

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return (0.0, None) if self._attention else 0.0


def _copied(module: Any, **parts: Any) -> Any:
    """`module` with other modules in the places named; parameters and all else are shared."""
    twin = copy.copy(module)
    # copy.copy shares the table itself, so it is made anew before anything is put into it.
    twin.__dict__["_modules"] = dict(module._modules) | parts
    return twin


def _renumbered(attention: Any, at: int) -> Any:
    """An attention that keeps its keys at place `at` of a cache, in which those left out have none."""
    twin = _copied(attention)
    twin.layer_idx = at
    return twin


def _t5(model: Any, skip: Set[Sublayer]) -> Any:
    places = {kind: kept_attentions(skip, len(model.decoder.block), kind) for kind in ("self", "cross")}
    names = {"self": "SelfAttention", "cross": "EncDecAttention"}
    blocks = []
    for i, block in enumerate(model.decoder.block):
        layers = []
        for kind, layer in zip(("self", "cross", "feed"), block.layer, strict=True):
            if (i, kind) in skip:
                layers.append(_PassOn(kind != "feed"))
            elif kind == "feed":
                layers.append(layer)
            else:
                inner = _renumbered(getattr(layer, names[kind]), places[kind].index(i))
                layers.append(_copied(layer, **{names[kind]: inner}))
        blocks.append(_copied(block, layer=nn.ModuleList(layers)))
    return _copied(model, decoder=_copied(model.decoder, block=nn.ModuleList(blocks)))


def _llama(model: Any, skip: Set[Sublayer]) -> Any:
    places = kept_attentions(skip, len(model.model.layers))
    layers = []
    for i, layer in enumerate(model.model.layers):
        parts: dict[str, nn.Module] = {}
        if (i, "self") in skip:
            parts |= {"self_attn": _Nothing(True), "input_layernorm": nn.Identity()}
        else:
            parts["self_attn"] = _renumbered(layer.self_attn, places.index(i))
        if (i, "feed") in skip:
            parts |= {"mlp": _Nothing(False), "post_attention_layernorm": nn.Identity()}
        layers.append(_copied(layer, **parts))
    return _copied(model, model=_copied(model.model, layers=nn.ModuleList(layers)))


_WITHOUT: dict[str, Callable[[Any, Set[Sublayer]], Any]] = {
    "t5": _t5,
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral"), _llama),
}


def without(model: Any, skip: Set[Sublayer]) -> Any:
    """`model` less the sublayers of `skip`, which :meth:`fastllm.targets.sublayers.Family.check` has seen."""
    return _WITHOUT[model.config.model_type](model, skip)
