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
from fastllm.targets.pretrained import first_line
from fastllm.targets.seq2seq import defused

PLAIN_END = "\n\nSummary:"
# Read by some templates: without the first p would change at midnight (Llama 3.2), with the second the model would
# think aloud before it summarises (Qwen3).
TEMPLATE_ARGUMENTS = {"date_string": "26 Jul 2024", "enable_thinking": False}
# Stands for the article while the template is rendered; in no template, in no article.
_HERE = "\u2063article\u2063"
# What a template that changes an article may change: case, breaks, blanks, quotes, signs of markup, length.
_PROBE = 'The  "Ferry" <b>&\n\nit\'s</b> {late}.\n- ' + "Nobody was hurt. " * 40 + "End"


class CausalTarget(Target):
    """See :class:`fastllm.targets.base.Target`. ``preset.prefix`` is the instruction, ``preset.max_article_tokens``
    counts the article's own tokens."""

    defaults = CAUSAL

    @lazy
    def frame(self) -> tuple[str, str, bool]:
        """What stands before the article and after it, and whether the tokenizer still adds special tokens.

        Raises:
            TargetError: its chat template cannot be used, or leaves the article out or alters it.
        """
        if not self.tokenizer.chat_template:
            return self.preset.prefix, PLAIN_END, True
        before, here, after = self._rendered(_HERE).partition(_HERE)
        if not here:
            raise TargetError(
                f"The chat template of {self.preset.model} leaves the user's message out, or writes it otherwise: "
                "FastLLM needs one with the message as it is."
            )
        self._check_as_is(_PROBE, after)
        return before, after, False

    def _rendered(self, article: str) -> str:
        """What the chat template makes of the instruction and `article`.

        Raises:
            TargetError: it cannot be used.
        """
        message = [{"role": "user", "content": self.preset.prefix + article}]
        try:
            return self.tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True, **TEMPLATE_ARGUMENTS
            )
        # Templates are programs, and raise what they like.
        except Exception as error:
            raise TargetError(
                f"The chat template of {self.preset.model} cannot be used ({first_line(error)})."
            ) from error

    def _check_as_is(self, article: str, after: str) -> None:
        """
        Raises:
            TargetError: the template makes something else of instruction and `article` than themselves and `after`.
        """
        # What stands before them may be the day's date.
        if not self._rendered(article).endswith(self.preset.prefix + article + after):
            raise TargetError(
                f"The chat template of {self.preset.model} changes what the user says (its case, blanks, quotes or "
                "length), so the article cannot be found in it: choose a model whose template keeps it."
            )

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
            if not special and kept[-1]:
                self._check_as_is(kept[-1], after)  # a template may ask what stands in the message
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
