"""Llama (Touvron et al. 2023) and its kin as a plain function: grouped heads, rotary positions (Su et al. 2021), the
biases of Qwen2, the norms of queries and keys of Qwen3."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fastllm.targets.graphs.parts import HIDDEN, Norm, Product, attend


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x (n, h, d) turned by its position's angles (n, 1, d / 2): the first half of d with the second."""
    a, b = x[:, :, : cos.shape[-1]], x[:, :, cos.shape[-1] :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class _Layer(nn.Module):
    """One block: attention, then the gated layer."""

    def __init__(self, layer: Any, config: Any) -> None:
        super().__init__()
        own, mlp = layer.self_attn, layer.mlp
        self.before = Norm(layer.input_layernorm.weight, config.rms_norm_eps)
        self.after = Norm(layer.post_attention_layernorm.weight, config.rms_norm_eps)
        names = ("q_proj", "k_proj", "v_proj", "o_proj")
        self.q, self.k, self.v, self.o = (Product(m.weight, m.bias) for m in (getattr(own, n) for n in names))
        self.gate, self.up, self.down = (Product(m.weight, m.bias) for m in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
        self.d, self.groups = own.head_dim, config.num_key_value_heads
        self.shared = config.num_attention_heads // self.groups
        self.q_norm = Norm(own.q_norm.weight, config.rms_norm_eps) if hasattr(own, "q_norm") else None
        self.k_norm = Norm(own.k_norm.weight, config.rms_norm_eps) if hasattr(own, "k_norm") else None

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, hidden: torch.Tensor, keys: torch.Tensor,
        values: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        y, n = self.before(x), x.shape[0]
        q, k = self.q(y).reshape(n, -1, self.d), self.k(y).reshape(n, -1, self.d)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = _turned(q, cos, sin) * self.d**-0.5, _turned(k, cos, sin).reshape(n, -1)
        v = self.v(y)
        # Queries of a group share their keys: one product of (shared · n) rows for each group.
        q = q.reshape(n, self.groups, self.shared, self.d).permute(1, 2, 0, 3).reshape(self.groups, -1, self.d)
        all_k = torch.cat([keys, k]).reshape(-1, self.groups, self.d).permute(1, 2, 0)
        all_v = torch.cat([values, v]).reshape(-1, self.groups, self.d).permute(1, 0, 2)
        seen = attend(q, all_k, all_v, hidden.repeat(self.shared, 1))
        seen = seen.reshape(self.groups, self.shared, -1, self.d).permute(2, 0, 1, 3).reshape(n, -1)
        x = x + self.o(seen)
        y = self.after(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y)), k, v


class LlamaDecoder(nn.Module):
    """Inputs, outputs and their shapes: :mod:`fastllm.targets.graphs`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embed = nn.Parameter(model.get_input_embeddings().weight.detach().float(), requires_grad=False)
        self.layers = nn.ModuleList([_Layer(layer, model.config) for layer in model.model.layers])
        self.norm = Norm(model.model.norm.weight, model.config.rms_norm_eps)
        self.head = Product(model.get_output_embeddings().weight)

    def forward(
        self, ids: torch.Tensor, rows: torch.Tensor, distance: torch.Tensor, angles: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = angles[0][:, None], angles[1][:, None]
        hidden = (distance < 0).float() * HIDDEN
        x, new = self.embed[ids], []
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, cos, sin, hidden, past[2 * i], past[2 * i + 1])
            new += [k, v]
        return self.head(self.norm(x[rows])), torch.cat(new, 1)


class LlamaGraph:
    """The graph of one decoder-only model."""

    encoder = None
    cross = (0, 0)

    def __init__(self, model: Any) -> None:
        config, own = model.config, model.model.layers[0].self_attn
        self.decoder = LlamaDecoder(model)
        self.layers, self.width = len(model.model.layers), config.num_key_value_heads * own.head_dim
        rotary = model.model.rotary_emb
        self.angles = own.head_dim // 2
        self.frequencies = rotary.inv_freq.double().tolist()
        self.scaling = float(rotary.attention_scaling)

    @staticmethod
    def lacks(config: Any) -> str:
        """What of `config` the graph cannot do; "" where there is nothing."""
        rope = getattr(config, "rope_parameters", None) or {}
        kind = rope.get("rope_type", "default")
        if kind not in ("default", "linear", "llama3"):
            return f"its rotary positions ({kind}) change with the length of the text"
        if rope.get("partial_rotary_factor", 1.0) not in (None, 1.0):
            return "only a part of each head is turned by its position"
        if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
            return "it attends within a sliding window"
        return "" if config.hidden_act == "silu" else f"its activation is {config.hidden_act}"
