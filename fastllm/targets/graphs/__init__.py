"""Decoders (and encoders) as plain functions of tensors: what is exported for ONNX Runtime, a family a file.

A graph class is made of a transformers model and gives modules whose forward takes and returns tensors only:

- ``encoder``, None for a decoder-only model: ``ids (S,)`` -> for each layer of the decoder the cross-attention's keys
  (heads, d, S) and values (heads, S, d);
- ``decoder``: ``ids (n,)``, ``rows (w,)`` (which of the n are wanted), ``distance (n, P + n)`` (how far back each token
  lies, negative where it is not to be looked at: fastllm/trees.py), ``angles (2, n, d / 2)`` where positions are
  rotations, for each layer past keys and values (P, width), then the encoder's outputs -> logits (w, columns) and new
  keys and values (n, 2 · layers · width).

Time is the leading axis of keys and values: a cut cache is a view, and the new rows are all that comes out.
"""

from __future__ import annotations

from typing import Any

from fastllm.targets.graphs.llama import LlamaGraph
from fastllm.targets.graphs.t5 import T5Graph

# transformers' model_type: graph.
GRAPHS: dict[str, Any] = {
    "t5": T5Graph,
    "llama": LlamaGraph,
    "qwen2": LlamaGraph,
    "qwen3": LlamaGraph,
    "mistral": LlamaGraph,
}
# Raised by one whenever what is exported changes.
VERSION = 5
