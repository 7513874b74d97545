"""Fixtures: tiny random T5s in the hub's folder format, with a tokenizer that the project's own code trains."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from fastllm.config import TargetPreset
from fastllm.target import Target, load_target
from train.tokenizer import train_tokenizer

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
    return Target(preset, target.model, target.tokenizer)


@pytest.fixture(scope="session")
def article() -> str:
    """A short article of our own."""
    return ARTICLE
