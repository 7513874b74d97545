"""The sublayers of a decoder, for leaving some out: which a family has, which must stay, and what to call them.

A decoder is a chain of residual sublayers, x + f(x). Leaving one out passes x on, so the model stays a model, less sure
of itself and cheaper: Draft & Verify (Zhang et al. 2023) drafts with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastllm.targets.base import TargetError

# Layer, counted from 0, and kind.
Sublayer = tuple[int, str]
WORDS = {"self": "self-attention", "cross": "cross-attention", "feed": "feed-forward"}


@dataclass(frozen=True)
class Family:
    """What is known of the decoders of one kind of model.

    Attributes:
        products: of each kind of sublayer, in the order in which a layer runs them: the matrix product that ends it, by
            its name in the exported graph, with a place for the layer.
        layers: how many a configuration has.
        fixed: sublayers that nothing can do without, each with the reason.
    """

    products: Mapping[str, str]
    layers: Callable[[Any], int]
    fixed: Mapping[Sublayer, str]

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.products)

    def all(self, config: Any) -> tuple[Sublayer, ...]:
        """Every sublayer that may be left out, in the order of the computation."""
        every = ((i, kind) for i in range(self.layers(config)) for kind in self.kinds)
        return tuple(s for s in every if s not in self.fixed)

    def check(self, skip: Iterable[Sublayer], config: Any) -> frozenset[Sublayer]:
        """`skip` as a set.

        Raises:
            TargetError: it names a sublayer that the model lacks or cannot do without, or every self-attention, without
                which nothing would be known of the text.
        """
        found = frozenset(skip)
        layers = self.layers(config)
        for layer, kind in sorted(found):
            if kind not in self.products or not 0 <= layer < layers:
                raise TargetError(
                    f"the {WORDS.get(kind, kind)} of layer {layer + 1} is no part of this model, which has {layers} "
                    f"layers of {', '.join(WORDS[k] for k in self.kinds)}"
                )
            if (layer, kind) in self.fixed:
                raise TargetError(
                    f"the {WORDS[kind]} of layer {layer + 1} cannot be left out: {self.fixed[layer, kind]}"
                )
        if {(i, "self") for i in range(layers)} <= found:
            raise TargetError("one self-attention must stay, or the model would not see its own text")
        return found


_LLAMA = Family({"self": "layers.{}.o", "feed": "layers.{}.down"}, lambda c: c.num_hidden_layers, {})
# transformers' model_type: family. Their torch modules are known to fastllm/targets/torch_parts.py.
FAMILIES: dict[str, Family] = {
    "t5": Family(
        {"self": "own.{}.o", "cross": "cross.{}.o", "feed": "feed.{}.out"},
        lambda c: c.num_decoder_layers,
        {(0, "self"): "it alone holds the relative positions, and the cache's length is read from it"},
    ),
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral"), _LLAMA),
}


def family_of(config: Any) -> Family:
    """The family of a model by its configuration.

    Raises:
        TargetError: its sublayers are not known.
    """
    if config.model_type not in FAMILIES:
        raise TargetError(f"the sublayers of a {config.model_type} are not known, only those of {', '.join(FAMILIES)}")
    return FAMILIES[config.model_type]


def kept_attentions(skip: Iterable[Sublayer], layers: int, kind: str = "self") -> list[int]:
    """The layers whose attention of that kind stays."""
    gone = set(skip)
    return [i for i in range(layers) if (i, kind) not in gone]
