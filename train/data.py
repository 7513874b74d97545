"""CNN/DailyMail pairs, from the hub or from local files, cleaned the same way wherever they come from."""

from __future__ import annotations

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
        FileNotFoundError: the source looks like a local file and is not there, or is a folder without one.
        ValueError: it is a file of another kind, empty or damaged.
    """
    from datasets import load_dataset

    path = Path(source)
    if path.suffix in (".parquet", ".jsonl", ".json"):
        if not path.is_file():
            raise FileNotFoundError(f"There is no data file at {source}.")
        kind = "parquet" if path.suffix == ".parquet" else "json"
        if path.stat().st_size == 0:
            raise ValueError(f"{source} is empty.")
        try:
            rows = load_dataset(kind, data_files=str(path), split="train")
        # Each reader has errors of its own; datasets wraps some of them.
        except Exception as error:
            reason = str(error.__cause__ or error).strip().splitlines()
            raise ValueError(f"{source} cannot be read as {kind}: {reason[0] if reason else 'damaged'}") from None
    elif path.is_dir():
        if not any(path.glob(f"{split}*.parquet")):
            raise FileNotFoundError(f"The folder {source} holds no {split}*.parquet: give a folder or file of pairs.")
        rows = load_dataset("parquet", data_files=str(path / f"{split}*.parquet"), split="train")
    elif path.exists():
        raise ValueError(f"{source} is no .parquet, .jsonl or .json file: give one of these, or a hub name.")
    else:
        rows = load_dataset(source, HUB_CONFIG if source == HUB_NAME else None, split=split)
    yield from rows


def load_pairs(source: str, split: str = "train", limit: int | None = None) -> list[Pair]:
    """Cleaned, usable pairs of a source, in its order, at most ``limit`` of them.

    Raises:
        ValueError: the source has no columns ``article`` and ``highlights``, a cell that is no text, two texts of one
            id, or no usable pair.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"The limit of pairs must be 1 or more, not {limit}.")
    pairs: list[Pair] = []
    rows = 0
    known: dict[str, tuple[int, int]] = {}  # id: its row, and what stands there
    for i, row in enumerate(load_rows(source, split)):
        if "article" not in row or "highlights" not in row:
            raise ValueError(f"{source} needs the columns 'article' and 'highlights'; it has {sorted(row)}.")
        rows += 1
        article, highlights = (_text_of(row, name, i + 1, source) for name in ("article", "highlights"))
        pair = Pair(_id_of(row, i + 1, source), clean_article(article), clean_highlights(highlights))
        first, text = known.setdefault(pair.id, (i + 1, hash((article, highlights))))
        if text != hash((article, highlights)):
            raise ValueError(f"Row {i + 1} of {source} has the id {pair.id!r} of row {first}: give each its own.")
        if first == i + 1 and is_usable(pair):
            pairs.append(pair)
        if limit is not None and len(pairs) >= limit:
            break
    if not pairs:
        raise ValueError(
            f"{source} has no usable pair among {rows} rows: an article needs {MIN_ARTICLE_WORDS} words or more, its "
            f"highlights 1 to {MAX_SUMMARY_WORDS}."
        )
    return pairs


def _id_of(row: dict, number: int, source: str) -> str:
    """A row's id; its place in the file, counted from 0, where it has none.

    Raises:
        ValueError: it is neither text nor a whole number.
    """
    value = row.get("id")
    if value is None or value == "":
        return str(number - 1)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"Row {number} of {source} has a value of type {type(value).__name__} as 'id', not text.")
    return str(value)


def _text_of(row: dict, name: str, number: int, source: str) -> str:
    """A cell that must be text.

    Raises:
        ValueError: it is empty or something else, with the row's number, counted from 1.
    """
    value = row[name]
    if value is None:
        raise ValueError(f"Row {number} of {source} has no {name!r}: fill it in, or leave the row out.")
    if not isinstance(value, str):
        raise ValueError(f"Row {number} of {source} has a value of type {type(value).__name__} as {name!r}, not text.")
    return value


def sample_pairs(source: str, split: str, at_most: int, seed: int = 0) -> list[Pair]:
    """Usable pairs drawn without replacement from the whole source; a smaller draw is a larger one's beginning.

    A source may be sorted: the first 500 rows of our validation file come from one collection, whose highlights are a
    third shorter than the rest's.
    """
    pairs = load_pairs(source, split)
    return [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))[:at_most]]


def load_texts(source: str, limit: int | None = None) -> list[str]:
    """Plain texts (column ``text``) for the tokenizer and for learning to copy.

    Raises:
        ValueError: there is no such column, a cell that is no text, or no row.
    """
    texts: list[str] = []
    for row in load_rows(source):
        if "text" not in row:
            raise ValueError(f"{source} needs the column 'text'; it has {sorted(row)}.")
        texts.append(_SPACE.sub(" ", _text_of(row, "text", len(texts) + 1, source)).strip())
        if limit is not None and len(texts) >= limit:
            break
    if not texts:
        raise ValueError(f"{source} holds no text.")
    return texts
