"""The manifest of checkpoints/: what is there is what it says, and the embedded weights load."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open

from fastllm.checkpoints import altered, check_manifest, folder_sha256, write_manifest
from fastllm.config import CHECKPOINTS

LIMIT_MB = 180


def test_the_embedded_checkpoints_are_what_their_manifest_says():
    """Every file of checkpoints/ has the hash in manifest.json; none is missing, none is unlisted."""
    assert check_manifest(CHECKPOINTS) == []


def test_checkpoints_stay_small_and_hold_no_pickles():
    """Below 180 MB in all, safetensors or KenLM files only."""
    files = [f for f in CHECKPOINTS.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < LIMIT_MB * 1e6
    kinds = {f.suffix for f in files}
    assert kinds <= {".safetensors", ".binary", ".json", ".md"}, kinds
    for file in CHECKPOINTS.rglob("*.safetensors"):
        with safe_open(file, "pt") as f:
            assert list(f.keys())


def test_every_product_has_its_record():
    """Beside each folder of weights lies the record of how it was made."""
    folders = {f.parent for f in CHECKPOINTS.rglob("*.safetensors")}
    assert folders
    for folder in folders:
        record = json.loads((folder / "record.json").read_text())
        assert {"step", "command", "commit", "versions", "data", "seconds"} <= set(record)


@pytest.fixture
def folder(tmp_path):
    """A small folder with a manifest."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "w.safetensors").write_bytes(b"weights")
    (tmp_path / "a" / "record.json").write_text('{"step": "ngram", "command": "x"}')
    write_manifest(tmp_path)
    return tmp_path


def test_a_fresh_manifest_is_clean(folder):
    """What was just listed is found as listed, and the record's step is in the manifest."""
    assert check_manifest(folder) == []
    assert json.loads((folder / "manifest.json").read_text())["made"]["a"]["step"] == "ngram"


def test_altered_missing_and_unlisted_files_are_told(folder):
    """Each difference is one sentence with the file's name."""
    (folder / "a" / "w.safetensors").write_bytes(b"WEIGHTS")
    (folder / "a" / "record.json").unlink()
    (folder / "b.safetensors").write_bytes(b"")
    told = {p.path: p.what for p in check_manifest(folder)}
    assert set(told) == {"a/w.safetensors", "a/record.json", "b.safetensors"}
    assert "not the file that the manifest lists" in told["a/w.safetensors"]
    assert altered(folder / "a" / "w.safetensors")


def test_a_file_outside_any_manifest_is_not_called_altered(tmp_path):
    """A user's own drafter folder needs no manifest."""
    (tmp_path / "w.safetensors").write_bytes(b"x")
    assert not altered(tmp_path / "w.safetensors")


def test_a_missing_manifest_is_told(tmp_path):
    """Without a manifest nothing can be vouched for."""
    assert "manifest.json" in check_manifest(tmp_path)[0].what


def test_the_folder_hash_follows_names_and_bytes(folder):
    """Renaming or changing a weight file changes the folder's hash."""
    before = folder_sha256(folder / "a")
    (folder / "a" / "w.safetensors").rename(folder / "a" / "v.safetensors")
    assert folder_sha256(folder / "a") != before
