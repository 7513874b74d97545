"""Articles and summaries as token ids, kept on disk so that a resumed run starts at once."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from train.content import tokenizer_text
from train.data import Pair

# Two sentences have about the length of the highlights; with three, half of the extracts reached the length limit.
EXTRACT_SENTENCES = 2
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9])")
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Ragged:
    """Lists of token ids in one flat array; ``self[i]`` is a view of shape (length_i,)."""

    flat: np.ndarray  # uint16 or int32, shape (total,)
    ends: np.ndarray  # int64, shape (n,)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.flat[(self.ends[i - 1] if i else 0) : self.ends[i]]

    def lengths(self) -> np.ndarray:
        """Of each list, int64, shape (n,)."""
        return np.diff(self.ends, prepend=0)

    @staticmethod
    def of(rows: Sequence[Sequence[int]]) -> Ragged:
        """The lists, ids as int32."""
        ends = np.cumsum([len(r) for r in rows], dtype=np.int64)
        flat = np.fromiter((t for r in rows for t in r), dtype=np.int32, count=int(ends[-1]) if len(ends) else 0)
        return Ragged(flat, ends)


@dataclass(frozen=True)
class Corpus:
    """The same pairs seen three ways; row i of each belongs to pair i. No row holds an end-of-text token.

    ``articles`` are cut at the length the corpus was made for, ``extracts`` are the article sentences that overlap
    most with the summary (:func:`oracle_sentences`).
    """

    articles: Ragged
    summaries: Ragged
    extracts: Ragged


def split_sentences(text: str) -> list[str]:
    """Sentences of an English text by a rule: a closing mark, white space, a capital or a digit."""
    return [s for s in _SENTENCE_END.split(text) if s] if text else []


def _ngrams(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return Counter([(w,) for w in words] + list(pairwise(words)))


def oracle_sentences(sentences: Sequence[str], summary: str, at_most: int) -> list[int]:
    """Indices, in article order, of the sentences that a greedy search picks to overlap most with `summary`.

    Overlap is the F1 of unigrams and bigrams together, after Nallapati et al. 2017 (SummaRuNNer, section 3), who
    use ROUGE; a sentence is added while F1 grows.
    """
    reference = _ngrams(summary)
    grams = [_ngrams(s) for s in sentences]
    chosen: list[int] = []
    total: Counter[tuple[str, ...]] = Counter()
    best = 0.0
    while len(chosen) < at_most:
        gains = []
        for i, gram in enumerate(grams):
            if i in chosen:
                continue
            merged = total + gram
            hit = sum(min(count, merged[g]) for g, count in reference.items())
            gains.append((2 * hit / max(1, sum(merged.values()) + sum(reference.values())), i))
        if not gains or max(gains)[0] <= best + 1e-9:
            break
        best, i = max(gains)
        chosen.append(i)
        total += grams[i]
    return sorted(chosen)


def build_corpus(pairs: Sequence[Pair], tokenizer, max_article: int, max_summary: int, cache: Path | None) -> Corpus:
    """Tokenize `pairs`; articles are cut to `max_article` tokens, summaries and extracts to `max_summary`.

    With `cache`, the arrays are kept there under a name made from the pairs, the tokenizer and the lengths.
    """
    file = None
    if cache:
        about = tokenizer_text(tokenizer), max_article, max_summary, EXTRACT_SENTENCES
        key = hashlib.sha256(repr(([(p.id, p.article, p.summary) for p in pairs], about)).encode())
        file = cache / f"corpus-{key.hexdigest()[:16]}.npz"
    if file and file.exists():
        a = np.load(file)
        return Corpus(*(Ragged(a[f"{n}_flat"], a[f"{n}_ends"]) for n in ("articles", "summaries", "extracts")))
    encode = lambda texts: tokenizer(texts, add_special_tokens=False).input_ids if texts else []  # noqa: E731
    articles, summaries, extracts = [], [], []
    for pair in tqdm(pairs, desc="tokenize", unit="pair"):
        sentences = split_sentences(pair.article)
        ids = encode(sentences)
        ends = np.cumsum([len(s) for s in ids])
        inside = [i for i, end in enumerate(ends) if end <= max_article]
        picked = oracle_sentences([sentences[i] for i in inside], pair.summary, EXTRACT_SENTENCES)
        # Whole sentences only: a cut one would teach to stop anywhere.
        while picked and sum(len(ids[i]) for i in picked) > max_summary:
            picked.pop()
        articles.append([t for s in ids for t in s][:max_article])
        summaries.append(encode([pair.summary])[0][:max_summary])
        extracts.append([t for i in picked for t in ids[i]])
    corpus = Corpus(Ragged.of(articles), Ragged.of(summaries), Ragged.of(extracts))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            file,
            **{f"{n}_{part}": getattr(getattr(corpus, n), part)
               for n in ("articles", "summaries", "extracts") for part in ("flat", "ends")},
        )  # fmt: skip
    return corpus
