"""The target's next-token distributions over given texts: on the fly, or cached on disk as top-k.

A cached row keeps the k most probable tokens and gives every other token an equal share of what is left, so that it is
a distribution again: forward KL to it is finite, and beta differs from the exact one by at most the mass left out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fastllm.drafters.copying import SMALLEST
from fastllm.drafters.rows import Columns
from fastllm.targets.base import Target
from train.batches import Example, make_batch
from train.content import fingerprint

SHARD = 512
# Values of a distribution over all tokens that are held at once: 256 MB in float32.
VALUES = 2**26


@dataclass(frozen=True)
class TopK:
    """The most probable next tokens of T positions: ids int (T, k), logp float (T, k), natural log."""

    ids: np.ndarray
    logp: np.ndarray


@torch.no_grad()
def log_p(target: Target, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor) -> Tensor:
    """ln p at every position.

    Args:
        prompt, prompt_mask: int64, (B, L).
        inputs: int64, (B, T), decoder start first; for a decoder-only model the prompt stands in its place.

    Returns:
        shape (B, T, V), float32; columns without a piece have ln 1e-30.
    """
    if target.checkpoint.seq2seq:
        out = target.model(input_ids=prompt, attention_mask=prompt_mask, decoder_input_ids=inputs, use_cache=False)
        logits = out.logits.float()
    else:
        logits = _after_prompts(target.model, prompt, prompt_mask, inputs[:, 1:]).float()
    logits[..., target.legal_size :] = -torch.inf
    return logits.log_softmax(-1).clamp_min(float(np.log(SMALLEST)))


def _after_prompts(model: Any, prompt: Tensor, prompt_mask: Tensor, text: Tensor) -> Tensor:
    """Logits of a decoder-only model after each prompt and every token of its text, (B, 1 + tokens, V), in one pass.

    Each text follows its prompt without a gap and padding comes last, where no earlier position looks.
    """
    lengths, more = prompt_mask.sum(1), text.shape[1]
    places = lengths[:, None] + torch.arange(more, device=text.device)
    ids = torch.cat([prompt, torch.zeros_like(text)], 1).scatter(1, places, text)
    first = int(lengths.min()) - 1
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=ids.shape[1] - first).logits
    at = lengths[:, None] - 1 - first + torch.arange(more + 1, device=text.device)
    return logits[torch.arange(len(ids), device=text.device)[:, None], at]


def rows_at_once(batch_size: int, length: int, vocab_size: int) -> int:
    """At most `batch_size` texts of `length` tokens, fewer where their distributions would not fit :data:`VALUES`."""
    return max(1, min(batch_size, VALUES // (length * vocab_size)))


def dense(ids: Tensor, logp: Tensor, vocab_size: int, columns: Columns | None = None) -> Tensor:
    """Cached rows as whole distributions.

    Args:
        ids: int64, (..., k); logp: float32, (..., k).
        columns: over which p is added up, without a tensor of V columns; None for every token by itself.

    Returns:
        ln p, shape (..., V or C): the k tokens as cached, the others equal shares of 1 - their sum.
    """
    k = ids.shape[-1]
    rest = (1 - logp.exp().sum(-1, keepdim=True)).clamp_min(SMALLEST) / max(1, vocab_size - k)
    if columns is not None:
        # All tokens the equal share, then the k what they have beyond it.
        p = (rest * columns.size).scatter_add_(-1, columns.cell[ids], logp.exp() - rest)
        return p.clamp_min(SMALLEST).log()
    out = rest.log().expand(*ids.shape[:-1], vocab_size).clone()
    return out.scatter_(-1, ids, logp)


def cache(target: Target, examples: Sequence[Example], k: int, folder: Path, batch_size: int = 32) -> list[TopK]:
    """Top-k of the target over every example's text, from `folder` where it is there, else computed and put there.

    Written shard by shard, so a cut run goes on where it was. The folder's name is made of the target and the texts.
    """
    key = hashlib.sha256(repr((fingerprint(target), k, [(e.prompt, e.text) for e in examples])).encode())
    place = folder / f"teacher-{key.hexdigest()[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    found: list[TopK] = []
    for at in tqdm(range(0, len(examples), SHARD), desc=f"teacher top-{k}", unit="shard", disable=None):
        file = place / f"{at // SHARD:05d}.npz"
        if not file.exists():
            rows = _compute(target, examples[at : at + SHARD], k, batch_size)
            ends = np.cumsum([len(r.ids) for r in rows])
            # Named by the process, since two runs may fill one cache at the same time.
            half = file.with_name(f"{file.stem}.{os.getpid()}.part.npz")
            np.savez(half, ids=np.concatenate([r.ids for r in rows]), logp=np.concatenate([r.logp for r in rows]),
                     ends=ends)  # fmt: skip
            half.rename(file)
        data = np.load(file)
        starts = data["ends"][:-1]
        ids, logp = np.split(data["ids"], starts), np.split(data["logp"], starts)
        found += [TopK(i, p) for i, p in zip(ids, logp, strict=True)]
    return found


def _compute(target: Target, examples: Sequence[Example], k: int, batch_size: int) -> list[TopK]:
    # Of like length together, so that little padding is computed; handed back in the order given.
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].text), len(examples[i].article)))
    batch_size = rows_at_once(batch_size, max(len(e.text) for e in examples), target.vocab_size)
    rows: dict[int, TopK] = {}
    for at in range(0, len(order), batch_size):
        some = order[at : at + batch_size]
        batch = make_batch([examples[i] for i in some], target.eos_id, target.start_id, device=target.device)
        top = log_p(target, batch.prompt, batch.prompt_mask, batch.inputs).topk(k, -1)
        ids, logp = top.indices.cpu().numpy(), top.values.cpu().numpy()
        for row, i in enumerate(some):
            t = len(examples[i].text)
            rows[i] = TopK(ids[row, :t].astype(np.uint16 if target.vocab_size <= 65536 else np.int32),
                           logp[row, :t].astype(np.float16))  # fmt: skip
    return [rows[i] for i in range(len(examples))]
