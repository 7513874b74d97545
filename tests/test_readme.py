"""README and docs/figures.md are true: front matter, commands, tree and tables."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from fastllm.checkpoints import folder_sha256
from fastllm.config import PRESETS
from fastllm.drafters import DRAFTERS
from fastllm.recorded import TABLES, recorded_file, recorded_name
from train.__main__ import STEPS, build_parser
from train.contest import table as methods_table
from train.steps import headline
from train.steps.alphas import alpha_table
from train.steps.exact import exact_table
from train.table import benchmark_table, check_marks

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURES = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
REQUIREMENTS = dict(
    re.match(r"([A-Za-z0-9_-]+)(.*)", line).groups()
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line.strip() and not line.startswith("#")
)


def front_matter() -> dict:
    return yaml.safe_load(README.split("---")[1])


def blocks(language: str) -> list[str]:
    """Contents of the fenced blocks of that language, in order."""
    pieces = re.split(r"^```(\w*)\n", README, flags=re.MULTILINE)
    # pieces: text, language, block, "" (the closing fence), text, language, ...
    opened = zip(pieces[1::4], pieces[2::4], strict=False)
    return [block for name, block in opened if name == language]


def test_the_space_runs_the_gradio_that_requirements_pin():
    """sdk_version is what requirements.txt pins, app_file is there, Python fits pyproject.toml."""
    space = front_matter()
    assert space["sdk"] == "gradio"
    assert REQUIREMENTS["gradio"] == f"=={space['sdk_version']}"
    assert (ROOT / space["app_file"]).is_file()
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, space["python_version"].split("."))) >= tuple(map(int, needed.strip(">=").split(".")))
    assert len(space["short_description"]) <= 60


def test_the_space_names_models_that_presets_use():
    """Every model in the front matter belongs to a preset."""
    used = {p.model for p in PRESETS.values()} | {(p.neural_drafter or "").partition(":")[2] for p in PRESETS.values()}
    assert set(front_matter()["models"]) <= used


def test_the_space_preloads_models_of_presets_and_installs_what_kenlm_compiles_with():
    """Each preloaded repository belongs to a preset; packages.txt has one Debian package a line, and no Boost."""
    used = {p.model for p in PRESETS.values()} | {(p.neural_drafter or "").partition(":")[2] for p in PRESETS.values()}
    assert {line.split()[0] for line in front_matter()["preload_from_hub"]} <= used
    assert (ROOT / "packages.txt").read_text().splitlines() == ["build-essential", "cmake"]


def test_every_train_command_parses():
    """Each `python -m train ...` of README is accepted by the step's own parser."""
    commands = [
        line.split("#")[0].split("...")[0]
        for b in blocks("bash")
        for line in b.replace("\\\n", " ").splitlines()
        if "-m train" in line
    ]
    assert {shlex.split(c)[3] for c in commands} == set(STEPS)
    for command in commands:
        argv = shlex.split(command)[3:]
        build_parser(argv).parse_args(argv)


def test_every_make_command_is_a_target():
    """Each `make X` of README and CONTRIBUTING is in the Makefile."""
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(
        re.findall(
            r"\bmake ([a-z]+)\b(?! *\w* *longer)", "\n".join(re.findall(r"`[^`]*`", text)) + "".join(blocks("bash"))
        )
    )
    have = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert named <= have


def test_make_help_lists_every_documented_target():
    """`make help` prints them."""
    out = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"demo", "test", "lmplz", "checkpoints", "evaluate"} <= set(out.split())


def test_the_tree_names_what_is_there():
    """Every path of the tree exists, and every module of fastllm/ is in it."""
    tree = next(b for b in blocks("") if b.startswith("app.py"))
    folder, named = "", set()
    for line in tree.splitlines():
        name = line.split()[0]
        path = (folder if line.startswith(" ") else "") + name
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
        assert (ROOT / path).exists(), path
        named.add(path)
    modules = {f"fastllm/{p.name}" for p in (ROOT / "fastllm").glob("*.py")} - {
        "fastllm/__init__.py",
        "fastllm/__main__.py",
    }
    assert modules <= named


def test_targets_and_drafters_are_all_described():
    """Each preset and each family of drafters has its row."""
    for name in PRESETS:
        assert f"`{name}`" in README
    for family in DRAFTERS:
        assert f"`{family}" in README


WRITERS = {
    "benchmark": benchmark_table,
    "alpha": lambda found: alpha_table(found["rows"]),
    "methods": methods_table,
    "exact": exact_table,
}


@pytest.mark.parametrize("target", PRESETS)
@pytest.mark.parametrize("kind", TABLES)
def test_every_table_is_the_recorded_one(kind, target):
    """What stands between a target's marks is what its file in assets/ gives; marks may wait for figures, not they for
    marks."""
    file, mark = recorded_file(kind, target), recorded_name(kind, target)
    if file.is_file():
        assert between(mark) == WRITERS[kind](json.loads(file.read_text()))
    else:
        assert f"<!-- {mark}:begin -->" not in FIGURES or not between(mark)


def test_the_short_table_is_that_of_the_recorded_benchmarks():
    """README's own, of all targets that have one."""
    results = [json.loads(f.read_text(encoding="utf-8")) for f in headline.files()]
    assert between(headline.MARK, README) == headline.headline(results)


def test_all_targets_that_are_measured_have_marks():
    """The two that bring their own drafters: `--table docs/figures.md` finds all their places."""
    for target in ("mini", "smollm2"):
        for kind in TABLES:
            check_marks(ROOT / "docs" / "figures.md", recorded_name(kind, target))


def test_the_benchmark_is_over_enough_articles_for_an_interval():
    """And no greedy text differed from plain decoding's."""
    result = json.loads(recorded_file("benchmark", "mini").read_text())
    assert result["articles"] >= 40
    assert result["greedy_mismatches"] == 0


@pytest.mark.parametrize("name", ["screenshot-light.png", "screenshot-dark.png"])
def test_screenshots_are_there(name):
    """The page in light and in dark, as PNG."""
    assert (ROOT / "assets" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def between(mark: str, text: str = FIGURES) -> str:
    """What stands in a document between two marks."""
    return text.split(f"<!-- {mark}:begin -->")[1].split(f"<!-- {mark}:end -->")[0].strip()


def test_the_alphas_belong_to_the_target_that_lies_here():
    """Whoever trains it anew records them anew."""
    recorded = json.loads(recorded_file("alpha", "mini").read_text())
    assert {r["target_sha256"] for r in recorded["rows"]} == {folder_sha256(ROOT / "checkpoints" / "mini" / "target")}
