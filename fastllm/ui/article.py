"""What people paste: cleaned, checked, and remarked upon. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_CHARACTERS = 100_000
FEW_WORDS = 30

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|<!--")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# The commonest function words: they make up 35 to 50 % of English prose, and under 10 % of other languages'.
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the of and to in a is that it was for on with as he she his her they their at by this had not are but from or "
        "have an which one we you were been who its said will more has i be than after when would could there",
    )
)
_FEW_ENGLISH = 0.15


class ArticleError(ValueError):
    """The article cannot be summarised; the message is one sentence for the page."""


@dataclass(frozen=True)
class Checked:
    """An article fit to run, and sentences about what to expect of it."""

    text: str
    notices: tuple[str, ...] = ()


def clean(text: str | None) -> str:
    """`text` without lone surrogates and null characters, which tokenizers refuse, and without outer white space."""
    return (text or "").encode("utf-8", "replace").decode("utf-8").replace("\x00", "").strip()


def word_count(text: str) -> int:
    """Runs of non-space characters, as word processors count."""
    return len(text.split())


def looks_english(text: str) -> bool:
    """Whether enough of the words are English function words. Too few words to tell count as English."""
    words = [w.lower() for w in _WORD.findall(text)]
    if len(words) < 8:
        return not words or sum(c.isascii() for w in words for c in w) > 0.5 * sum(map(len, words))
    return sum(w in _ENGLISH for w in words) / len(words) >= _FEW_ENGLISH


def check(text: str | None) -> Checked:
    """An article fit to run.

    Raises:
        ArticleError: it is empty, holds no letter, or is too long.
    """
    cleaned = clean(text)
    if not cleaned:
        raise ArticleError("The article is empty: paste some text, or choose an example.")
    if len(cleaned) > MAX_CHARACTERS:
        raise ArticleError(
            f"The article has {len(cleaned):,} characters and the limit is {MAX_CHARACTERS:,}: shorten it. "
            "It is still in the box."
        )
    notices = []
    words = word_count(cleaned)
    if words < FEW_WORDS and len(cleaned) < 10 * FEW_WORDS:
        size = "1 word" if words == 1 else f"{words} words"
        notices.append(f"Only {size}: the target learned from whole news articles, so expect little sense from so few.")
    if not looks_english(cleaned):
        notices.append("This does not look like English prose; the target knows English news only, so expect nonsense.")
    if _TAG.search(cleaned):
        notices.append(
            "The article holds HTML tags, which the target reads as text: plain text gives a better summary."
        )
    if _EMOJI.search(cleaned):
        notices.append("The article holds emoji or symbols, most of which the target's vocabulary does not know.")
    return Checked(cleaned, tuple(notices))
