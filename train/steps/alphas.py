"""``python -m train alphas``: what each way of teaching made of each drafter, from the records of those runs.

Measures nothing itself: it collects the ``record.json`` of ``train drafter`` runs that began from the same weights and
took the same number of steps, into one JSON and the table of alpha by drafter and recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from fastllm.recorded import recorded_name, recorded_place
from train.files import write_json
from train.record import Record
from train.table import check_marks, write_between


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="record.json of each run")
    parser.add_argument("--json", type=Path, default=None, help="file, or folder such as assets")
    parser.add_argument("--table", type=Path, default=None, help="write the table into this file, between its marks")


def _folder(init: str | None) -> str | None:
    """The name of a run whose weights were begun with; what it made may lie in a folder `out` of it."""
    return None if init is None else Path(init.removesuffix("/out")).name


def row_of(record: dict) -> dict:
    """The figures of one run: its best measurement of alpha, and where it began."""
    arguments, recipe, best = record["arguments"], record["recipe"], record["best"]
    return {
        "family": arguments["family"],
        "recipe": recipe["name"],
        "loss": recipe["loss"],
        "on_policy": recipe["on_policy"],
        "source": recipe["source"],
        "init": _folder(arguments["init"]),
        "steps": arguments["steps"],
        "batch_size": arguments["batch_size"],
        "examples": record["examples"],
        "alpha_articles": arguments["alpha_articles"],
        "alpha_greedy": best["greedy"],
        "alpha_sampled": best["sampled"],
        "at_step": best["step"],
        "seconds": record["seconds"],
        "target_sha256": record["target_sha256"],
        "weights_sha256": record.get("weights_sha256"),
        "command": record["command"],
    }


def _read(file: Path) -> dict:
    """The record of a drafter run.

    Raises:
        ValueError: it is something else.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        row_of(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{file} is no record of `python -m train drafter`: give the record.json in its --out."
        ) from None
    return record


def collect(records: Sequence[dict]) -> list[dict]:
    """Rows by family, the best mean alpha first.

    Raises:
        ValueError: the runs belong to different targets or validation articles: their alphas are not comparable.
    """
    rows = [row_of(r) for r in records]
    if len({(r["target_sha256"], r["alpha_articles"]) for r in rows}) > 1:
        raise ValueError("These runs differ in target or validation articles, so their alphas cannot be compared.")
    return sorted(rows, key=lambda r: (r["family"], -(r["alpha_greedy"] + r["alpha_sampled"])))


def alpha_table(rows: Sequence[dict]) -> str:
    """Markdown: a row per drafter and recipe."""
    lines = [
        "| drafter | recipe | loss | own texts | steps | α greedy | α sampled | source |",
        "| --- | --- | --- | --: | --: | --: | --: | --- |",
    ]
    for r in rows:
        lines.append(
            f"| {r['family']} | {r['recipe']} | {r['loss']} | {100 * r['on_policy']:.0f} % | {r['steps']} | "
            f"{r['alpha_greedy']:.3f} | {r['alpha_sampled']:.3f} | {r['source']} |"
        )
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """Collect, write, print."""
    record = Record("alphas", vars(args) | {"records": [str(p) for p in args.records]}, [])
    records = [_read(p) for p in args.records]
    target = records[0]["arguments"]["target"]
    mark, place = recorded_name("alpha", target), args.json and recorded_place(args.json, "alpha", target)
    if args.table:
        check_marks(args.table, mark)
    rows = collect(records)
    if place:
        write_json(place, record.result({"rows": rows}))
    table = alpha_table(rows)
    if args.table:
        write_between(args.table, mark, table)
    print(table)
