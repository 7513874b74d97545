"""``python -m train pseudo``: the target summarises articles, and its summaries become the pseudo-dataset.

Sequence-level knowledge distillation (Kim & Rush 2016, section 3.2) trains a drafter on what the target says, made
from the *article*, not on the reference summary. Rows are appended as they are made, so a cut run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from fastllm import console
from fastllm.config import Sampling
from fastllm.targets.load import load_target
from train.batches import pseudo_row
from train.checks import at_least
from train.claim import claim
from train.content import content_of, fingerprint
from train.data import HUB_NAME, Pair, load_pairs
from train.record import Record
from train.summaries import generate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="articles: hub name, parquet or jsonl")
    parser.add_argument("--split", default="train")
    parser.add_argument("--limit", type=int, default=None, help="summarise at most so many articles of this shard")
    parser.add_argument("--out", type=Path, required=True, help="the pseudo-dataset, jsonl: id, summary, ids")
    parser.add_argument("--shard", default="0/1", help="K/N: articles K, K+N, K+2N, ... so that N machines can share")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--max-new-tokens", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default=None)
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch; also ENGINE=")


def shard_of(pairs: Sequence[Pair], shard: str) -> list[Pair]:
    """The pairs of shard ``K/N``.

    Raises:
        ValueError: not of the form K/N with 0 <= K < N.
    """
    k, _, n = shard.partition("/")
    if not (k.isdigit() and n.isdigit() and int(k) < int(n)):
        raise ValueError(f"--shard must be K/N with K below N, such as 0/2, not {shard!r}.")
    return list(pairs[int(k) :: int(n)])


def done_ids(out: Path) -> set[str]:
    """Ids already in the file; a last line that a cut left incomplete is removed from it.

    Raises:
        ValueError: a whole line that is no row of a pseudo-dataset, by its number.
    """
    if not out.exists():
        return set()
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    lines = enumerate(whole.split("\n"), 1)  # not splitlines: a summary may hold other line separators
    return {pseudo_row(line, number, out)[0] for number, line in lines if line.strip()}


def run(args: argparse.Namespace) -> None:
    """Summarise what the file does not hold yet."""
    at_least(1, args, "limit", "batch_size", "max_new_tokens")
    at_least(0, args, "seed")
    Sampling(args.temperature)
    if args.out.suffix != ".jsonl" or args.out.is_dir():
        raise ValueError(f"--out must be a .jsonl file, not {args.out}.")
    record = Record("pseudo", vars(args), [args.data])
    target = load_target(args.target, args.device, args.engine)
    console.tell(target.notes)
    limit = args.max_new_tokens or target.preset.max_new_tokens
    made = {
        "target": fingerprint(target),
        "data": content_of(args.data),
        "split": args.split,
        "temperature": args.temperature,
        "max_new_tokens": limit,
        "seed": args.seed,
    }
    pairs = shard_of(load_pairs(args.data, args.split), args.shard)[: args.limit]
    if not pairs:
        raise ValueError(f"Shard {args.shard} of {args.data} holds no article: give fewer shards.")
    claim(args.out, made, "a pseudo-dataset", args.out.exists() and args.out.stat().st_size > 0)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = done_ids(args.out)
    todo = [p for p in pairs if p.id not in done]
    # Articles of like length share a batch.
    todo.sort(key=lambda p: min(len(p.article), 8 * target.preset.max_article_tokens))
    with open(args.out, "a", encoding="utf-8") as f, tqdm(total=len(todo), unit="article", mininterval=5) as bar:
        at = 0
        for batch in generate(target, [p.article for p in todo], args.temperature, limit, args.batch_size, args.seed):
            for pair, ids in zip(todo[at : at + len(batch)], batch, strict=True):
                row = {"id": pair.id, "summary": target.text(ids), "ids": ids}
                f.write(json.dumps(row, ensure_ascii=False) + "\n")
            f.flush()
            at += len(batch)
            bar.update(len(batch))
    record.notes |= {"articles": len(pairs), "made_now": len(todo), "target_sha256": target.sha256}
    record.write(args.out.with_suffix(".record.json"))
    print(f"{len(pairs)} summaries in {args.out}")
