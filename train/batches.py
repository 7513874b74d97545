"""Examples for drafters, and batches of them as padded tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fastllm.drafters.copying import PAST_END


@dataclass(frozen=True)
class Example:
    """An article and a text to say about it, as token ids of the target's tokenizer.

    Attributes:
        article: what the target reads of it, without prompt prefix and end-of-text token.
        prompt: exactly what the target reads: :class:`fastllm.targets.base.Prompt`.
        text: the summary, end-of-text token included where it ended.
    """

    article: tuple[int, ...]
    prompt: tuple[int, ...]
    text: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """B examples: article (B, L), PAST_END where padded; prompt and prompt_mask (B, L'), the encoder's input of a T5;
    inputs (B, T), decoder start and the text without its last token; labels (B, T), the text; mask (B, T), True where
    there is a token.
    """

    article: Tensor
    prompt: Tensor
    prompt_mask: Tensor
    inputs: Tensor
    labels: Tensor
    mask: Tensor


def _padded(rows: Sequence[Sequence[int]], fill: int, device) -> Tensor:
    # A multiple of 8 keeps oneDNN from compiling a kernel for every batch.
    out = np.full((len(rows), -(-max(map(len, rows)) // 8) * 8), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out).to(device)


def make_batch(examples: Sequence[Example], eos_id: int, start_id: int, device="cpu") -> Batch:
    """Right-padded tensors."""
    prompts = [e.prompt for e in examples]
    labels = _padded([e.text for e in examples], -1, device)
    inputs = torch.cat([torch.full_like(labels[:, :1], start_id), labels[:, :-1]], 1)
    return Batch(
        article=_padded([e.article for e in examples], PAST_END, device),
        prompt=_padded(prompts, 0, device),
        prompt_mask=_padded([[1] * len(p) for p in prompts], 0, device),
        inputs=inputs.clamp_min(0),
        labels=labels.clamp_min(0),
        mask=labels >= 0,
    )


def pseudo_row(line: str, number: int, path: Path) -> tuple[str, tuple[int, ...]]:
    """The article's id and the text's token ids of one line of a pseudo-dataset.

    Raises:
        ValueError: it is no such line.
    """
    try:
        row = json.loads(line)
        name, ids, summary = row["id"], row["ids"], row.get("summary", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        name = ids = summary = None
    if not (isinstance(name, str) and name and isinstance(summary, str) and isinstance(ids, list)):
        raise ValueError(f"Line {number} of {path} is no row of a pseudo-dataset (id, summary, ids).")
    return name, tuple(ids)


def read_texts(path: Path, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """A pseudo-dataset (``python -m train pseudo``): article id to the target's tokens.

    Raises:
        ValueError: a line that is not of that form, told with its number.
    """
    found = {}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            name, ids = pseudo_row(line, number, path)
            if not ids or not all(type(i) is int and 0 <= i < vocab_size for i in ids):
                raise ValueError(f"Line {number} of {path} has 'ids' that are not token ids below {vocab_size}.")
            found[name] = ids
    if not found:
        raise ValueError(f"{path} holds no summary.")
    return found
