"""``python -m train headline``: README's short table of all targets, a row a drafter, from their recorded benchmarks.

Measures nothing: it reads what ``train evaluate --json assets`` left.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from fastllm.config import ASSETS, PRESETS
from fastllm.recorded import EMBEDDED, recorded_file
from train.results import key_of, method_of
from train.table import check_marks, measured, write_between

MARK = "headline"
LEFT_OUT = "@baseline"  # what distillation bought has a table of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, default=None, help="write the table into this file, between its marks")


def _fastest(result: dict) -> dict[tuple[str, float], dict]:
    """Drafter and temperature -> row of the draft length that was measured fastest, of Algorithm 1 alone."""
    best = {key_of(b): b["measured_gamma"] for b in result["best"]}
    return {
        (row["drafter"], row["temperature"]): row
        for row in result["rows"]
        if row["gamma"] == best[key_of(row)]
        and method_of(row)["rule"] == "token"
        and method_of(row)["lengths"] == "constant"
        and not row["drafter"].endswith(LEFT_OUT)
    }


def _speedup(row: dict | None) -> str:
    if row is None:
        return "–"
    return measured(row) if row["measured_speedup"] is None else f"{measured(row)}, γ {row['gamma']}"


def headline(results: Sequence[dict]) -> str:
    """Markdown: a row a drafter, for each target the mean beta and the speedup at T = 0 and at T = 1."""
    names = [r["target"]["name"] for r in results]
    fastest = [_fastest(r) for r in results]
    temperatures = sorted({t for found in fastest for _, t in found})
    drafters = dict.fromkeys(d for found in fastest for d, _ in found)
    head = ["drafter"]
    for name in names:
        head += [f"`{name}`: β at T = {temperatures[0]:g}", *(f"faster at T = {t:g}" for t in temperatures)]
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --: |" * (len(head) - 1)]
    for drafter in drafters:
        cells = [f"`{drafter.removesuffix('@distilled')}`"]
        for found in fastest:
            first = found.get((drafter, temperatures[0]))
            cells.append("–" if first is None or first["mean_beta"] is None else f"{first['mean_beta']:.2f}")
            cells += [_speedup(found.get((drafter, t))) for t in temperatures]
        lines.append(f"| {' | '.join(cells)} |")
    articles = ", ".join(f"{r['articles']} articles for `{n}`" for r, n in zip(results, names, strict=True))
    return "\n".join([*lines, "", f"Measured on {articles}."])


def files() -> list[Path]:
    """The recorded benchmarks in assets/, those of targets beside the embedded one first."""
    found = (recorded_file("benchmark", name) for name in sorted(PRESETS, key=lambda n: n == EMBEDDED))
    return [f for f in found if f.is_file()]


def run(args: argparse.Namespace) -> None:
    """Print the table, and write it where it was asked for."""
    if args.table:
        check_marks(args.table, MARK)
    results = [json.loads(f.read_text(encoding="utf-8")) for f in files()]
    if not results:
        raise ValueError(f"{ASSETS.name}/ holds no benchmark: make one with `python -m train evaluate --json assets`.")
    table = headline(results)
    print(table)
    if args.table:
        write_between(args.table, MARK, table)
