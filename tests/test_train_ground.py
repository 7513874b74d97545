"""More cases of the faults that training once had: forms of T5, deep decoders, rows, claims, caches, arguments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from fastllm.config import Sampling, Settings
from fastllm.decode import make_trace, speculative
from fastllm.drafters import load_drafter
from fastllm.drafters.ngram import NgramDrafter
from fastllm.targets.load import load_target
from tests.conftest import TEXTS, make_t5
from tests.tiny_models import make_causal
from train import peers
from train.__main__ import main
from train.arpa import read_arpa
from train.claim import claim
from train.content import content_of, fingerprint
from train.data import load_pairs
from train.steps.target import export
from train.students import T5Student, shrunk

UNTIED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
FORMS = {
    "1.0": {},
    "1.1": UNTIED,
    "flan": {**UNTIED, "num_decoder_layers": 3},
    "mt5-like": {**UNTIED, "feed_forward_proj": "gated-silu"},
    "tied-gated": {"feed_forward_proj": "gated-gelu"},
}
TINY_STEPS = "copy_short=1,copy_long=0,extract=0,summarize=0,cooldown=0,polish=0"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Ten pairs of our own writing."""
    file = tmp_path_factory.mktemp("ground") / "pairs.jsonl"
    write(file, [{"id": f"p{i}", "article": " ".join((TEXTS * 3)[i % 6 : i % 6 + 8]), "highlights": TEXTS[(i + 1) % 6]}
                 for i in range(10)])  # fmt: skip
    return file


@pytest.fixture(scope="module")
def pseudo(pairs, tiny_folder) -> Path:
    """What the tiny target says of them."""
    out = pairs.parent / "pseudo.jsonl"
    assert main(["pseudo", "--target", str(tiny_folder), "--data", str(pairs), "--max-new-tokens", "4",
                 "--out", str(out)]) == 0  # fmt: skip
    return out


@pytest.fixture
def lstm(tiny_folder, pairs, tmp_path):
    """Arguments of an LSTM of one step, its state in a folder of the test."""

    def arguments(*more: str) -> list[str]:
        return ["drafter", "--family", "lstm", "--target", str(tiny_folder), "--data", str(pairs), "--validation",
                str(pairs), "--steps", "1", "--batch-size", "2", "--alpha-articles", "2",
                *([] if "t5" in more else ["--d-state", "8"]), "--cache",
                str(pairs.parent / "cache"), "--state", str(tmp_path / "state"), "--out", str(tmp_path / "out"),
                *more]  # fmt: skip

    return arguments


def write(file: Path, rows: list) -> Path:
    file.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return file


@pytest.mark.parametrize("form", FORMS)
def test_all_layers_are_the_target_in_every_form(form, tmp_path):
    """As many layers as the deeper side has: every greedy draft token is accepted, before and after an export."""
    folder = make_t5(tmp_path / "t5", **dict(FORMS[form]))
    export(load_target(str(folder), engine="torch").model, AutoTokenizer.from_pretrained(folder), tmp_path / "e", 64, 9)
    settings = Settings(4, Sampling(no_repeat_ngram_size=3), max_new_tokens=12, top=0)
    for place in (folder, tmp_path / "e"):
        target = load_target(str(place), engine="torch")
        T5Student(shrunk(target, 3 if form == "flan" else 2)).save(tmp_path / f"all-{place.name}")
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(folder / file, tmp_path / f"all-{place.name}")
        drafter = load_drafter(target, f"t5:{tmp_path / f'all-{place.name}'}")
        session = target.open(TEXTS[0])
        trace = make_trace(session, drafter, settings, list(speculative(session, drafter, settings)))
        tested = [t.status for s in trace.steps for t in s.draft if t.beta is not None]
        assert len(tested) > 4
        assert set(tested) == {"accepted"}


@pytest.mark.parametrize("deep", ["target", "assistant", "both"])
def test_assisted_generation_knows_deep_decoders(deep, tmp_path):
    """transformers' own speculative decoding, where a decoder has more layers than its encoder: the same text."""
    places = {
        name: make_t5(tmp_path / name, **({"num_decoder_layers": 3} if deep in (name, "both") else {}))
        for name in ("target", "assistant")
    }
    target = load_target(str(places["target"]))
    helper = load_drafter(target, f"t5:{places['assistant']}")
    session, settings = target.open(TEXTS[0]), Settings(1, Sampling(no_repeat_ngram_size=3), max_new_tokens=12)
    alone = peers.time_generate(target, session.source.prompt_ids, settings)[1]
    assert peers.time_generate(target, session.source.prompt_ids, settings, helper)[1] == alone
    assert target.model.config.num_layers == 2


@pytest.mark.parametrize(
    "change",
    [{"id": None}, {"id": ["a"]}, {"id": 3}, {"ids": "12"}, {"ids": None}, {"summary": 7}, None, "[1, 2]", "nonsense"],
    ids=str,
)
def test_a_row_that_is_no_row_is_told_by_every_reader(change, pseudo, lstm, tiny_folder, pairs, tmp_path, capsys):
    """Steps that train on a pseudo-dataset and the one that goes on with it: the line's number, status 2."""
    good = json.loads(pseudo.read_text().splitlines()[0])
    bad = {k: v for k, v in good.items() if k != "id"} if change is None else change
    file = write(tmp_path / "bad.jsonl", ["", good, bad if isinstance(bad, str) else {**good, **bad}])
    if change is None:
        write(file, ["", good, bad])
    shutil.copy(pseudo.with_suffix(".claim.json"), file.with_suffix(".claim.json"))
    for arguments in (
        lstm("--recipe", "seqkd", "--pseudo", str(file)),
        ["pseudo", "--target", str(tiny_folder), "--data", str(pairs), "--max-new-tokens", "4", "--out", str(file)],
    ):
        capsys.readouterr()
        assert main(arguments) == 2
        assert f"Line 3 of {file} is no row of a pseudo-dataset" in capsys.readouterr().err


def test_pairs_without_ids_have_their_places(tmp_path):
    """Null and empty ids are not one id for all; a pair that stands there twice counts once."""
    article = "word " * 70
    rows = [{"id": i, "article": f"{article}{n}", "highlights": "A summary."} for n, i in enumerate([None, "", 7, "a"])]
    found = load_pairs(str(write(tmp_path / "a.jsonl", [*rows[:2], rows[3], rows[3]])))
    assert [p.id for p in found] == ["0", "1", "a"]
    assert [p.id for p in load_pairs(str(write(tmp_path / "b.jsonl", rows[2:3])))] == ["7"]


@pytest.mark.parametrize(
    ("name", "words"), [("a.txt", "is no .parquet"), ("a.csv", "is no .parquet"), ("", "holds no")]
)
def test_a_source_of_another_kind_is_told(name, words, tmp_path):
    """A file that is there is not said to be missing; a folder without parquet files is no data set."""
    if name:
        (tmp_path / name).write_text("article,highlights\n")
    with pytest.raises((ValueError, OSError), match=words):
        load_pairs(str(tmp_path / name))


def test_a_claim_counts_once_something_is_made(tmp_path):
    """Failed before it made anything: mended arguments may follow. Made without a claim, or damaged: refused."""
    folder, file = tmp_path / "state", tmp_path / "made.jsonl"
    for place, other in ((folder, "an empty folder"), (file, "another file")):
        claim(place, {"lr": 1}, "a training", begun=False)
        claim(place, {"lr": 2}, "a training", begun=False)
        claim(place, {"lr": 2}, "a training", begun=True)
        with pytest.raises(ValueError, match=f"other lr, seed: give the arguments of then, or {other}"):
            claim(place, {"lr": 3, "seed": 1}, "a training", begun=True)
        kept = folder / "claim.json" if place == folder else tmp_path / "made.claim.json"
        for damage in ("{", "[]", "3"):
            kept.write_text(damage)
            with pytest.raises(ValueError, match=f"is damaged: give {other}"):
                claim(place, {"lr": 2}, "a training", begun=True)
        kept.unlink()
        with pytest.raises(ValueError, match=f"does not say what it was made with: give {other}"):
            claim(place, {"lr": 2}, "a training", begun=True)


def test_a_failed_start_is_no_claim_and_a_damaged_state_is_told(lstm, pseudo, capsys, tmp_path):
    """The recipe needs a pseudo-dataset: given, the same state is fine. Then its files are damaged one by one."""
    assert main(lstm("--recipe", "seqkd")) == 2
    arguments = lstm("--recipe", "seqkd", "--pseudo", str(pseudo))
    assert main(arguments) == 0
    state = tmp_path / "state"
    shutil.copytree(state, tmp_path / "kept")
    for damage, words in (
        (lambda: (state / "latest" / "progress.json").write_text("{"), "progress.json cannot be read"),
        (lambda: (state / "latest" / "progress.json").unlink(), "progress.json cannot be read"),
        (lambda: (state / "latest" / "model.safetensors").write_bytes(b"x"), "is damaged"),
        (lambda: shutil.rmtree(state / "best"), "lacks `best`"),
        (lambda: (state / "claim.json").unlink(), "does not say what it was made with"),
    ):
        damage()
        capsys.readouterr()
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
        shutil.rmtree(state)
        shutil.copytree(tmp_path / "kept", state)
    assert main([*arguments, "--alpha-every", "7"]) == 2
    assert "other alpha_every" in capsys.readouterr().err
    assert main(arguments) == 0


def test_a_base_is_claimed_by_its_weights(tiny_folder, pairs, tmp_path, capsys):
    """The same folder with other weights is another base; of other data, a pseudo-dataset is another one."""
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    arguments = ["target", "--data", str(pairs), "--base", str(base), "--steps", "summarize=1", "--batch-size", "2",
                 "--mixed-precision", "no", "--state", str(tmp_path / "state"), "--out",
                 str(tmp_path / "out")]  # fmt: skip
    assert main(arguments) == 0
    shutil.copy(make_t5(tmp_path / "other", seed=5) / "model.safetensors", base)
    assert main(arguments) == 2
    assert "other base" in capsys.readouterr().err
    data = Path(shutil.copy(pairs, tmp_path / "data.jsonl"))
    arguments = ["pseudo", "--target", str(tiny_folder), "--data", str(data), "--max-new-tokens", "2", "--limit", "1",
                 "--out", str(tmp_path / "pseudo.jsonl")]  # fmt: skip
    assert main(arguments) == 0
    data.write_text(data.read_text().replace("ferry", "tram"))
    assert main(arguments) == 2
    assert "other data" in capsys.readouterr().err
    (tmp_path / "pseudo.claim.json").unlink()
    assert main(arguments) == 2
    assert "does not say what it was made with" in capsys.readouterr().err


def test_names_stand_for_content(tiny_folder, tmp_path):
    """A file, a folder and a target under the same name with other content have another key; moved, the same one."""
    one = Path(shutil.copytree(tiny_folder, tmp_path / "one"))
    before = fingerprint(load_target(str(one))), content_of(one), content_of(one / "config.json")
    two = Path(shutil.copytree(one, tmp_path / "two"))
    assert (fingerprint(load_target(str(two))), content_of(two), content_of(two / "config.json")) == before
    assert content_of("owner/name") == "owner/name"
    file = two / "tokenizer.json"
    words = json.loads(file.read_text())
    words["model"]["vocab"][40][1] -= 1.0  # a score: the same pieces, cut otherwise
    file.write_text(json.dumps(words))
    assert fingerprint(load_target(str(two))) != before[0]
    assert content_of(two) != before[1]
    settings = json.loads((one / "generation_config.json").read_text())
    (one / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [1, 9]}))
    assert fingerprint(load_target(str(one))) != before[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--gamma", ""], "--gamma must be numbers"),
        (["--temperature", ","], "--temperature must be numbers"),
        (["--gamma", "0"], "gamma must be between"),
        (["--drafters", ","], "--drafters names none"),
        (["--rouge-articles", "50"], "--rouge-articles asks for 50"),
        (["--table", "none.md"], "There is no file none.md"),
        (["--table", "pyproject.toml"], "needs the lines <!-- benchmark-tiny:begin -->"),
        (["--state", "pyproject.toml"], "--state must be a folder"),
        (["--json", "pyproject.toml/a/b.json"], "pyproject.toml on the way there is a file"),
        (["--json", "/proc/out.json"], "cannot be written"),
        (["--merge", "{wrong}"], "--target has no effect beside --merge"),
        (["--rollback", "nan"], "--rollback has no effect without --rule bild"),
        (["--nodes", "4", "--rule", "block"], "--nodes has no effect without --rule follow or siblings"),
        (["--temperature", "1", "--peer-articles", "1"], "--peer-articles has no effect without 0 in --temperature"),
        (["--top-p", "nan"], "Top-p must be"),
        (["--temperature", "nan"], "Temperature must be"),
    ],
)
def test_an_evaluation_that_cannot_be_written_is_not_begun(more, words, tiny_folder, pairs, tmp_path, capsys):
    """Empty lists, more articles than there are, places that cannot be written to: before the first article."""
    wrong = write(tmp_path / "wrong.json", [{"rows": []}])
    more = [m.format(wrong=wrong) for m in more]
    assert main(["evaluate", "--target", str(tiny_folder), "--data", str(pairs), "--articles", "1", "--drafters",
                 "lookup", "--gamma", "2", "--temperature", "0", "--max-new-tokens", "4", *more]) == 2  # fmt: skip
    assert words in capsys.readouterr().err


def test_what_is_no_result_is_not_merged(tmp_path, capsys):
    """A file that is not there, and one of something else."""
    wrong = write(tmp_path / "wrong.json", [{"rows": []}])
    for file, words in ((tmp_path / "none.json", "No such file"), (wrong, "is no result of")):
        assert main(["evaluate", "--merge", str(file)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "more", "words"),
    [
        ("drafter", ["--family", "lstm", "--init", "x", "--d-state", "8"], "--d-state has no effect beside --init"),
        ("drafter", ["--family", "t5", "--max-match", "3"], "--max-match has no effect with --family t5"),
        ("drafter", ["--family", "cnn", "--decoder-layers", "1"], "--decoder-layers has no effect without --family t5"),
        ("drafter", ["--family", "cnn", "--recipe", "seqkd", "--temperature", "2"], "--temperature has no effect with"),
        ("drafter", ["--family", "cnn", "--cache", "pyproject.toml"], "--cache must be a folder"),
        ("ngram", ["--pseudo-copies", "2"], "--pseudo-copies has no effect without --pseudo"),
        ("ngram", ["--heldout-limit", "2"], "--heldout-limit has no effect without --heldout"),
        ("ngram", ["--pseudo", "x", "--limit", "2"], "--limit has no effect beside --pseudo without --mix-highlights"),
        ("ngram", ["--out", "pyproject.toml"], "--out must be a folder"),
        ("data", ["--out", "tests"], "--out must be a file"),
        ("pseudo", ["--out", "/proc/x.jsonl"], "cannot be written"),
        ("calls", ["--json", "tests"], "--json must be a file"),
        ("calls", ["--json", "pyproject.toml"], "is no file of curves"),
        ("costs", ["--temperature", "inf"], "Temperature must be"),
        ("methods", ["--temperature", "nan"], "Temperature must be"),
        ("methods", ["--gamma", "99"], "gamma must be between"),
        ("exact", ["--gamma", "0"], "gamma must be between"),
    ],
)
def test_what_a_step_could_not_use_or_write_is_told_before_the_work(step, more, words, tmp_path, capsys, monkeypatch):
    """Options without effect, places where nothing can be put, numbers that are none: no model is loaded."""
    monkeypatch.setattr("fastllm.targets.load.read_tokenizer", lambda where: pytest.fail("a model was loaded"))
    needed = {"drafter": ["--validation", "x", "--state", str(tmp_path / "state"), "--out", str(tmp_path / "out")],
              "ngram": ["--out", str(tmp_path / "out")]}  # fmt: skip
    assert main([step, *needed.get(step, []), *more]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_records_of_something_else_are_told(tmp_path, capsys):
    """The table of alphas is made of records of drafter runs only."""
    for content in ("{}", "[]", "{"):
        (tmp_path / "record.json").write_text(content)
        assert main(["alphas", "--records", str(tmp_path / "record.json")]) == 2
        assert "is no record of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--steps", "summarize=0"], "--steps leaves no step"),
        (["--steps", "summarize=-2"], "--steps must give summarize a number"),
        (["--steps", "summarize"], "--steps must give summarize a number"),
        (["--threads", "-1"], "--threads must be 0 or more"),
        (["--seed", "-1"], "--seed must be 0 or more"),
        (["--export-only"], "holds no training to export"),
        (["--validation", "{two}"], "--validation needs 3"),
    ],
)
def test_a_target_that_cannot_be_trained_says_why(more, words, tiny_folder, pairs, tmp_path, capsys):
    """Before any work, and nothing is exported."""
    two = write(tmp_path / "two.jsonl", pairs.read_text().splitlines()[:2])
    assert main(["target", "--base", str(tiny_folder), "--data", str(pairs), "--mixed-precision", "no", "--state",
                 str(tmp_path / "state"), "--out", str(tmp_path / "out"),
                 *(m.format(two=two) for m in more)]) == 2  # fmt: skip
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("size", "words"), [("3", "more than the 32 special"), ("1000000", "give at most")])
def test_a_vocabulary_that_the_text_cannot_fill_is_told(size, words, pairs, tmp_path, capsys):
    """sentencepiece's own error is none for people."""
    assert main(["target", "--data", str(pairs), "--vocab-size", size, "--d-model", "64", "--layers", "1", "--steps",
                 TINY_STEPS, "--mixed-precision", "no", "--state", str(tmp_path / "state"), "--out",
                 str(tmp_path / "out")]) == 2  # fmt: skip
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--threads", "-1"], "--threads must be 0 or more"),
        (["--recipe", "kl", "--temperature", "nan"], "temperature above 0"),
        (["--recipe", "kl", "--temperature", "inf"], "temperature above 0"),
        (["--lr", "nan"], "--lr must be above 0"),
        (["--target", "{causal}", "--family", "t5"], "A llama cannot be shrunk to a T5 drafter"),
    ],
)
def test_a_drafter_that_cannot_be_taught_says_why(more, words, lstm, tmp_path, capsys):
    """Numbers that are none, and a target that this step cannot teach by."""
    causal = make_causal(tmp_path / "causal") if "{causal}" in more else ""
    assert main(lstm(*(m.format(causal=causal) for m in more))) == 2
    assert words in capsys.readouterr().err


def test_other_sizes_for_n_grams_and_shards_are_told(tiny_folder, pairs, tmp_path, capsys):
    """A vocabulary that ids of 16 bits cannot name, and a shard that holds nothing."""
    common = ["--data", str(pairs), "--out"]
    for arguments, words in (
        (["ngram", "--tokenizer", str(tiny_folder), "--orders", "1", "--vocab-size", "70000", *common, "ng"], "65535"),
        (["pseudo", "--target", str(tiny_folder), "--shard", "15/20", *common, "p.jsonl"], "holds no article"),
        (["pseudo", "--target", str(tiny_folder), *common, "p.txt"], "must be a .jsonl file"),
    ):
        assert main([*arguments[:-1], str(tmp_path / arguments[-1])]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", ["pseudo", "highlights"])
def test_n_grams_end_where_the_targets_texts_end(text, pairs, tmp_path):
    """A decoder-only target ends its texts with another id than a T5, and id 1 is none of its words."""
    causal = make_causal(tmp_path / "causal")
    if text == "pseudo":
        rows = [{"id": f"p{i}", "summary": "", "ids": [300, 301, 2]} for i in range(8)]
        given = ["--pseudo", str(write(tmp_path / "pseudo.jsonl", rows))]
    else:
        given = ["--data", str(pairs)]
    assert main(["ngram", "--tokenizer", str(causal), "--orders", "1", *given, "--out", str(tmp_path / "n")]) == 0
    target = load_target(str(causal))
    unigram = NgramDrafter.load(tmp_path / "n" / "ngram-1.safetensors", target.vocab_size).log_probs([])
    assert unigram[target.eos_id] > unigram[1] + 2
    assert json.loads((tmp_path / "n" / "record.json").read_text())["eos_id"] == target.eos_id == 2
    arpa, words = tmp_path / "a.arpa", ["<unk>", "<s>", "</s>", "1", "5"]
    lines = [f"-0.69897\t{w}\t0" for w in words]
    arpa.write_text("\n".join(["\\data\\", f"ngram 1={len(words)}", "", "\\1-grams:", *lines, "", "\\end\\", ""]))
    assert read_arpa(arpa, 9, eos_id=2)[0][0].token.tolist() == [1, 2, 5, 9]  # 9 is <s>


def test_logits_of_a_deep_drafter_survive_its_folder(tmp_path):
    """A drafter with fewer layers on one side only keeps head and scale in its folder."""
    target = load_target(str(make_t5(tmp_path / "t5", **dict(FORMS["flan"]))), engine="torch")
    student = shrunk(target, 2)
    assert (student.config.num_layers, student.config.num_decoder_layers) == (2, 2)
    T5Student(student).save(tmp_path / "saved")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "t5" / file, tmp_path / "saved")
    again = load_target(str(tmp_path / "saved"), engine="torch").model
    given = {"input_ids": torch.tensor([[5, 6, 7, 1]]), "decoder_input_ids": torch.tensor([[0, 11, 12]])}
    with torch.inference_mode():
        torch.testing.assert_close(again(**given).logits, student.eval()(**given).logits, atol=0.1, rtol=0.01)
