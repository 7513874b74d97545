"""Encoder-decoder targets (T5, BART and their kin): the article goes through the encoder, after a prefix."""

from __future__ import annotations

from collections.abc import Sequence

from fastllm.targets.base import Prompt, Target


class Seq2SeqTarget(Target):
    """See :class:`fastllm.targets.base.Target`. ``preset.max_article_tokens`` counts prefix and special tokens, too."""

    @property
    def room(self) -> int:
        return min(self.preset.max_article_tokens, self.checkpoint.positions or self.preset.max_article_tokens)

    def limit(self, prompt: Prompt) -> int | None:
        return self.checkpoint.positions

    def read_many(self, articles: Sequence[str]) -> list[Prompt]:
        if not articles:
            return []
        prefix = self.preset.prefix
        texts = [prefix + defused(a, self.tokenizer) for a in articles]
        read = self.tokenizer(texts, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
        return [
            prompt_of(ids, offsets, special, len(prefix), self.room)
            for ids, offsets, special in zip(
                read["input_ids"], read["offset_mapping"], read["special_tokens_mask"], strict=True
            )
        ]


def prompt_of(
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    special: Sequence[int],
    begin: int,
    room: int,
) -> Prompt:
    """Cut the tokens of a whole text at `room`, and find the article's among them.

    Args:
        ids, offsets, special: as the tokenizer gives them for the whole text: ids, where in the text each stands,
            1 for a token that it added itself.
        begin: character at which the article begins.
    """
    # A token that reaches over the border, such as a space with the first letters after it, is the article's.
    article = [i for i, (o, s) in enumerate(zip(offsets, special, strict=True)) if not s and o[1] > begin]
    last = max(0, len(article) - max(0, len(ids) - room))
    kept, dropped = article[:last], article[last:]
    gone = set(dropped)
    return Prompt(
        tuple(t for i, t in enumerate(ids) if i not in gone),
        tuple(ids[i] for i in kept),
        tuple(ids[i] for i in dropped),
    )


def defused(text: str, tokenizer) -> str:
    """`text` in which nothing reads as a special token: a pasted ``</s>`` is text, not the end of it, and neither is
    any other mark that the vocabulary calls special (Llama 3's ``<|start_header_id|>`` has no role of its own)."""
    marks = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    for token in sorted(marks.union(tokenizer.all_special_tokens), key=len, reverse=True):
        if token and token in text:
            text = text.replace(token, token[0] + " " + token[1:])
    return text
