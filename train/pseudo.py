"""``python -m train pseudo``: the target summarises articles, and its summaries become the pseudo-dataset.

Sequence-level knowledge distillation (Kim & Rush 2016, section 3.2) trains a drafter on what the target says, made
from the *article*, not on the reference summary. Rows are appended as they are made, so a cut run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from fastllm.target import Target, load_target
from train.data import HUB_NAME, Pair, load_pairs
from train.record import Record


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
    """Ids already in the file; a last line that a cut left incomplete is removed from it."""
    if not out.exists():
        return set()
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    return {json.loads(line)["id"] for line in whole.splitlines()}


@torch.inference_mode()
def generate(
    target: Target, articles: Sequence[str], temperature: float, max_new_tokens: int, batch_size: int
) -> Iterator[list[list[int]]]:
    """Batches of summaries as token ids, end-of-text included where it came, decoder start left out."""
    preset, tokenizer = target.preset, target.tokenizer
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    for at in range(0, len(articles), batch_size):
        texts = [preset.prefix + a for a in articles[at : at + batch_size]]
        encoded = tokenizer(
            texts, padding=True, truncation=True, max_length=preset.max_article_tokens, return_tensors="pt"
        ).to(target.device)
        out = target.model.generate(
            **encoded,
            **sampling,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            no_repeat_ngram_size=preset.no_repeat_ngram_size,
        )
        yield [until_eos(row[1:], target.eos_id) for row in out.tolist()]


def until_eos(ids: list[int], eos_id: int) -> list[int]:
    """`ids` up to and with the first end-of-text token; padding after it is dropped."""
    return ids[: ids.index(eos_id) + 1] if eos_id in ids else ids


def run(args: argparse.Namespace) -> None:
    """Summarise what the file does not hold yet."""
    record = Record("pseudo", vars(args), [args.data])
    torch.manual_seed(args.seed)
    target = load_target(args.target, args.device)
    pairs = shard_of(load_pairs(args.data, args.split), args.shard)[: args.limit]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = done_ids(args.out)
    todo = [p for p in pairs if p.id not in done]
    limit = args.max_new_tokens or target.preset.max_new_tokens
    # Articles of like length share a batch.
    todo.sort(key=lambda p: min(len(p.article), 8 * target.preset.max_article_tokens))
    with open(args.out, "a", encoding="utf-8") as f, tqdm(total=len(todo), unit="article", mininterval=5) as bar:
        at = 0
        for batch in generate(target, [p.article for p in todo], args.temperature, limit, args.batch_size):
            for pair, ids in zip(todo[at : at + len(batch)], batch, strict=True):
                row = {"id": pair.id, "summary": target.text(ids), "ids": ids}
                f.write(json.dumps(row, ensure_ascii=False) + "\n")
            f.flush()
            at += len(batch)
            bar.update(len(batch))
    record.notes |= {"articles": len(pairs), "made_now": len(todo), "target_sha256": target.sha256}
    record.write(args.out.with_suffix(".record.json"))
    print(f"{len(pairs)} summaries in {args.out}")
