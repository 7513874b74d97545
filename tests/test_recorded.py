"""What is recorded in the repository can be true and can be published: no impossible figure, no folder of a machine."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from fastllm.analysis.metrics import summarise
from fastllm.analysis.timing import compare_runs
from fastllm.config import PRESETS
from fastllm.drafters import outdated
from fastllm.trace import from_json

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = sorted((ROOT / "assets").glob("benchmark*.json"))
TRACES = [f for f in sorted((ROOT / "assets" / "traces").glob("*.json")) if f.name != "index.json"]
# Where home folders, work folders and temporary files of any system lie.
MACHINE = re.compile(
    r"(?<![\w.])(?:/(?:root|home|Users|work|workspace|mnt|tmp|private|data|content)/|[A-Za-z]:\\\\?\w)[\w./-]*"
)


@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda f: f.name)
def test_no_recorded_speedup_exceeds_tau(file):
    """Measured, its interval, and predicted: a lossless run saves calls and nothing else."""
    result = json.loads(file.read_text())
    rows = result["rows"] + result["best"]
    tau = {(r["drafter"], r["temperature"], r["gamma"]): r["tau"] for r in result["rows"]}
    assert rows
    for row in rows:
        at = row["drafter"], row["temperature"]
        for figure, gamma in (("measured_speedup", "measured_gamma"), ("predicted_speedup", "predicted_gamma")):
            most = tau[(*at, row.get(gamma, row.get("gamma")))] + 1e-4
            if row[figure] is not None:
                assert 0 < row[figure] <= most, row
        if row.get("speedup_interval"):
            low, high = row["speedup_interval"]
            assert low <= row["measured_speedup"] <= high <= row["tau"] + 1e-4, row


@pytest.mark.parametrize("file", TRACES, ids=lambda f: f.name)
def test_no_recorded_run_is_shown_faster_than_its_tau(file):
    """As the page times it; a run that the machine was too busy for has no number."""
    trace = from_json(file.read_text())
    timing = compare_runs(trace, trace.baseline)
    assert timing.tau == pytest.approx(summarise(trace).tau)
    assert timing.speedup is None or timing.interval[0] <= timing.speedup <= timing.interval[1] <= timing.tau


def test_a_benchmark_is_of_one_set_of_articles():
    """Rows of 42 and of 100 articles do not stand in one table."""
    for file in BENCHMARKS:
        result = json.loads(file.read_text())
        counts = {r["articles"] for r in result["rows"]}
        assert counts == {result["articles"]} or "`, `" in result["command"], file.name


def test_recorded_figures_name_the_weights_that_are_here():
    """Study and benchmark: every drafter's hash is the manifest's, so nothing shows weights that were replaced."""
    study = json.loads((ROOT / "assets" / "study.json").read_text())
    found = {g["drafter"]: g["drafter_hash"] for g in study["groups"]}
    assert outdated(PRESETS["mini"], found) == []
    benchmark = json.loads((ROOT / "assets" / "benchmark.json").read_text())
    assert outdated(PRESETS["mini"], {r["drafter"]: r["drafter_sha256"] for r in benchmark["rows"]}) == []


def listed() -> list[Path]:
    """Text files that git tracks, as they are now; all below the root where there is no git."""
    try:
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for p in (ROOT / "assets").rglob("*")]
    kinds = {".json", ".jsonl", ".md", ".txt", ".toml", ".csv", ".html", ".js", ".css", ".yml", ""}
    return [ROOT / n for n in names if n and Path(n).suffix in kinds and (ROOT / n).is_file()]


def test_committed_files_name_no_folder_of_a_machine():
    """Records, assets, README: names of files and arguments, never where they lay."""
    wrong = []
    for file in listed():
        if file.is_symlink():
            continue
        wrong += [f"{file.relative_to(ROOT)}: {m[0]}" for m in MACHINE.finditer(file.read_text("utf-8", "replace"))]
    assert not wrong


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("made from /root/x/train.parquet", True),
        ('"state": "/home/ada/state"', True),
        (r"C:\Users\ada\x.json", True),
        ("../shared/data/train.parquet", False),
        ("https://example.org/home/x", False),
        ("and/or, checkpoints/mini/target", False),
    ],
)
def test_what_counts_as_a_folder_of_a_machine(text, named):
    """Absolute places of any system, not addresses and not relative paths."""
    assert bool(MACHINE.search(text)) is named
