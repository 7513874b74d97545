"""ONNX Runtime against transformers' own logits, bit for bit against itself, and its files."""

from __future__ import annotations

import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fastllm.targets import graph_files
from fastllm.targets.base import TargetError
from fastllm.targets.load import load_target
from fastllm.targets.onnx_engine import OnnxEngine, _options
from tests.conftest import ARTICLE, make_t5
from tests.tiny_models import COLUMNS, FAMILIES, make_causal

T5_FORMS = {
    "t5-1.0": {},
    "t5-1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "deep-decoder": {"num_decoder_layers": 4},
    "one-layer-decoder": {"num_decoder_layers": 1},
    "relu-untied": {"tie_word_embeddings": False},
}
CAUSAL_FORMS = [name for name in FAMILIES if name != "gpt2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each form, and the graphs of all in a cache of their own."""
    home = tmp_path_factory.mktemp("forms")
    made = {name: make_t5(home / name, **dict(changes)) for name, changes in T5_FORMS.items()}
    return made | {name: make_causal(home / name, name) for name in CAUSAL_FORMS}


def both(folder, monkeypatch, tmp_path):
    """The same model on either engine."""
    monkeypatch.setenv("FASTLLM_CACHE", str(folder.parent / "cache"))
    return load_target(str(folder), engine="onnx"), load_target(str(folder), engine="torch")


@pytest.mark.parametrize("form", [*T5_FORMS, *CAUSAL_FORMS])
def test_logits_are_transformers_own(folders, form, monkeypatch, tmp_path):
    """Within rounding, for every form, at once and token by token, beyond the 128 distances that T5's bias tells
    apart."""
    ours, theirs = both(folders[form], monkeypatch, tmp_path)
    assert (ours.engine.name, theirs.engine.name) == ("onnx", "torch")
    rng = random.Random(1)
    text = [rng.randrange(3, 200) for _ in range(160)]
    a, b = ours.open(ARTICLE), theirs.open(ARTICLE)
    for prefix, k in ((0, 0), (3, 4), (2, 0), (140, 16), (20, 6)):
        draft = text[prefix : prefix + k]
        got, wanted = a.score(text[:prefix], draft), b.score(text[:prefix], draft)
        torch.testing.assert_close(got, wanted, atol=2e-3, rtol=2e-4)
        assert torch.equal(got.argmax(-1), wanted.argmax(-1))


def test_rotary_positions_far_out(tmp_path, monkeypatch):
    """Past position 2,048 the angles are still transformers' own."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    folder = make_causal(tmp_path / "long", "llama")
    model = load_target(str(folder), engine="torch").model
    engine = load_target(str(folder), engine="onnx").engine
    ids = [random.Random(2).randrange(3, COLUMNS) for _ in range(2100)]
    with torch.inference_mode():
        wanted = model(input_ids=torch.tensor([ids])).logits[0, -3:]
    torch.testing.assert_close(engine.open(ids[:-2]).score(ids[-2:], 3), wanted, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", ["t5-1.0", "t5-1.1", "llama", "qwen3"])
def test_p_does_not_depend_on_the_draft(folders, form, threads, monkeypatch, tmp_path):
    """Bit for bit: alone, in drafts of 1 to 16, after a cut cache, in another session, whatever the prefix."""
    target, _ = both(folders[form], monkeypatch, tmp_path)
    monkeypatch.setattr("fastllm.targets.onnx_engine.threads", lambda: threads)
    engine = OnnxEngine(graph_files.folder_of(target.checkpoint), target.engine._start_id)
    assert engine.to_the_last_bit
    prompt, rng = target.read(ARTICLE).ids, random.Random(threads)
    text = [rng.randrange(3, 200) for _ in range(60)]
    alone = engine.open(prompt)
    rows = [alone.score(text[:i])[0].numpy() for i in range(len(text) + 1)]
    moving = engine.open(prompt)
    for _ in range(40):
        k = rng.randrange(0, 17)
        at = rng.randrange(0, len(text) - k + 1)
        moving.score([*text[:at], 7, 8, 9][: at + 3])  # something that has to be cut
        session = moving if rng.random() < 0.7 else engine.open(prompt)
        assert np.array_equal(session.score(text[: at + k], k + 1).numpy(), np.stack(rows[at : at + k + 1]))


def test_a_draft_that_changes_the_bits_is_seen(folders, monkeypatch, tmp_path):
    """The self-test can fail: an engine whose single rows differ in the last digit is not exact to the last bit."""
    target, _ = both(folders["t5-1.0"], monkeypatch, tmp_path)
    real = target.engine.decoder

    class Rounding:
        def run(self, names, feeds):
            logits, new = real.run(names, feeds)
            return (logits * np.float32(1 + 1e-7) if len(feeds["ids"]) > 4 else logits), new

    monkeypatch.setattr(target.engine, "decoder", Rounding())
    assert not target.engine.check_bits()


def test_what_has_no_graph_runs_on_torch(tmp_path):
    """GPT-2's learnt positions: ``auto`` takes torch without a word, ``onnx`` says why not."""
    folder = make_causal(tmp_path / "gpt2", "gpt2")
    target = load_target(str(folder))
    assert (target.engine.name, target.notes) == ("torch", ())
    with pytest.raises(TargetError, match="no graph for models of the kind gpt2"):
        load_target(str(folder), engine="onnx")
    with pytest.raises(TargetError, match="auto, onnx, torch"):
        load_target(str(folder), engine="tensorrt")


def test_an_export_that_fails_ends_on_torch_with_a_sentence(tmp_path, monkeypatch):
    """Whatever goes wrong, the page comes up."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.onnx.export", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("no exporter")))
    target = load_target(str(make_t5(tmp_path / "t5")))
    assert target.engine.name == "torch"
    assert "no exporter" in target.notes[0]


def test_a_damaged_graph_is_made_anew(tmp_path, monkeypatch, capsys):
    """Cut short, emptied, or half gone: the second start says nothing, the start after the damage makes it again."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    name = str(make_t5(tmp_path / "t5"))
    load_target(name)
    assert "making the ONNX Runtime graph" in capsys.readouterr().err
    load_target(name)
    assert "making" not in capsys.readouterr().err
    (folder,) = (tmp_path / "cache" / "graphs").iterdir()
    for damage in (
        lambda: (folder / "decoder.onnx").write_bytes(b""),
        lambda: (folder / "weights.bin").unlink(),
        # What a power cut leaves of a file: its size, and zeros.
        lambda: (folder / "weights.bin").write_bytes(bytes((folder / "weights.bin").stat().st_size)),
        lambda: (folder / "graph.json").write_text("{"),
    ):
        damage()
        assert load_target(name).engine.name == "onnx"
        assert "making" in capsys.readouterr().err


def test_two_processes_may_make_it_at_once(tmp_path, monkeypatch):
    """The folder is swapped in whole; whoever comes second keeps what is there."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    target = load_target(str(make_t5(tmp_path / "t5")), engine="torch")
    folder = tmp_path / "graphs" / "x"
    folder.parent.mkdir()
    graph_files.make(target.checkpoint, folder)
    first = (folder / "decoder.onnx").stat().st_mtime_ns
    graph_files.make(target.checkpoint, folder)
    assert (folder / "decoder.onnx").stat().st_mtime_ns == first
    assert [f.name for f in folder.parent.iterdir()] == ["x"]


def test_a_home_that_cannot_be_written_is_no_hindrance(tmp_path, monkeypatch, capsys):
    """The graphs go to the temporary folder, with a sentence."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert load_target(str(make_t5(tmp_path / "t5"))).engine.name == "onnx"
    assert "temporary folder" in capsys.readouterr().err


def test_visitors_at_once_see_their_own_article(folders, monkeypatch, tmp_path):
    """Eight threads on one engine: each gets what it gets alone."""
    target, _ = both(folders["t5-1.0"], monkeypatch, tmp_path)
    articles = [f"{ARTICLE} {word} and more." for word in ("harbour", "ferry", "comet", "school")] * 2

    def visit(article):
        session = target.open(article)
        return np.stack([session.score([5, 6, 7][:i], [8, 9]).numpy() for i in range(4)])

    alone = [visit(a) for a in articles]
    with ThreadPoolExecutor(8) as pool:
        for wanted, got in zip(alone, pool.map(visit, articles), strict=True):
            assert np.array_equal(wanted, got)


def test_closed_sessions_leave_nothing(folders, monkeypatch, tmp_path):
    """200 visitors one after the other: the process does not grow with them."""
    target, _ = both(folders["llama"], monkeypatch, tmp_path)

    def resident() -> int:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * 4096

    def visit():
        session = target.open(ARTICLE)
        session.score([5, 6, 7], [8, 9])
        session.close()
        session.close()

    for _ in range(20):
        visit()
    before = resident()
    for _ in range(200):
        visit()
    assert resident() - before < 8e6


def test_one_pool_and_no_spinning():
    """Spinning threads slow whatever runs beside them."""
    assert _options(2).intra_op_num_threads == 2
    assert _options(2).inter_op_num_threads == 1
    assert _options(2).get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_graphs_made_beforehand_serve_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    """An image with its cache made: no second copy in the temporary folder at every start."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    name = str(make_t5(tmp_path / "t5"))
    load_target(name)
    capsys.readouterr()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert load_target(name).engine.name == "onnx"
    assert capsys.readouterr().err == ""


def test_no_file_is_left_half_made(tmp_path, monkeypatch):
    """A failed export leaves the cache as it was."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(graph_files, "_move_weights", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    target = load_target(str(make_t5(tmp_path / "t5")))
    assert "disk full" in target.notes[0]
    assert list((tmp_path / "cache" / "graphs").iterdir()) == []
    shutil.rmtree(tmp_path / "cache")
