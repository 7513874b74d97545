"""T5 (Raffel et al. 2020) as plain functions: 1.0 (ReLU, tied head), 1.1 and FLAN (gated GELU, a head of its own)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fastllm.targets.graphs.parts import HIDDEN, Norm, Product, attend
from fastllm.targets.pretrained import is_tied


def _biases(attention: Any, bidirectional: bool) -> nn.Parameter:
    """(distances, heads): the relative bias of each distance, computed by transformers itself. Beyond the last
    distance every bias is the same."""
    far = attention.relative_attention_max_distance
    distance = torch.arange(-far if bidirectional else 0, far + 1)
    bucket = attention._relative_position_bucket(
        -distance[None], bidirectional, attention.relative_attention_num_buckets, far
    )[0]
    return nn.Parameter(attention.relative_attention_bias.weight[bucket].detach().float(), requires_grad=False)


class _Feed(nn.Module):
    """The position-wise layer, plain or gated."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        dense = layer.DenseReluDense
        self.norm = Norm(layer.layer_norm.weight, layer.layer_norm.variance_epsilon)
        self.gated = hasattr(dense, "wi_0")
        self.a = Product((dense.wi_0 if self.gated else dense.wi).weight)
        self.b = Product(dense.wi_1.weight) if self.gated else None
        self.out, self.act = Product(dense.wo.weight), dense.act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        h = self.act(self.a(y))
        return x + self.out(h * self.b(y) if self.b is not None else h)


class _Attention(nn.Module):
    """Queries, keys, values of one attention, split into heads."""

    def __init__(self, layer: Any, attention: Any) -> None:
        super().__init__()
        self.norm = Norm(layer.layer_norm.weight, layer.layer_norm.variance_epsilon)
        self.q, self.k, self.v, self.o = (Product(getattr(attention, n).weight) for n in "qkvo")
        self.heads, self.d = attention.n_heads, attention.key_value_proj_dim

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, self.heads, self.d).permute(1, 0, 2)

    def forward(
        self, x: torch.Tensor, y: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """`y` is the norm of `x`; keys (h, d, T), values (h, T, d)."""
        seen = attend(self.split(self.q(y)), keys, values, bias)
        return x + self.o(seen.permute(1, 0, 2).reshape(-1, self.heads * self.d))


class _Stack(nn.Module):
    """What encoder and decoder have alike: embedding, relative bias, self-attention, feed-forward, final norm; and the
    decoder's cross-attention, of which the encoder makes keys and values."""

    def __init__(self, model: Any, stack: Any, bidirectional: bool) -> None:
        super().__init__()
        self.embed = nn.Parameter(model.shared.weight.detach().float(), requires_grad=False)
        own = [block.layer[0].SelfAttention for block in stack.block]
        self.bias = _biases(own[0], bidirectional)
        self.far = own[0].relative_attention_max_distance
        self.own = nn.ModuleList([_Attention(b.layer[0], a) for b, a in zip(stack.block, own, strict=True)])
        self.feed = nn.ModuleList([_Feed(b.layer[-1]) for b in stack.block])
        self.norm = Norm(stack.final_layer_norm.weight, stack.final_layer_norm.variance_epsilon)
        self.cross = nn.ModuleList([_Attention(b.layer[1], b.layer[1].EncDecAttention) for b in model.decoder.block])


class T5Encoder(_Stack):
    """ids (S,) -> for each layer of the decoder its cross-attention's keys (heads, d, S) and values (heads, S, d)."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, model.encoder, bidirectional=True)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.embed[ids]
        at = torch.arange(ids.shape[0])
        bias = self.bias[(at[:, None] - at[None]).clamp(-self.far, self.far) + self.far].permute(2, 0, 1)
        layers: Any = zip(self.own, self.feed, strict=True)
        for own, feed in layers:
            y = own.norm(x)
            x = feed(own(x, y, own.split(own.k(y)).transpose(1, 2), own.split(own.v(y)), bias))
        x = self.norm(x)
        cross: Any = self.cross
        found = [t for c in cross for t in (c.split(c.k(x)).transpose(1, 2), c.split(c.v(x)))]
        return tuple(t.contiguous() for t in found)


class T5Decoder(_Stack):
    """Inputs, outputs and their shapes: :mod:`fastllm.targets.graphs`."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, model.decoder, bidirectional=False)
        # T5 1.0 scales what its head reads, 1.1 and FLAN do not.
        scale = model.config.d_model**-0.5 if getattr(model.config, "scale_decoder_outputs", is_tied(model)) else 1.0
        self.head = Product(model.get_output_embeddings().weight * scale)

    def forward(
        self, ids: torch.Tensor, rows: torch.Tensor, distance: torch.Tensor, *given: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        layers = len(self.own)
        past, cross = given[: 2 * layers], given[2 * layers :]
        bias = self.bias[distance.clamp(0, self.far)].permute(2, 0, 1) + (distance < 0).float() * HIDDEN
        x, new = self.embed[ids], []
        blocks: Any = zip(self.own, self.cross, self.feed, strict=True)
        for i, (own, over, feed) in enumerate(blocks):
            y = own.norm(x)
            k, v = own.k(y), own.v(y)
            new += [k, v]
            keys = own.split(torch.cat([past[2 * i], k])).transpose(1, 2)
            x = own(x, y, keys, own.split(torch.cat([past[2 * i + 1], v])), bias)
            x = feed(over(x, over.norm(x), cross[2 * i], cross[2 * i + 1], None))
        return self.head(self.norm(x[rows])), torch.cat(new, 1)


class T5Graph:
    """The two graphs of one T5."""

    angles = 0

    def __init__(self, model: Any) -> None:
        self.encoder, self.decoder = T5Encoder(model), T5Decoder(model)
        attention = model.decoder.block[0].layer[0].SelfAttention
        self.layers, self.width = len(model.decoder.block), attention.inner_dim
        self.cross = (attention.n_heads, attention.key_value_proj_dim)
        self.frequencies: list[float] = []
        self.scaling = 1.0

    @staticmethod
    def lacks(config: Any) -> str:
        """What of `config` the graph cannot do; "" where there is nothing."""
        return ""
