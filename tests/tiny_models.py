"""Tiny random decoder-only models in the hub's folder format, with a byte-level BPE tokenizer and a chat template."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.conftest import TEXTS

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VOCABULARY, COLUMNS = 400, 416
_SIZES = {
    "vocab_size": COLUMNS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
# Family: its configuration. Qwen2 has biases, Qwen3 norms of queries and keys, GPT-2 learnt positions.
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES, max_position_embeddings=512, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_SIZES, max_position_embeddings=512)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES, head_dim=8, max_position_embeddings=512)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_SIZES, max_position_embeddings=512, sliding_window=None)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=COLUMNS, n_positions=512, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
    ),
}


def save_tokenizer(folder: Path, template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level BPE of VOCABULARY pieces, trained on the tests' texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[1], eos_token=SPECIAL[2], unk_token=SPECIAL[0]
    )
    if template:
        fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def make_causal(folder: Path, family: str = "llama", template: str | None = TEMPLATE, seed: int = 0) -> Path:
    """A random model of `family`, its logits sharp enough for greedy texts worth comparing."""
    torch.manual_seed(seed)
    model = FAMILIES[family]()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(12.0)
    model.save_pretrained(folder)
    save_tokenizer(folder, template)
    return folder
