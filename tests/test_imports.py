"""Who may import whom, read from the syntax tree (design.md, Layout)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([ROOT / "app.py", *(ROOT / "fastllm").rglob("*.py"), *(ROOT / "train").rglob("*.py")])

# Modules of fastllm in layers: a module may import its own layer and those below.
LAYERS = [
    {
        "cache",
        "config",
        "console",
        "trace",
        "source",
        "checkpoints",
        "loading",
        "paper",
        "places",
        "recorded",
        "sheet",
        "visible",
    },
    {"sampling", "trees", "verify", "rules", "rules.*", "lengths", "options", "drafters.errors"},
    {"targets", "targets.*", "targets.graphs.*"},
    {"drafters.base"},
    {"drafters.*"},
    {"drafters"},
    {"inspection", "publishable"},
    {"decode"},
    {"analysis", "analysis.*"},
    {"export"},
    {"cli", "space", "ui", "ui.*", "ui.watch.*", "ui.league.*", "ui.lab.*", "ui.whatif.*", "ui.study.*"},
    {"__main__"},
]
ONLY_IN = {
    "gradio": {"app.py", "fastllm/ui"},
    "transformers": {"fastllm/targets", "train"},
    "spaces": {"app.py"},
    "onnxruntime": {"fastllm/targets/onnx_engine.py"},
    "onnx": {"fastllm/targets/graph_cut.py", "fastllm/targets/graph_files.py"},
    "kenlm": {"train", "fastllm/drafters/ngram.py"},
}


def imported(path: Path, runtime_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports, function bodies included, type-checking blocks left out."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    nodes = tree.body if runtime_only else ast.walk(tree)
    names = set()
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            names |= {f"{node.module}.{a.name}" for a in node.names}
    return names


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def layer(module: str) -> int | None:
    short = module.removeprefix("fastllm.")
    for i, names in enumerate(LAYERS):
        if short in names or (f"{short.rpartition('.')[0]}.*" in names and short not in set().union(*LAYERS[:i])):
            return i
    return None


MODULES = {module_of(p) for p in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_import_directions(path):
    """fastllm never imports train; train never imports the page; a layer imports only itself and those below."""
    names = imported(path)
    mine = module_of(path)
    if mine.startswith("fastllm"):
        assert not any(n.split(".")[0] == "train" for n in names)
        below = layer(mine)
        for name in names & MODULES - {"fastllm"}:
            theirs = layer(name)
            assert theirs is not None, f"{name} has no layer: add it to LAYERS"
            if mine != "fastllm":
                assert theirs <= below, f"{mine} imports {name}, which lies above it"
    if mine.startswith("train"):
        assert not any(n.startswith("fastllm.ui") for n in names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_packages_stay_where_they_belong(path):
    """gradio only in the page; transformers only where models are; kenlm only at the n-gram drafter and in training."""
    where = str(path.relative_to(ROOT))
    for name in {n.split(".")[0] for n in imported(path)} & set(ONLY_IN):
        assert any(where == p or where.startswith(p + "/") for p in ONLY_IN[name]), f"{where} imports {name}"


@pytest.mark.parametrize("name", ["fastllm/config.py", "fastllm/trace.py", "fastllm/source.py"])
def test_config_and_trace_need_no_torch(name):
    """They are read where no model is: in a replay, in --help."""
    assert not {n.split(".")[0] for n in imported(ROOT / name)} & {"torch", "transformers", "numpy"}


def test_no_property_computes_under_a_hidden_lock():
    """functools.cached_property of Python 3.11 holds one lock for all instances while it computes, and met LOADING
    from the other side: fastllm.loading.lazy has none."""
    assert not [p.name for p in FILES if "functools.cached_property" in imported(p)]
