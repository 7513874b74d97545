"""The engine that runs everywhere: transformers' own modules, on the CPU or on CUDA."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from fastllm.sampling import common_prefix
from fastllm.targets.base import Decoder, Engine
from fastllm.targets.sublayers import Family, Sublayer, kept_attentions
from fastllm.targets.torch_parts import without
from fastllm.targets.torch_trees import agrees, known, tree_inputs
from fastllm.trees import path, trunk

# A layer's keys and values, each (1, heads, tokens, d).
KeysValues = Sequence[tuple[torch.Tensor, torch.Tensor]]


def cache_name(model) -> str:
    """What `model` calls the argument that takes its cache: transformers up to 5.2x ``past_key_values``, then
    ``cache``."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


class FollowingDecoder(Decoder):
    """A decoder whose cache keeps what the tokens asked for have in common with those asked for before.

    A subclass runs the model over what is new and cuts its cache; no caller says what to forget.
    """

    def __init__(self, before: Sequence[int]) -> None:
        """`before`: tokens that stand before every text and are still to be run."""
        self._before = list(before)
        self._model: Any = None
        self._held: list[int] = []  # tokens whose keys and values are in the cache

    @torch.inference_mode()
    def score_tree(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        if trunk(parents) == len(parents):
            return self.score([*text, *nodes], len(nodes) + 1)
        if (trees := self._trees()) is False:
            return self._by_paths(text, nodes, parents)
        once = self._in_one_call(text, nodes, parents)
        if trees is None and not agrees(self._model, once, other := self._by_paths(text, nodes, parents)):
            return other
        return once

    def _by_paths(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        """:meth:`score_tree` in as many calls as the tree has leaves."""
        rows: dict[int, torch.Tensor] = {}
        for leaf in sorted(set(range(len(nodes))) - set(parents)):
            line = path(parents, leaf)
            found = self.score([*text, *(nodes[i] for i in line)], len(line) + 1)
            rows |= dict(zip((-1, *line), found, strict=True))
        return torch.stack([rows[i] for i in range(-1, len(nodes))])

    def _in_one_call(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        tokens = [*self._before, *text]
        keep = min(common_prefix(self._held, tokens), len(tokens) - 1)
        if keep < len(self._held):
            self._cut(keep)
        self._held = tokens[:keep]
        logits = self._run_tree(tokens[keep:], nodes, parents)
        # What follows the trunk is no text: only a trunk can be the beginning of the next one.
        self._held, first = [*tokens, *nodes], len(tokens) + trunk(parents)
        self._cut(first)
        self._held = self._held[:first]
        return logits

    def _trees(self) -> bool | None:
        """Whether :meth:`_run_tree` can be trusted; None: nobody has tried."""
        return True

    @abstractmethod
    def _run_tree(self, tokens: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        """Run the model over `tokens` and the nodes of a tree behind them, and keep them all: logits of the last token
        and of the nodes."""

    @abstractmethod
    def _cut(self, keep: int) -> None:
        """Forget all but the first `keep` of the tokens held."""

    @abstractmethod
    def _run(self, tokens: Sequence[int], wanted: int) -> torch.Tensor:
        """Run the model over `tokens`, after those held: logits of the last `wanted`, (wanted, columns) float32."""

    @torch.inference_mode()
    def score(self, text: Sequence[int], wanted: int = 1) -> torch.Tensor:
        tokens = [*self._before, *text]
        keep = min(common_prefix(self._held, tokens), len(tokens) - wanted)
        if keep < len(self._held):
            self._cut(keep)
        # Until the model has run, nothing more is held: a failed call leaves a cache that can be trusted.
        self._held = tokens[:keep]
        logits = self._run(tokens[keep:], wanted)
        self._held = tokens
        return logits


class TorchSeq2SeqDecoder(FollowingDecoder):
    """An encoder-decoder: the article encoded once, its cross-attention kept."""

    @torch.inference_mode()
    def __init__(self, model, prompt_ids: Sequence[int], start_id: int, read: torch.Tensor | None = None) -> None:
        """`read`: the encoder's output, (1, S, d_model)."""
        super().__init__([start_id])
        self._model, self._name = model, cache_name(model)
        self._device = next(model.parameters()).device
        encoded = read
        if encoded is None:
            encoded = model.get_encoder()(input_ids=torch.tensor([prompt_ids], device=self._device)).last_hidden_state
            _synchronize(self._device)
        self._encoded: BaseModelOutput | None = BaseModelOutput(last_hidden_state=encoded)
        # No config given: transformers 5.23 would size the caches by the encoder's number of layers.
        self._cache: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def _cut(self, keep: int) -> None:
        # Self-attention only: the cross-attention cache belongs to the article. crop() takes a negative count.
        self._cache.self_attention_cache.crop(keep - len(self._held))

    def _run(self, tokens: Sequence[int], wanted: int) -> torch.Tensor:
        out = self._model(
            encoder_outputs=self._encoded,
            decoder_input_ids=torch.tensor([tokens], device=self._device),
            use_cache=True,
            **{self._name: self._cache},
        )
        # .cpu() waits for the device, so the caller's clock needs no synchronisation of its own.
        return out.logits[0, -wanted:].float().cpu()

    def _trees(self) -> bool | None:
        return known(self._model)

    def _run_tree(self, tokens: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        out = self._model(
            encoder_outputs=self._encoded,
            decoder_input_ids=torch.tensor([[*tokens, *nodes]], device=self._device),
            use_cache=True,
            **tree_inputs(self._model, len(self._held), len(tokens), parents),
            **{self._name: self._cache},
        )
        return out.logits[0, -len(nodes) - 1 :].float().cpu()

    def read(self) -> torch.Tensor | None:
        return self._encoded.last_hidden_state if self._encoded else None

    def close(self) -> None:
        self._cache = self._encoded = None


class TorchCausalDecoder(FollowingDecoder):
    """A decoder-only model: the prompt run once, all but its last token, whose row of logits belongs to the text."""

    @torch.inference_mode()
    def __init__(
        self, model, prompt_ids: Sequence[int], read: KeysValues = (), kept: Sequence[int] | None = None
    ) -> None:
        """`read`: each layer's keys and values of the prompt, of which the layers in `kept` are taken; None: all."""
        super().__init__(prompt_ids[-1:])
        self._model, self._name = model, cache_name(model)
        self._device = next(model.parameters()).device
        self._cache: Any = DynamicCache()
        self._first = len(prompt_ids) - 1
        for at, (keys, values) in enumerate(read if kept is None or not read else [read[i] for i in kept]):
            self._cache.update(keys, values, at)
        if self._first and not read:
            self._call(prompt_ids[:-1], 1)
            _synchronize(self._device)

    def _call(self, tokens: Sequence[int], wanted: int, **more: torch.Tensor) -> torch.Tensor:
        ids = torch.tensor([tokens], device=self._device)
        out = self._model(input_ids=ids, use_cache=True, logits_to_keep=wanted, **more, **{self._name: self._cache})
        return out.logits[0, -wanted:]

    def _trees(self) -> bool | None:
        return known(self._model)

    def _run_tree(self, tokens: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        more = tree_inputs(self._model, self._cache.get_seq_length(), len(tokens), parents)
        return self._call([*tokens, *nodes], len(nodes) + 1, **more).float().cpu()

    def _cut(self, keep: int) -> None:
        self._cache.crop(keep - len(self._held))

    def _run(self, tokens: Sequence[int], wanted: int) -> torch.Tensor:
        return self._call(tokens, wanted).float().cpu()

    def read(self) -> KeysValues:
        """Views: a cache that grows is another tensor."""
        if self._cache is None or not self._first:
            return ()
        return [(x.keys[:, :, : self._first], x.values[:, :, : self._first]) for x in self._cache.layers]

    def close(self) -> None:
        self._cache = None


class _Narrow(Decoder):
    """Another decoder's logits, of some columns only."""

    def __init__(self, whole: Decoder, columns: np.ndarray) -> None:
        self._whole, self._columns = whole, torch.from_numpy(columns)

    def score(self, text: Sequence[int], wanted: int = 1) -> torch.Tensor:
        return self._whole.score(text, wanted)[:, self._columns]

    def score_tree(self, text: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        return self._whole.score_tree(text, nodes, parents)[:, self._columns]

    def read(self) -> Any:
        return self._whole.read()

    def close(self) -> None:
        self._whole.close()


class TorchEngine(Engine):
    """transformers' modules. Results of calls of different length differ in the last digits."""

    name = "torch"

    def __init__(self, model, start_id: int | None = None, kept: Sequence[int] | None = None) -> None:
        """`start_id`: the decoder start token of an encoder-decoder, None for a decoder-only model. `kept`: of a model
        with sublayers left out, the layers whose self-attention stays."""
        self.model = model.eval()
        self._start_id, self._kept = start_id, kept
        self.columns = int(model.get_output_embeddings().weight.shape[0])
        self.rows = int(model.get_input_embeddings().weight.shape[0])

    def open(self, prompt_ids: Sequence[int], read: Any = None, columns: np.ndarray | None = None) -> Decoder:
        decoder: Decoder
        if self._start_id is None:
            decoder = TorchCausalDecoder(self.model, prompt_ids, read or (), self._kept)
        else:
            decoder = TorchSeq2SeqDecoder(self.model, prompt_ids, self._start_id, read)
        return decoder if columns is None else _Narrow(decoder, columns)

    def without(self, family: Family, skip: frozenset[Sublayer]) -> TorchEngine:
        kept = kept_attentions(skip, family.layers(self.model.config))
        return TorchEngine(without(self.model, skip), self._start_id, kept)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
