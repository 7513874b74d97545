"""CNN/DailyMail pairs, from the hub or from local files, cleaned the same way wherever they come from."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HUB_NAME, HUB_CONFIG = "abisee/cnn_dailymail", "3.0.0"
MIN_ARTICLE_WORDS, MAX_SUMMARY_WORDS = 60, 90

# "LONDON, England (CNN) -- ", "(CNN)", "By . Jane Doe . " openings: agency marks, not news.
_AGENCY = re.compile(r"^(?:[A-Z][\w .,'’-]{0,50}?)?\((?:CNN|CNN Student News|Reuters|AP)\)\s*(?:--|-|—)?\s*")
_NEW = re.compile(r"^\s*NEW:\s*", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Pair:
    """One article and its reference summary (the highlights joined into one paragraph)."""

    id: str
    article: str
    summary: str


def clean_article(text: str) -> str:
    """Article text with a leading agency mark removed and white space collapsed."""
    return _AGENCY.sub("", _SPACE.sub(" ", text).strip(), count=1)


def clean_highlights(text: str) -> str:
    """Highlight lines joined by spaces, each closed by a full stop, without ``NEW:``."""
    lines = (_SPACE.sub(" ", _NEW.sub("", line)).strip() for line in text.split("\n"))
    closed = (re.sub(r"\s+([.,!?])", r"\1", line) for line in lines if line)
    return " ".join(line if line[-1] in ".!?\"'”’" else line + "." for line in closed)


def is_usable(pair: Pair) -> bool:
    """Whether a pair is long enough to learn from and its summary short enough to be one."""
    return len(pair.article.split()) >= MIN_ARTICLE_WORDS and 0 < len(pair.summary.split()) <= MAX_SUMMARY_WORDS


def load_rows(source: str, split: str = "train") -> Iterator[dict]:
    """Raw rows of a source, through ``datasets``.

    Args:
        source: a ``.parquet``, ``.jsonl`` or ``.json`` file, a folder of parquet files, or the name of a hub data set
            (``abisee/cnn_dailymail`` is read in its configuration 3.0.0).
        split: the split of a hub data set; local files have none.

    Raises:
        FileNotFoundError: the source looks like a local file and is not there.
    """
    from datasets import load_dataset

    path = Path(source)
    if path.suffix in (".parquet", ".jsonl", ".json"):
        if not path.is_file():
            raise FileNotFoundError(f"There is no data file at {source}.")
        kind = "parquet" if path.suffix == ".parquet" else "json"
        rows = load_dataset(kind, data_files=str(path), split="train")
    elif path.is_dir():
        rows = load_dataset("parquet", data_files=str(path / f"{split}*.parquet"), split="train")
    else:
        rows = load_dataset(source, HUB_CONFIG if source == HUB_NAME else None, split=split)
    yield from rows


def load_pairs(source: str, split: str = "train", limit: int | None = None) -> list[Pair]:
    """Cleaned, usable pairs of a source, in its order, at most ``limit`` of them.

    Raises:
        ValueError: the source has no columns ``article`` and ``highlights``.
    """
    pairs: list[Pair] = []
    for i, row in enumerate(load_rows(source, split)):
        if "article" not in row or "highlights" not in row:
            raise ValueError(f"{source} needs the columns 'article' and 'highlights'; it has {sorted(row)}.")
        pair = Pair(str(row.get("id", i)), clean_article(row["article"]), clean_highlights(row["highlights"]))
        if is_usable(pair):
            pairs.append(pair)
        if limit is not None and len(pairs) >= limit:
            break
    return pairs


def sample_pairs(source: str, split: str, at_most: int, seed: int = 0) -> list[Pair]:
    """Usable pairs drawn without replacement from the whole source; a smaller draw is a larger one's beginning.

    A source may be sorted: the first 500 rows of our validation file come from one collection, whose highlights are a
    third shorter than the rest's.
    """
    pairs = load_pairs(source, split)
    return [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))[:at_most]]


def load_texts(source: str, limit: int | None = None) -> list[str]:
    """Plain texts (column ``text``) for the tokenizer and for learning to copy."""
    texts = []
    for row in load_rows(source):
        texts.append(_SPACE.sub(" ", row["text"]).strip())
        if limit is not None and len(texts) >= limit:
            break
    return texts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=HUB_NAME, help="hub name, .parquet or .jsonl file, or folder of parquet")
    parser.add_argument("--split", default="train")
    parser.add_argument("--limit", type=int, default=None, help="use at most so many pairs")
    parser.add_argument("--out", type=Path, required=True, help="the cleaned pairs as one .jsonl file")


def run(args: argparse.Namespace) -> None:
    """``python -m train data``: write cleaned pairs as jsonl, for the other steps to read."""
    import json

    from train.record import Record

    record = Record("data", vars(args), [args.data])
    pairs = load_pairs(args.data, args.split, args.limit)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", encoding="utf-8") as f:
        for pair in pairs:
            row = {"id": pair.id, "article": pair.article, "highlights": pair.summary}
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
    record.notes["pairs"] = len(pairs)
    record.write(args.out.with_suffix(".record.json"))
    print(f"{len(pairs)} pairs in {args.out}")
