"""``python -m train data``: clean CNN/DailyMail pairs into one jsonl file, for the other steps to read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from train.data import HUB_NAME, load_pairs
from train.record import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=HUB_NAME, help="hub name, .parquet or .jsonl file, or folder of parquet")
    parser.add_argument("--split", default="train")
    parser.add_argument("--limit", type=int, default=None, help="use at most so many pairs")
    parser.add_argument("--out", type=Path, required=True, help="the cleaned pairs as one .jsonl file")


def run(args: argparse.Namespace) -> None:
    """``python -m train data``: write cleaned pairs as jsonl, for the other steps to read."""
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
