"""The cache: what older versions made goes, what somebody uses or has just made stays, and a command clears it."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

import pytest

from fastllm import cache
from fastllm.targets import graph_files
from fastllm.targets.graph_files import described, folder_of, key_of, remove_older, weights_of
from fastllm.targets.graphs import VERSION


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache's folder of graphs; no other cache is seen."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "spare_folder", lambda: tmp_path / "spare")
    made = tmp_path / "cache" / "graphs"
    made.mkdir(parents=True)
    return made


def graph(folder: Path, age: float = 2 * cache.MAKING, mark: str = "graph.json", **facts) -> Path:
    """A folder as an export leaves it, made `age` seconds ago."""
    folder.mkdir(parents=True)
    sizes = {"columns": 1, "rows": 1, "layers": 1, "width": 1, "cross": [0, 0], "angles": 0, "frequencies": [],
             "scaling": 1.0, "files": {}}  # fmt: skip
    (folder / "weights.bin").write_bytes(b"0" * 1000)
    (folder / mark).write_text(json.dumps(sizes | facts))
    for file in (*folder.iterdir(), folder):
        os.utime(file, (time.time() - age,) * 2)
    return folder


def test_graphs_of_older_versions_of_the_same_weights_go(home, tiny, capsys):
    """Those of other weights, of this version and of newer ones stay; so does what was made a moment ago."""
    mine = {"source": "tiny", "weights": weights_of(tiny.checkpoint)}
    gone = [
        graph(home / key_of(tiny.checkpoint, VERSION - 1)),  # from before graph.json said whose it is
        graph(home / "renamed", **mine, version=VERSION - 1),
        graph(home / ".half-abc"),
    ]
    stays = [
        graph(home / key_of(tiny.checkpoint, VERSION), **mine, version=VERSION),
        graph(home / "newer", **mine, version=VERSION + 1),
        graph(home / "other", **{**mine, "weights": "another"}, version=VERSION - 1),
        graph(home / "unknown"),
        graph(home / key_of(tiny.checkpoint, VERSION - 2), age=0),
        graph(home / ".half-def", age=cache.GRACE * 2),
    ]
    remove_older(tiny.checkpoint, home)
    assert sorted(home.iterdir()) == sorted(stays)
    assert not any(folder.exists() for folder in gone)
    assert "MB of outdated graphs" in capsys.readouterr().err


def test_what_somebody_uses_stays_until_it_is_closed(home, tiny):
    """A lock that ends with its holder; a folder that is no entry is never locked nor touched."""
    folder = graph(home / key_of(tiny.checkpoint, VERSION - 1))
    held = cache.hold(folder)
    os.utime(folder / "graph.json", (1, 1))  # taken long ago
    remove_older(tiny.checkpoint, home)
    assert cache.in_use(folder)
    assert not cache.remove(folder)
    del held
    assert not cache.in_use(folder)
    remove_older(tiny.checkpoint, home)
    assert not folder.exists()
    assert cache.hold(Path(tiny.preset.model)) is None


def test_an_engine_holds_its_graph(tiny):
    """A loaded target's graph says what it was made of, and cannot be removed under it."""
    folder = folder_of(tiny.checkpoint)
    made = described(folder)
    assert made is not None
    # The source is the name of the folder that these weights were first loaded from, here or in another test.
    assert made.source
    assert (made.weights, made.version) == (weights_of(tiny.checkpoint), VERSION)
    assert cache.in_use(folder)
    assert not cache.remove(folder)
    assert graph_files.read(folder) == made


def test_the_command_lists_and_clears(home, capsys):
    """Size, source and last use of each; what is used, or being made, is left and said to be."""
    held = cache.hold(graph(home / "a", source="big", version=3))
    graph(home / "b")
    graph(home / ".half-c", age=cache.GRACE * 2)
    graph(home.parent / "models" / "smollm2", mark="config.json")
    graph(home / "d", age=0, source="new", version=3)
    assert cache.main([]) == 0
    out = capsys.readouterr().out
    for line in ("graph of big, version 3", "of an older version or damaged", "model smollm2", "unfinished"):
        assert line in out
    assert "removed" not in out
    assert len(list(home.iterdir())) == 4
    assert cache.main(["--clear"]) == 0
    out = capsys.readouterr().out
    assert out.count(", removed\n") == 2
    assert out.count(", in use\n") == 1
    assert out.count(", just made or used\n") == 2
    assert sorted(f.name for f in home.iterdir()) == [".half-c", "a", "d"]
    assert list((home.parent / "models").iterdir()) == []
    assert held is not None


def test_a_hold_that_outlives_the_modules_is_let_go_in_silence(home, monkeypatch):
    """At exit the interpreter may have taken `os` from the module before the object goes: the file is closed all the
    same, and nobody is told of an exception that was ignored."""
    folder = graph(home / "one")
    held, told = cache.hold(folder), []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_value))
    with monkeypatch.context() as late:
        late.setattr(cache, "os", None)
        del held
        gc.collect()
    assert not told
    assert not cache.in_use(folder)
