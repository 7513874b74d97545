"""Training's promises about weights, p, data, caches and state: each kind of fault that was once reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GenerationConfig, T5ForConditionalGeneration

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters.t5 import T5Drafter
from fastllm.targets.load import load_target
from fastllm.targets.pretrained import is_tied
from tests.conftest import TEXTS, make_t5
from train import peers
from train.__main__ import main
from train.corpus import build_corpus
from train.data import load_pairs
from train.steps import drafter as drafter_step
from train.steps.target import export
from train.students import T5Student, shrunk
from train.summaries import summarise

FORMS = {
    "1.0": {},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "flan-deep": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 3},
}
IDS, TEXT = torch.tensor([[5, 6, 7, 8, 9, 1]]), torch.tensor([[0, 11, 12, 13]])


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS, decoder_input_ids=TEXT, use_cache=False).logits.float()


def untie(folder: Path, to: Path) -> Path:
    """The same function in another form: a head of its own, H = shared · d^-1/2 · signs, and the final norm with the
    same signs, its output not scaled."""
    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    config = json.loads((to / "config.json").read_text())
    signs = torch.where(torch.rand(config["d_model"], generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)
    weights["lm_head.weight"] = (weights["shared.weight"].float() * config["d_model"] ** -0.5 * signs).contiguous()
    norm = "decoder.final_layer_norm.weight"
    weights[norm] = weights[norm].float() / signs
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    config["tie_word_embeddings"] = False
    config.pop("scale_decoder_outputs", None)
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Ten pairs of our own writing."""
    file = tmp_path_factory.mktemp("faults") / "pairs.jsonl"
    rows = [
        {"id": f"p{i}", "article": " ".join((TEXTS * 3)[i % 6 : i % 6 + 8]), "highlights": TEXTS[(i + 1) % 6]}
        for i in range(10)
    ]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return file


@pytest.mark.parametrize("form", FORMS)
def test_what_is_saved_is_what_was_trained(form, tmp_path):
    """Export of a target, and a T5 drafter: loaded again, the same logits (but for float16), head and scale
    included."""
    folder = make_t5(tmp_path / "t5", **dict(FORMS[form]))
    target = load_target(str(folder), engine="torch")
    assert is_tied(target.model) is (form == "1.0")
    wanted = logits(target.model)
    export(target.model, AutoTokenizer.from_pretrained(folder), tmp_path / "exported", 64, 16)
    T5Student(target.model).save(tmp_path / "student")
    shutil.copy(folder / "tokenizer.json", tmp_path / "student")
    shutil.copy(folder / "tokenizer_config.json", tmp_path / "student")
    for name in ("exported", "student"):
        again = load_target(str(tmp_path / name), engine="torch")
        assert is_tied(again.model) is (form == "1.0")
        torch.testing.assert_close(logits(again.model), wanted, atol=0.1, rtol=0.01)


@pytest.mark.parametrize("form", ["tied", "untied"])
def test_a_drafter_with_all_layers_is_the_target(form, tmp_path):
    """`shrunk` by nothing: greedy alpha is 1, whichever form the target is stored in."""
    folder = make_t5(tmp_path / "t5")
    if form == "untied":
        folder = untie(folder, tmp_path / "untied")
    target = load_target(str(folder))
    student = shrunk(target, 2)
    torch.testing.assert_close(logits(student), logits(target.model), atol=1e-4, rtol=1e-4)
    T5Student(student).save(tmp_path / "all")
    drafter = T5Drafter.load(tmp_path / "all", target)
    settings = Settings(4, Sampling(no_repeat_ngram_size=3), max_new_tokens=16, top=0)
    session = target.open(TEXTS[0])
    trace = make_trace(session, drafter, settings, list(speculative(session, drafter, settings)))
    assert all(t.status == "accepted" for s in trace.steps for t in s.draft if t.beta is not None)


def test_the_same_function_in_another_form_gives_the_same_text(tmp_path):
    """Tied and untied, on either engine, after an export of each."""
    tied = make_t5(tmp_path / "tied")
    untied = untie(tied, tmp_path / "untied")
    other = load_target(str(untied), engine="torch")
    export(other.model, other.tokenizer, tmp_path / "again", 512, 96)
    settings = Settings(1, Sampling(no_repeat_ngram_size=3), max_new_tokens=20, top=0)
    found = set()
    for folder in (tied, untied, tmp_path / "again"):
        for engine in ("onnx", "torch"):
            session = load_target(str(folder), engine=engine).open(TEXTS[0])
            found.add(make_trace(session, None, settings, list(autoregressive(session, settings))).tokens)
    assert len(found) == 1


ODD_SETTINGS = [
    {"min_length": 15, "repetition_penalty": 1.8},
    {"num_beams": 3, "length_penalty": 2.0},
    {"no_repeat_ngram_size": 2, "forced_eos_token_id": 1, "max_length": 9},
    {"do_sample": True, "top_p": 0.3, "temperature": 0.2, "suppress_tokens": [5, 6, 7]},
]


@pytest.mark.parametrize("asked", ODD_SETTINGS, ids=lambda a: "-".join(a))
def test_there_is_one_definition_of_p(asked, tmp_path, pairs):
    """Whatever a folder's generation settings ask for: pseudo-texts, evaluate and transformers' generate under our
    definition are what the page says; the load says what is left out."""
    folder = make_t5(tmp_path / "t5", num_decoder_layers=3)
    plain = load_target(str(folder))
    wanted = [summarise(plain, p.article, 0.0, 16) for p in load_pairs(str(pairs))[:4]]
    GenerationConfig(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, **asked).save_pretrained(folder)
    target = load_target(str(folder))
    assert main(["pseudo", "--target", str(folder), "--data", str(pairs), "--limit", "4", "--max-new-tokens", "16",
                 "--out", str(tmp_path / "pseudo.jsonl")]) == 0  # fmt: skip
    rows = {r["id"]: r["ids"] for r in map(json.loads, (tmp_path / "pseudo.jsonl").read_text().splitlines())}
    settings = Settings(1, Sampling(no_repeat_ngram_size=3), max_new_tokens=16)
    for pair, text in zip(load_pairs(str(pairs))[:4], wanted, strict=True):
        assert rows[pair.id] == text
        session = target.open(pair.article)
        assert peers.time_generate(target, session.source.prompt_ids, settings)[1] == text
    left = {"min_length", "num_beams", "forced_eos_token_id", "suppress_tokens"} & set(asked)
    assert any(next(iter(left)) in note for note in target.notes)


def test_a_student_with_a_deeper_decoder_learns_from_its_own_text(tmp_path, pairs):
    """On-policy recipes sample from the drafter, whatever its shape and its generation settings."""
    target = make_t5(tmp_path / "target")
    init = make_t5(tmp_path / "init", num_decoder_layers=3)
    assert main(["drafter", "--family", "t5", "--recipe", "gkd", "--on-policy", "1", "--init", str(init), "--target",
                 str(target), "--data", str(pairs), "--validation", str(pairs), "--alpha-articles", "2", "--steps", "1",
                 "--batch-size", "2", "--alpha-every", "1", "--pseudo", pseudo_of(target, pairs, tmp_path), "--cache",
                 str(tmp_path / "cache"), "--state", str(tmp_path / "state"), "--out",
                 str(tmp_path / "out")]) == 0  # fmt: skip


def pseudo_of(target: Path, pairs: Path, folder: Path) -> str:
    out = folder / "pseudo.jsonl"
    assert (
        main(["pseudo", "--target", str(target), "--data", str(pairs), "--max-new-tokens", "8", "--out", str(out)]) == 0
    )
    return str(out)


GOOD = {"id": "a", "article": "word " * 70, "highlights": "A summary."}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([GOOD, {**GOOD, "article": None}], "Row 2 of .* has no 'article'"),
        ([GOOD, GOOD, {**GOOD, "highlights": None}], "Row 3 of .* has no 'highlights'"),
        ([{**GOOD, "article": 17}], "Row 1 of .* has a value of type int as 'article', not text"),
        ([{**GOOD, "highlights": ["a", "b"]}], "Row 1 of .* has a value of type list as 'highlights', not text"),
        ([GOOD, {**GOOD, "article": "other " * 70}], "Row 2 of .* has the id 'a' of row 1"),
        ([{**GOOD, "id": [1]}], "Row 1 of .* has a value of type list as 'id'"),
        ([{"id": "a", "article": "x"}], "needs the columns"),
        ([{**GOOD, "article": "too short"}], "no usable pair among 1 rows"),
        ([], "is empty"),
    ],
)
def test_rows_are_told_by_their_number(rows, words, tmp_path, capsys):
    """Every step that reads pairs: exit status 2, one sentence."""
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(ValueError, match=words):
        load_pairs(str(file))
    assert main(["data", "--data", str(file), "--out", str(tmp_path / "out.jsonl")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if line.startswith("train data:")]) == 1
    assert not any("Traceback" in line for line in said)


def test_a_damaged_file_is_told_as_such(tmp_path):
    """No error of a library's own."""
    for name in ("a.parquet", "a.jsonl"):
        (tmp_path / name).write_bytes(b"{not at all")
        with pytest.raises(ValueError, match="cannot be read"):
            load_pairs(str(tmp_path / name))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "--limit", "0"], "limit of pairs must be 1"),
        (["data", "--limit", "-3"], "limit of pairs must be 1"),
        (["pseudo", "--batch-size", "0"], "--batch-size must be 1"),
        (["pseudo", "--max-new-tokens", "0"], "--max-new-tokens must be 1"),
        (["pseudo", "--temperature", "-1"], "Temperature must be"),
        (["evaluate", "--articles", "0"], "--articles must be 1"),
        (["evaluate", "--rouge-articles", "-1"], "--rouge-articles must be 0"),
        (["target", "--batch-size", "0"], "--batch-size must be 1"),
        (["target", "--max-article", "0"], "--max-article must be 16"),
        (["target", "--limit", "0"], "--limit must be 1"),
        (["ngram", "--limit", "0"], "--limit must be 1"),
        (["ngram", "--heldout", "x", "--heldout-limit", "0"], "--heldout-limit must be 1"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(arguments, words, pairs, tmp_path, capsys):
    """Before any work, by the option's name."""
    common = ["--data", str(pairs)] + ([] if arguments[0] == "evaluate" else ["--out", str(tmp_path / "out")])
    assert main([*arguments, *common]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--steps", "0"], "--steps must be 1"),
        (["--batch-size", "0"], "--batch-size must be 1"),
        (["--teacher-top-k", "100000"], "give fewer"),
        (["--teacher-top-k", "-1"], "--teacher-top-k must be 0"),
        (["--alpha-articles", "0"], "--alpha-articles must be 1"),
        (["--lr", "0"], "--lr must be above 0"),
        (["--on-policy", "2"], "between 0 and 1"),
        (["--init", "no/such/folder", "--family", "t5"], "no drafter at"),
    ],
)
def test_a_drafter_that_cannot_be_trained_says_why(more, words, tiny_folder, pairs, tmp_path, capsys):
    """The same of the drafter step."""
    assert main(["drafter", "--family", "lstm", "--target", str(tiny_folder), "--data", str(pairs), "--validation",
                 str(pairs), "--steps", "1", "--alpha-articles", "2", "--cache", str(tmp_path / "cache"), "--state",
                 str(tmp_path / "state"), "--out", str(tmp_path / "out"), *more]) == 2  # fmt: skip
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["empty", "pointer", "cut"])
@pytest.mark.parametrize("option", ["--base", "--init"])
def test_weights_to_go_on_from_are_checked(option, damage, tiny_folder, pairs, tmp_path, capsys):
    """A git-lfs pointer, an empty or a cut file: named, for --base and --init alike."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "given"))
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(
        {"empty": b"", "pointer": b"version https://git-lfs.github.com/spec/v1\n", "cut": content[:-9]}[damage]
    )
    common = [
        "--data",
        str(pairs),
        "--state",
        str(tmp_path / "state"),
        "--out",
        str(tmp_path / "out"),
        option,
        str(folder),
    ]
    if option == "--base":
        said = main(["target", "--mixed-precision", "no", *common])
    else:
        said = main(["drafter", "--family", "t5", "--target", str(tiny_folder), "--validation", str(pairs), "--cache",
                     str(tmp_path / "cache"), "--alpha-articles", "2", *common])  # fmt: skip
    assert said == 2
    assert {"empty": "is empty", "pointer": "git-lfs pointer", "cut": "cut short"}[damage] in capsys.readouterr().err


def test_caches_are_keyed_by_content(tiny, pairs, tmp_path, monkeypatch):
    """Validation texts and tokenized corpora: edit the file, and what was cached for it is not used."""
    file = Path(shutil.copy(pairs, tmp_path / "validation.jsonl"))
    args = type("Args", (), {"validation": str(file), "alpha_articles": 3, "cache": tmp_path / "cache"})()
    first = drafter_step.validation_texts(args, tiny)
    assert drafter_step.validation_texts(args, tiny) == first
    file.write_text(file.read_text().replace("ferry", "tram"))
    again = drafter_step.validation_texts(args, tiny)
    fresh = [summarise(tiny, p.article, 0.0, 24) for p in drafter_step.sample_pairs(str(file), "validation", 3)]
    assert [list(e.text) for e in again[0]] == fresh
    before = load_pairs(str(pairs))
    after = load_pairs(str(file))
    corpora = [build_corpus(p, tiny.tokenizer, 64, 16, tmp_path / "corpus") for p in (before, after)]
    assert corpora[0].articles.flat.tolist() != corpora[1].articles.flat.tolist()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--lr", "0.5"], "lr"),
        (["--seed", "7"], "seed"),
        (["--family", "cnn"], "family"),
        (["--d-state", "16"], "d_state"),
        (["--d-model", "16"], "d_model"),
        (["--embeddings", "target"], "embeddings"),
        (["--limit", "5"], "limit"),
        (["--recipe", "seqkd"], "recipe"),
    ],
)
def test_state_of_another_training_is_not_taken_up(change, named, tiny_folder, pairs, tmp_path, capsys):
    """Another rate, seed, family, size, data or recipe: one sentence that names it, and the state untouched."""
    common = ["drafter", "--target", str(tiny_folder), "--data", str(pairs), "--validation", str(pairs), "--steps", "1",
              "--batch-size", "2", "--alpha-articles", "2", "--cache", str(tmp_path / "cache"), "--state",
              str(tmp_path / "state"), "--out", str(tmp_path / "out")]  # fmt: skip
    first = [*common, "--family", "lstm", "--d-state", "8"]
    assert main(first) == 0
    assert main([*first, *change]) == 2
    assert f"other {named}" in capsys.readouterr().err
    assert main(first) == 0


def test_state_of_a_target_and_of_a_pseudo_dataset_is_claimed(tiny_folder, pairs, tmp_path, capsys):
    """Every step that can be resumed has the same claim."""
    common = ["target", "--data", str(pairs), "--state", str(tmp_path / "state"), "--out", str(tmp_path / "out"),
              "--base", str(tiny_folder), "--steps", "summarize=1", "--batch-size", "2",
              "--mixed-precision", "no"]  # fmt: skip
    assert main(common) == 0
    capsys.readouterr()
    assert main([*common, "--seed", "9"]) == 2
    assert "other seed" in capsys.readouterr().err
    made = ["pseudo", "--target", str(tiny_folder), "--data", str(pairs), "--limit", "2", "--max-new-tokens", "4",
            "--out", str(tmp_path / "pseudo.jsonl")]  # fmt: skip
    assert main(made) == 0
    assert main([*made, "--temperature", "1"]) == 2
    assert "other temperature" in capsys.readouterr().err
    assert main(made) == 0


def test_a_t5_saved_by_transformers_keeps_its_scale(tmp_path):
    """transformers 5 writes that every T5's head is tied, and reads that as: its input is scaled."""
    folder = make_t5(tmp_path / "t5", tie_word_embeddings=False)
    model = load_target(str(folder), engine="torch").model
    model.save_pretrained(tmp_path / "again")
    shutil.copy(folder / "tokenizer.json", tmp_path / "again")
    shutil.copy(folder / "tokenizer_config.json", tmp_path / "again")
    again = load_target(str(tmp_path / "again"), engine="torch").model
    assert isinstance(again, T5ForConditionalGeneration)
    torch.testing.assert_close(logits(again), logits(model))
