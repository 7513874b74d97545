"""``python -m train ngram``: n-gram drafters of the orders 1 to 5 over the target's tokens.

Orders 2 to 5 are modified Kneser-Ney models (Chen and Goodman 1998) estimated by KenLM's lmplz. Each order is an
estimate of its own: the lower orders of one model count contexts, not occurrences, and are no models by themselves.
lmplz refuses order 1, so the unigram is estimated here.

The text is either the highlights of ``--data`` (kind ``baseline``) or the target's own summaries of ``--pseudo`` (kind
``distilled``), which may be mixed with highlights; the record names each part, its rows and how often it was taken.
Copies shift the counts of counts that the discounts and ``--prune`` go by: one copy of each is the sound choice. One
summary is one sentence: ``<s>`` is the decoder start, ``</s>`` the end-of-text token.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastllm.config import PRESETS
from fastllm.drafters.ngram import MAX_VOCAB, NgramDrafter
from fastllm.loading import LOADING
from fastllm.targets.sources import find as find_model
from train.arpa import EOS_ID, pack, read_arpa, save, without_mark
from train.checks import at_least
from train.data import HUB_NAME, load_pairs
from train.lmplz import find
from train.record import Record, file_sha256

ORDERS = (1, 2, 3, 4, 5)
BATCH = 1000  # summaries per tokenizer call


def sentence(ids: Sequence[int], eos_id: int = EOS_ID) -> list[int]:
    """Token ids up to, and without, the first end-of-text token."""
    ids = list(ids)
    return ids[: ids.index(eos_id)] if eos_id in ids else ids


def encode(tokenizer, texts: Sequence[str], eos_id: int = EOS_ID) -> list[list[int]]:
    """Texts as token ids without an end-of-text token."""
    rows: list[list[int]] = []
    for i in range(0, len(texts), BATCH):
        rows += tokenizer(list(texts[i : i + BATCH]), add_special_tokens=False).input_ids
    return [sentence(r, eos_id) for r in rows]


def read_pseudo(path: Path, vocab_size: int) -> list[list[int] | str]:
    """Rows of a pseudo-dataset: token ids where a row has them (``ids``), else its text (``summary``).

    Raises:
        FileNotFoundError, ValueError: no such file, or a line that is not such a row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no pseudo-dataset at {path}: make it with `python -m train pseudo`.")
    rows: list[list[int] | str] = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                ids = row.get("ids")
                rows.append(row["summary"] if ids is None else ids)
                if not isinstance(row["summary"], str):
                    raise KeyError("summary")
            except (json.JSONDecodeError, KeyError, AttributeError):
                raise ValueError(f"Line {number} of {path} is not a JSON object with a 'summary'.") from None
            if ids is not None:
                if not (isinstance(ids, list) and all(type(i) is int and 0 <= i < vocab_size for i in ids)):
                    raise ValueError(f"Line {number} of {path} has 'ids' that are not token ids below {vocab_size}.")
                if ids[:1] == [0]:
                    raise ValueError(f"Line {number} of {path} has 'ids' that begin with decoder start: leave it out.")
    return rows


def unigram_log10(sentences: Iterable[Sequence[int]], vocab_size: int, eos_id: int = EOS_ID) -> np.ndarray:
    """log10 P of each token, ends of text included, float32 (V,), summing to 1. A sentence that ends in the mark of cut
    texts, `vocab_size`, has no end.

    Absolute discounting interpolated with the uniform distribution (Ney et al. 1994): each of T tokens seen gives up D
    of its count, and all V tokens share D T / n. D = n1 / (n1 + 2 n2), nk being how many were seen k times; 0.5 where
    n1 = 0.
    """
    counts = np.zeros(vocab_size, np.int64)
    for ids in sentences:
        np.add.at(counts, ids[:-1] if ids[-1:] == [vocab_size] else [*ids, eos_id], 1)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5
    seen = int((counts > 0).sum())
    p = (np.maximum(counts - discount, 0.0) + discount * seen / vocab_size) / counts.sum()
    return np.log10(p).astype(np.float32)


def run_lmplz(
    corpus: Path, arpa: Path, order: int, vocab_size: int, prune: Sequence[int], fallback: bool, memory: str
) -> None:
    """Estimate an ARPA file from a text of token ids, a sentence a line.

    ``--vocab_pad`` makes the uniform distribution under the unigrams one over the target's whole vocabulary, so that
    every id that the text lacks has the probability of ``<unk>`` and all of them sum to 1.

    Raises:
        ValueError: lmplz failed; with its reason.
    """
    command = [str(find()), "-o", str(order), "--text", str(corpus), "--arpa", str(arpa), "-S", memory]
    command += ["-T", str(arpa.parent / "sort"), "--vocab_pad", str(vocab_size)]
    if any(prune[:order]):
        command += ["--prune", *map(str, prune[:order])]
    if fallback:
        command += ["--discount_fallback"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        if "discount" in done.stderr:
            raise ValueError(f"This text is too small or too repetitive for order {order}: add --discount-fallback.")
        reason = (done.stderr.strip().splitlines() or ["it gave none"])[-1]
        raise ValueError(f"lmplz failed at order {order}, its reason: {reason}")


def perplexity(drafter: NgramDrafter, sentences: Sequence[Sequence[int]], eos_id: int = EOS_ID) -> float:
    """Perplexity per token, ends of text included, of a drafter that sees the true prefix."""
    total, tokens = 0.0, 0
    for ids in sentences:
        text = [*ids, eos_id]
        total -= sum(float(drafter.log_probs(text[:i])[token]) for i, token in enumerate(text))
        tokens += len(text)
    return math.exp(total / tokens)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=None, help=f"highlights: hub name, parquet or jsonl (default {HUB_NAME})")
    parser.add_argument("--split", default="train")
    parser.add_argument("--limit", type=int, default=None, help="use at most so many highlights")
    parser.add_argument("--pseudo", type=Path, default=None, help="jsonl of the target's summaries: kind 'distilled'")
    parser.add_argument("--pseudo-copies", type=int, default=1, help="take each pseudo-summary so many times")
    parser.add_argument("--mix-highlights", type=int, default=0, help="with --pseudo: add --data so many times")
    parser.add_argument("--tokenizer", default="checkpoints/mini/target", help="preset, folder or hub name")
    parser.add_argument("--vocab-size", type=int, default=None, help="columns of the target's logits (default: asked)")
    parser.add_argument("--eos-id", type=int, default=None, help="end-of-text token (default: the tokenizer's)")
    parser.add_argument("--orders", type=_ints, default=ORDERS, help="for example 1,2,3,4,5")
    parser.add_argument("--prune", type=_ints, default=(0, 0, 1, 1, 1), help="per order, drop n-grams seen so often")
    parser.add_argument("--discount-fallback", action="store_true", help="for texts too small for their own discounts")
    parser.add_argument("--memory", default="1G", help="what lmplz may use for sorting")
    parser.add_argument("--heldout", default=None, help="pairs whose highlights give the perplexity in the record")
    parser.add_argument("--heldout-limit", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True, help="folder, for example checkpoints/mini/ngram-baseline")


def _ints(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _check(args: argparse.Namespace) -> None:
    at_least(1, args, "limit", "heldout_limit", "vocab_size")
    at_least(0, args, "eos_id")
    if not args.orders or not set(args.orders) <= set(ORDERS):
        raise ValueError(f"--orders takes numbers from 1 to {ORDERS[-1]}, not {','.join(map(str, args.orders))}.")
    if len(args.prune) < max(args.orders) or list(args.prune) != sorted(args.prune) or args.prune[0] != 0:
        raise ValueError("--prune takes a number per order, the first 0, none less than the one before: 0,0,1,1,1.")
    if args.pseudo_copies < 1 or args.mix_highlights < 0:
        raise ValueError("--pseudo-copies takes 1 or more, --mix-highlights 0 or more.")
    if args.pseudo and args.data and not args.mix_highlights:
        raise ValueError("--data is not used beside --pseudo: add --mix-highlights 1, or leave --data out.")
    if args.mix_highlights and not args.pseudo:
        raise ValueError("--mix-highlights needs --pseudo: without it, the highlights are all there is.")


def _vocab_size(name: str, tokenizer) -> int:
    """Columns of the target's logits: as its configuration says, or the length of the tokenizer where it has none."""
    from transformers import AutoConfig

    try:
        with LOADING:
            return AutoConfig.from_pretrained(name).vocab_size
    except (OSError, ValueError):
        return len(tokenizer)


def _eos_id(args: argparse.Namespace, tokenizer: Callable[[], Any]) -> int:
    """The token that ends the target's texts: 1 for a T5, other ones for other families.

    Raises:
        ValueError: there is no tokenizer to ask, or it has none.
    """
    found = args.eos_id if args.eos_id is not None else tokenizer().eos_token_id
    if found is None:
        raise ValueError(f"The tokenizer of {args.tokenizer} names no end-of-text token: give --eos-id.")
    return int(found)


def run(args: argparse.Namespace) -> None:
    """``python -m train ngram``: one ``ngram-N.safetensors`` per order, and ``record.json``."""
    _check(args)
    if max(args.orders) > 1:
        find()
    kind = "distilled" if args.pseudo else "baseline"
    highlights = (args.data or HUB_NAME) if args.mix_highlights or not args.pseudo else None
    sources = [str(s) for s in (args.pseudo, highlights) if s]
    record = Record("ngram", vars(args), sources)

    where = str(find_model(PRESETS[args.tokenizer])) if args.tokenizer in PRESETS else args.tokenizer
    loaded: list[Any] = []  # the tokenizer, loaded only if some text needs it

    def tokenizer():
        if not loaded:
            from transformers import AutoTokenizer

            try:
                with LOADING:
                    loaded.append(AutoTokenizer.from_pretrained(where))
            except OSError:
                raise ValueError(f"There is no tokenizer at {args.tokenizer}: give --tokenizer.") from None
        return loaded[0]

    vocab_size = args.vocab_size or _vocab_size(where, tokenizer())
    if vocab_size > MAX_VOCAB:
        raise ValueError(f"A vocabulary of {vocab_size} tokens is too large: n-gram files hold {MAX_VOCAB} at most.")
    rows = read_pseudo(args.pseudo, vocab_size) if args.pseudo else []
    pairs = load_pairs(highlights, args.split, args.limit) if highlights else []
    eos_id = _eos_id(args, tokenizer)
    sentences: list[list[int]] = []
    parts = []
    if args.pseudo:
        texts = [r for r in rows if isinstance(r, str)]
        own = [r for r in rows if not isinstance(r, str)]
        # A summary that the length limit cut off ends in a mark, lest it teach an end where none was.
        part = [sentence(r, eos_id) if eos_id in r else [*r, vocab_size] for r in own]
        part += encode(tokenizer(), texts, eos_id) if texts else []
        sentences += part * args.pseudo_copies
        cut = sum(eos_id not in r for r in own)
        parts.append({"text": "pseudo-summaries", "rows": len(part), "copies": args.pseudo_copies, "cut": cut})
    if highlights:
        part = encode(tokenizer(), [p.summary for p in pairs], eos_id)
        copies = args.mix_highlights if args.pseudo else 1
        sentences += part * copies
        parts.append({"text": "highlights", "rows": len(part), "copies": copies})
    sentences = [s for s in sentences if s and s != [vocab_size]]
    if not sentences:
        raise ValueError(f"There is no summary in {' and '.join(sources)}.")
    marked = any(s[-1] == vocab_size for s in sentences)
    if (
        largest := max(max((t for t in s if t != vocab_size or not marked), default=0) for s in sentences)
    ) >= vocab_size:
        raise ValueError(f"The text has the token {largest}, beyond the vocabulary of {vocab_size}: see --tokenizer.")
    heldout = None
    if args.heldout:
        heldout = encode(tokenizer(), [p.summary for p in load_pairs(args.heldout, limit=args.heldout_limit)], eos_id)

    about = " + ".join(f"{p['rows']} {p['text']} x {p['copies']}" for p in parts)
    args.out.mkdir(parents=True, exist_ok=True)
    models = {}
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus.txt"
        corpus.write_text("".join(" ".join(map(str, s)) + "\n" for s in sentences))
        for order in args.orders:
            file = args.out / f"ngram-{order}.safetensors"
            if order == 1:
                arrays, rounding = {"unigram": unigram_log10(sentences, vocab_size, eos_id)}, 0.0
            else:
                arpa = Path(scratch) / "model.arpa"
                run_lmplz(corpus, arpa, order, vocab_size + marked, args.prune, args.discount_fallback, args.memory)
                model = read_arpa(arpa, vocab_size + marked, eos_id)
                arrays, rounding = pack(*(without_mark(*model, vocab_size) if marked else model), vocab_size)
            save(arrays, file, order, kind, about)
            drafter = NgramDrafter.load(file, vocab_size)
            models[file.name] = {
                "bytes": drafter.size_bytes,
                "sha256": drafter.sha256,
                "ngrams": {n: len(arrays[f"{n}.token"]) for n in range(2, order + 1)},
                "contexts": {n: len(arrays[f"{n}.context"]) for n in range(2, order + 1)},
                "largest_rounding_log10": float(f"{rounding:.2g}"),
            }
            if heldout:
                models[file.name]["heldout_perplexity"] = round(perplexity(drafter, heldout, eos_id), 2)
            print(f"{file}: {json.dumps({k: v for k, v in models[file.name].items() if k != 'sha256'})}", flush=True)
    record.notes |= {
        "kind": kind,
        "text": parts,
        "summaries": len(sentences),
        "tokens": sum(map(len, sentences)) + len(sentences) - 2 * sum(s[-1] == vocab_size for s in sentences),
        "vocab_size": vocab_size,
        "eos_id": eos_id,
        "lmplz_sha256": file_sha256(find()) if max(args.orders) > 1 else None,
        "models": models,
    }
    record.write(args.out / "record.json")
