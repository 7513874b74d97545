"""``python -m train calls``: milliseconds of a target call by the tokens it scores, on each engine, beside the floor.

The floor is the bytes of weights that a call must read over the memory bandwidth that this machine reaches in a plain
sum over memory: no engine that keeps float32 weights outside the processor's caches can be faster. Speculative decoding
lives from the flat part of this curve, where a call waits for memory and a further token costs nearly nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fastllm import console
from fastllm.publishable import without_folders
from fastllm.targets.base import Target
from fastllm.targets.load import load_target
from train.checks import at_least
from train.files import write_json
from train.record import Record

LENGTHS = (1, 2, 3, 4, 5, 7, 9, 13, 17)
ENGINES = ("onnx", "torch")
# Tokens of text before the ones that are scored.
BEFORE = 30
# Float32 numbers that are summed to measure the bandwidth: far more than a cache holds.
NUMBERS = 64 * 2**20
ARTICLE = (
    "Two tugs towed a ferry with 214 passengers back to the quay of Port Ellery on Tuesday, after its engine had "
    "stopped in the harbour mouth. Nobody was hurt. The harbour master, Ines Calder, said that a fuel pump had failed "
    "and that divers would look at the hull before the ferry sails again on Friday. "
) * 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", default="mini")
    parser.add_argument("--repeats", type=int, default=40, help="calls of each length on each engine")
    parser.add_argument("--json", type=Path, default=None, help="file of curves by target, to put this one into")


def bytes_of_a_call(model: Any) -> int:
    """Bytes of float32 weights that a decoder call reads: all of the decoder and the output matrix.

    Not the rows of the embedding that it looks up, nor a T5's cross-attention keys and values, computed once a text.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings().weight
    table = model.get_input_embeddings().weight.data_ptr()
    counted = {head.data_ptr(): head.numel()}
    for name, weight in decoder.named_parameters():
        if weight.data_ptr() != table and ".EncDecAttention.k." not in name and ".EncDecAttention.v." not in name:
            counted[weight.data_ptr()] = weight.numel()
    return 4 * sum(counted.values())


def bandwidth(repeats: int = 12) -> float:
    """Bytes a second of summing an array that no cache holds: the best of `repeats`."""
    numbers = torch.ones(NUMBERS)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        numbers.sum()
        best = min(best, time.perf_counter() - started)
    return 4 * NUMBERS / best


def curves(targets: Sequence[Target], lengths: Sequence[int], repeats: int) -> list[list[float]]:
    """Median milliseconds of a call on each target, by tokens scored.

    Engines take turns, so that both see the same minutes; each begins its turn with calls that are not counted, because
    the other's weights fill the caches, and goes through the lengths in another order every turn, so that none is
    always the first.
    """
    sessions = [t.open(ARTICLE) for t in targets]
    text = [int(t) for t in torch.randint(3, 200, (BEFORE + max(lengths),), generator=torch.Generator().manual_seed(1))]
    seconds: list[list[list[float]]] = [[[] for _ in lengths] for _ in targets]
    order = random.Random(0)
    for turn in range(repeats + 2):
        for session, kept in zip(sessions, seconds, strict=True):
            counted = order.sample(range(len(lengths)), len(lengths))
            for place, i in enumerate([*counted[-2:], *counted]):
                session.score(text[:BEFORE])  # cuts the cache to what stands before
                started = time.perf_counter()
                session.score(text[: BEFORE + 1], text[BEFORE + 1 : BEFORE + lengths[i]])
                if turn >= 2 and place >= 2:  # warmed up
                    kept[i].append(time.perf_counter() - started)
    for session in sessions:
        session.close()
    return [[1e3 * statistics.median(times) for times in kept] for kept in seconds]


def kept_in(file: Path | None) -> dict[str, Any]:
    """The curves that `file` holds, by target; empty where there is none.

    Raises:
        ValueError: it holds something else, which would be lost.
    """
    if file is None or not file.exists():
        return {}
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise ValueError(f"{file} is no file of curves by target to put another into: give --json another.")
    return kept


def run(args: argparse.Namespace) -> None:
    """Measure, print the curve, and put it into the file."""
    at_least(1, args, "repeats")
    kept_in(args.json)  # before the work
    record = Record("calls", vars(args), [])
    target = load_target(args.target)
    names = [n for n in ENGINES if n == "torch" or target.engine.name == "onnx"]
    targets = [target if target.engine.name == n else load_target(args.target, engine=n) for n in names]
    console.tell(target.notes)
    reached, size = bandwidth(), bytes_of_a_call(target.model)
    measured = curves(targets, LENGTHS, args.repeats)
    result = {
        "sha256": target.sha256,
        "lengths": list(LENGTHS),
        "ms": {n: [round(x, 3) for x in ms] for n, ms in zip(names, measured, strict=True)},
        "bytes": size,
        "bandwidth": round(reached),
        "floor_ms": round(1e3 * size / reached, 3),
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        **record.as_dict(),
    }
    print(
        f"{args.target}: {size / 1e6:.1f} MB of weights a call over {reached / 1e9:.1f} GB/s are "
        f"{result['floor_ms']} ms at least"
    )
    for name, ms in result["ms"].items():
        print(f"{name}: " + ", ".join(f"{k}: {x:.2f} ms ({x / ms[0]:.2f})" for k, x in zip(LENGTHS, ms, strict=True)))
    if args.json:
        write_json(args.json, {**kept_in(args.json), without_folders(args.target): result})
