"""Finding the drafters of a target, and refusing in one sentence what does not fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fastllm.checkpoints import write_manifest
from fastllm.config import CHECKPOINTS, PRESETS
from fastllm.drafters import available, load_drafter
from fastllm.drafters.errors import DrafterError
from fastllm.targets.base import Target
from fastllm.targets.load import load_target

SOURCE = CHECKPOINTS / "mini" / "ngram-baseline"


@pytest.fixture(scope="module")
def mini() -> Target:
    """The embedded target."""
    return load_target("mini")


def with_drafters(target: Target, folder: Path | None) -> Target:
    """The same model, its drafters looked for in another folder."""
    return target.with_preset(replace(target.preset, drafters=str(folder) if folder else None))


def test_every_listed_drafter_loads_and_fits(mini):
    """What `available` offers can be loaded, is named as asked, and has the target's vocabulary."""
    infos = available(mini)
    assert {i.spec for i in infos} >= {"lookup", *(f"ngram:{n}@baseline" for n in range(1, 6))}
    for info in infos:
        drafter = load_drafter(mini, info.spec)
        assert drafter.name == info.spec
        assert drafter.vocab_size == mini.vocab_size
        assert drafter.size_bytes == info.size_bytes


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gpt", "There is no drafter 'gpt'"),
        ("", "There is no drafter"),
        ("ngram:../../etc", "needs its order, 1 to 5"),
        ("ngram", "needs its order, 1 to 5"),
        ("ngram:6", "needs its order, 1 to 5"),
        ("ngram:x", "needs its order, 1 to 5"),
        ("ngram:2@magic", "names no variant"),
        ("lookup:3", "takes no parameter"),
    ],
)
def test_unknown_names_are_refused(mini, spec, words):
    """Names, orders and variants that are none, told with what to give."""
    with pytest.raises(DrafterError, match=words):
        load_drafter(mini, spec)


def test_a_target_without_trained_drafters_offers_lookup_only(mini):
    """A hub target has no n-grams until they are trained; the sentence says how."""
    bare = with_drafters(mini, None)
    assert [i.spec for i in available(bare)] == ["lookup"]
    with pytest.raises(DrafterError, match="python -m train ngram"):
        load_drafter(bare, "ngram:2")
    assert PRESETS["t5-base"].drafters is None


def test_a_drafter_of_another_vocabulary_is_refused(tiny):
    """mini's n-grams over 8192 tokens do not fit a target of 256."""
    with pytest.raises(DrafterError, match=r"vocabulary of 8192 tokens and the target has 256"):
        load_drafter(with_drafters(tiny, CHECKPOINTS / "mini"), "ngram:1")


def test_a_missing_file_is_told_with_its_place(mini, tmp_path):
    """The sentence names the file and the ways out."""
    with pytest.raises(DrafterError, match=r"is missing at .*ngram-2\.safetensors.*use 'lookup'"):
        load_drafter(with_drafters(mini, tmp_path), "ngram:2")


def test_an_altered_file_is_refused(mini, tmp_path):
    """One byte changed after the manifest was written: refused, not silently used."""
    folder = tmp_path / "ngram-baseline"
    folder.mkdir()
    file = folder / "ngram-1.safetensors"
    shutil.copy(SOURCE / file.name, file)
    write_manifest(tmp_path)
    assert load_drafter(with_drafters(mini, tmp_path), "ngram:1").order == 1
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DrafterError, match="has been altered"):
        load_drafter(with_drafters(mini, tmp_path), "ngram:1")


def test_a_truncated_file_is_refused(mini, tmp_path):
    """Half a file, outside any manifest: damaged, in one sentence."""
    folder = tmp_path / "ngram-baseline"
    folder.mkdir()
    data = (SOURCE / "ngram-2.safetensors").read_bytes()
    (folder / "ngram-2.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(DrafterError, match="is damaged"):
        load_drafter(with_drafters(mini, tmp_path), "ngram:2")


def test_distilled_is_taken_before_baseline(mini, tmp_path):
    """Without a variant the distilled one is taken where there is one; @baseline asks for the other."""
    for variant in ("distilled", "baseline"):
        (tmp_path / f"ngram-{variant}").mkdir()
        shutil.copy(SOURCE / "ngram-1.safetensors", tmp_path / f"ngram-{variant}")
    (tmp_path / "ngram-baseline" / "ngram-1.safetensors").write_bytes(b"broken")
    both = with_drafters(mini, tmp_path)
    assert load_drafter(both, "ngram:1").name == "ngram:1"
    with pytest.raises(DrafterError, match="damaged"):
        load_drafter(both, "ngram:1@baseline")


def test_the_manifest_lists_the_embedded_drafters():
    """Every n-gram file of mini is in the manifest."""
    listed = json.loads((CHECKPOINTS / "manifest.json").read_text())["files"]
    assert {f"mini/ngram-baseline/ngram-{n}.safetensors" for n in range(1, 6)} <= set(listed)
