"""Decoder-only targets (Llama, Qwen, GPT-2 and their kin): the article stands in an instruction, which is the prompt.

The prompt is the tokenizer's chat template with one user message, the preset's instruction and the article; a model
without a template gets the instruction, the article and ``Summary:`` as plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastllm.config import CAUSAL
from fastllm.loading import lazy
from fastllm.targets.base import Prompt, Target, TargetError
from fastllm.targets.seq2seq import defused

PLAIN_END = "\n\nSummary:"
# Read by some templates: without the first p would change at midnight (Llama 3.2), with the second the model would
# think aloud before it summarises (Qwen3).
TEMPLATE_ARGUMENTS = {"date_string": "26 Jul 2024", "enable_thinking": False}
# Stands for the article while the template is rendered; in no template, in no article.
_HERE = "\u2063article\u2063"


class CausalTarget(Target):
    """See :class:`fastllm.targets.base.Target`. ``preset.prefix`` is the instruction, ``preset.max_article_tokens``
    counts the article's own tokens."""

    defaults = CAUSAL

    @lazy
    def frame(self) -> tuple[str, str, bool]:
        """What stands before the article and after it, and whether the tokenizer still adds special tokens.

        Raises:
            TargetError: its chat template cannot be used, or leaves the article out.
        """
        asked = self.preset.prefix + _HERE
        if not self.tokenizer.chat_template:
            return self.preset.prefix, PLAIN_END, True
        message = [{"role": "user", "content": asked}]
        try:
            text = self.tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True, **TEMPLATE_ARGUMENTS
            )
        # Templates are programs, and raise what they like.
        except Exception as error:
            raise TargetError(f"The chat template of {self.preset.model} cannot be used ({error}).") from error
        before, here, after = text.partition(_HERE)
        if not here:
            raise TargetError(f"The chat template of {self.preset.model} leaves the user's message out.")
        return before, after, False

    @lazy
    def _frame_size(self) -> int:
        before, after, special = self.frame
        return len(self._tokens([before + after], special)["input_ids"][0])

    @property
    def room(self) -> int:
        """Tokens that an article may have."""
        positions = self.checkpoint.positions
        if positions is None:
            return self.preset.max_article_tokens
        # A few more than counted: at the article's ends tokens may fall otherwise than in the frame alone.
        left = positions - self._frame_size - self.preset.max_new_tokens - 8
        return max(1, min(self.preset.max_article_tokens, left))

    def limit(self, prompt: Prompt) -> int | None:
        positions = self.checkpoint.positions
        return None if positions is None else positions - len(prompt.ids)

    def _tokens(self, texts: Sequence[str], special: bool) -> Any:
        return self.tokenizer(
            list(texts),
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )

    def read_many(self, articles: Sequence[str]) -> list[Prompt]:
        if not articles:
            return []
        before, after, special = self.frame
        whole = [defused(a, self.tokenizer).strip() for a in articles]
        alone = self._tokens(whole, special=False)
        kept, cut = [], []
        for text, ids, offsets in zip(whole, alone["input_ids"], alone["offset_mapping"], strict=True):
            end = len(text) if len(ids) <= self.room else offsets[self.room - 1][1]
            kept.append(text[:end].rstrip())
            cut.append(tuple(ids[self.room :]))
        read = self._tokens([before + k + after for k in kept], special)
        return [
            _prompt(ids, offsets, len(before), len(before) + len(text), rest)
            for ids, offsets, text, rest in zip(read["input_ids"], read["offset_mapping"], kept, cut, strict=True)
        ]


def _prompt(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], begin: int, end: int, cut: tuple[int, ...]
) -> Prompt:
    """The article's tokens are those that overlap its characters, `begin` .. `end`."""
    article = tuple(t for t, (a, b) in zip(ids, offsets, strict=True) if a < end and b > begin and b > a)
    return Prompt(tuple(ids), article, cut)
