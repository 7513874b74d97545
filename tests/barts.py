"""Tiny BARTs with a byte-level BPE tokenizer of their own: everything a T5 is not."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

from tests.conftest import TEXTS

PIECES = 320


def train_byte_level(folder: Path, size: int = PIECES, add_prefix_space: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE as BART and RoBERTa have it: ``<s>`` and ``</s>`` around the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=add_prefix_space
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    fast.save_pretrained(folder)
    return fast


def make_bart(folder: Path, seed: int = 0, positions: int = 160, rows: int = PIECES, **changes) -> Path:
    """A random BART whose first token is forced to be ``<s>``, as BART's own checkpoints have it."""
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=rows,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=positions,
        dropout=0.0,
        forced_eos_token_id=None,
        decoder_start_token_id=2,
    )
    model = BartForConditionalGeneration(config)
    with torch.no_grad():
        model.model.shared.weight.mul_(20.0)
    model.generation_config.forced_bos_token_id = changes.pop("forced_bos_token_id", 0)
    for name, value in changes.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    train_byte_level(folder)
    return folder
