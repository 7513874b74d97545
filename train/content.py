"""What a name stands for now: the keys of caches and of claims, so that neither outlives what it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastllm.checkpoints import file_sha256
from fastllm.targets.base import Target


def content_of(source: str | Path) -> str:
    """SHA-256 of a file, or of all files in a folder by their names; a hub name stands for itself."""
    place = Path(source)
    if place.is_file():
        return file_sha256(place)
    if not place.is_dir():
        return str(source)
    digest = hashlib.sha256()
    for file in sorted(f for f in place.rglob("*") if f.is_file()):
        digest.update(f"{file.relative_to(place)} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


def fingerprint(target: Target) -> str:
    """SHA-256 of all that decides what a target says of an article: weights, tokenizer, prompt, lengths, ends.

    The weights alone do not: the same ones beside another tokenizer say something else.
    """
    preset = {k: v for k, v in asdict(target.preset).items() if k not in ("name", "model", "drafters", "title")}
    words = tokenizer_text(target.tokenizer), target.tokenizer.chat_template, target.eos_ids, target.first_id
    # A hub model without a commit has no hash: its name must do.
    weights = target.sha256 or target.preset.model
    return hashlib.sha256(repr((weights, preset, words)).encode()).hexdigest()


def tokenizer_text(tokenizer: Any) -> str:
    """A fast tokenizer as JSON, scores and merges included, without the padding and cutting of its last call."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({k: v for k, v in whole.items() if k not in ("truncation", "padding")}, sort_keys=True)
