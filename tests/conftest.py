"""Fixtures: tiny random T5s in the hub's folder format, with a tokenizer that the project's own code trains."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Graphs of tiny models do not belong into the user's cache. The user's own is kept for tests of what really lies there.
os.environ["FASTLLM_USER_CACHE"] = os.environ.get("FASTLLM_CACHE", "")
os.environ["FASTLLM_CACHE"] = tempfile.mkdtemp(prefix="fastllm-tests-")

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from fastllm.config import TargetPreset
from fastllm.targets.base import Target
from fastllm.targets.load import load_target
from train.tokenizer import train_tokenizer


def pytest_unconfigure() -> None:
    """Take the graphs away."""
    shutil.rmtree(os.environ["FASTLLM_CACHE"], ignore_errors=True)


ARTICLE = (
    "A ferry carrying 214 passengers lost power on Tuesday in the harbour of Port Ellery, and two tugs towed it back "
    "to the quay. Nobody was hurt. The harbour master, Ines Calder, said that a fuel pump had failed. The ferry will "
    "sail again on Friday, after divers have looked at the hull. Passengers were given soup by the crew of a trawler."
)
TEXTS = [
    ARTICLE,
    "Divers looked at the hull of the ferry on Wednesday and found no damage, the harbour master said.",
    "Farmers in the Tolme valley counted forty lambs after the mildest winter in twenty years.",
    "The city of Varnholt will close its oldest bridge for eight months; buses will take another road.",
    "A goalkeeper scored in the last minute, and the club from Ashmere reached the final for the first time.",
    "Astronomers at the Dunmore observatory saw a comet break in two, and children watched it from a school roof.",
]
VOCABULARY, COLUMNS = 240, 256


def make_t5(folder: Path, seed: int = 0, **changes) -> Path:
    """A random T5 with VOCABULARY pieces and COLUMNS logits, as T5 has 32,100 and 32,128."""
    torch.manual_seed(seed)
    untied = changes.get("tie_word_embeddings") is False
    config = T5Config(
        vocab_size=COLUMNS,
        d_model=changes.pop("d_model", 32),
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        **changes,
    )
    model = T5ForConditionalGeneration(config)
    # Random T5s repeat one token: sharper, more varied logits make greedy texts worth comparing.
    with torch.no_grad():
        model.shared.weight.mul_(3.0)
    model.save_pretrained(folder)
    if not untied:
        train_tokenizer(TEXTS * 20, VOCABULARY, folder)
        return folder
    # transformers 5 ties every T5 that it makes; T5 1.1 and FLAN come from the hub with a head of their own.
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = torch.randn(weights["shared.weight"].shape) * 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    saved = json.loads((folder / "config.json").read_text())
    saved.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps(saved | {"tie_word_embeddings": False}))
    train_tokenizer(TEXTS * 20, VOCABULARY, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A tiny T5 on disk, as the hub would give it."""
    return make_t5(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder) -> Target:
    """The tiny T5, loaded as a target."""
    target = load_target(str(tiny_folder))
    preset = TargetPreset("tiny", str(tiny_folder), "tiny", max_article_tokens=128, max_new_tokens=24)
    return target.with_preset(preset)


@pytest.fixture(scope="session")
def article() -> str:
    """A short article of our own."""
    return ARTICLE
