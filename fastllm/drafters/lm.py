"""The language-model drafter: a decoder-only model smaller than the target, over the same tokenizer and prompt."""

from __future__ import annotations

from fastllm.drafters.t5 import T5Drafter


class LmDrafter(T5Drafter):
    """Any decoder-only model of the hub's format whose token ids mean what the target's mean."""

    short = "Small model"
    phrase = "a smaller language model"
    name = "lm"
    title = "Language model"
    seq2seq = False
    kind = "decoder-only model"
