"""``train drafter`` end to end on tiny data: every family and recipe, resumed, distributed; teacher cache and alpha."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters import load_drafter
from fastllm.drafters.copying import PAST_END
from fastllm.targets.load import load_target
from tests.conftest import TEXTS
from train import teacher
from train.__main__ import main
from train.alpha import measure_alpha
from train.batches import Example, make_batch, read_texts
from train.recipes import RECIPES, Recipe
from train.steps import drafter
from train.steps.drafter import batch_loss
from train.students import T5Student, new_student, shrunk


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_folder) -> Path:
    """A folder with a tiny target, twelve pairs of our own writing, and what the target says of them."""
    folder = tmp_path_factory.mktemp("drafters")
    (folder / "target").symlink_to(tiny_folder)
    rows = []
    for i in range(12):
        article = " ".join((TEXTS * 3)[i % 6 : i % 6 + 8])
        rows.append({"id": f"pair-{i}", "article": article, "highlights": TEXTS[(i + 1) % 6]})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert main(["pseudo", "--target", str(folder / "target"), "--data", str(folder / "pairs.jsonl"), "--out",
                 str(folder / "pseudo.jsonl")]) == 0  # fmt: skip
    return folder


def arguments(place: Path, run: Path, family: str, *more: str) -> list[str]:
    data = str(place / "pairs.jsonl")
    return ["drafter", "--family", family, "--target", str(place / "target"), "--data", data, "--validation", data,
            "--pseudo", str(place / "pseudo.jsonl"), "--alpha-articles", "4", "--steps", "4", "--batch-size", "4",
            "--alpha-every", "2", "--save-every", "1", *([] if "--init" in more else ["--layers", "1"]),
            "--cache", str(place / "cache"), "--state", str(run / "state"),
            "--out", str(run / f"{family}-distilled"), *more]  # fmt: skip


@pytest.mark.parametrize("family", ["lstm", "cnn", "t5"])
def test_each_family_trains_and_its_drafter_is_lossless(family, place, tmp_path):
    """What the step writes loads as a drafter of the target, and greedy texts stay the target's own."""
    assert main(arguments(place, tmp_path, family, "--recipe", "js")) == 0
    record = json.loads((tmp_path / f"{family}-distilled" / "record.json").read_text())
    assert record["recipe"]["loss"] == "js"
    assert [row["step"] for row in record["history"]] == [2, 4]
    assert record["best"]["alpha"] == max(row["alpha"] for row in record["history"])
    target = load_target(str(place / "target"))
    fitting = target.with_preset(replace(target.preset, drafters=str(tmp_path)))
    drafter = load_drafter(fitting, f"{family}@distilled")
    session, settings = fitting.open(TEXTS[0]), Settings(3, Sampling(no_repeat_ngram_size=3), max_new_tokens=20)
    plain = make_trace(session, None, settings, list(autoregressive(session, settings)))
    fast = make_trace(session, drafter, settings, list(speculative(session, drafter, settings)))
    assert fast.tokens == plain.tokens


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_runs(recipe, place, tmp_path):
    """Two steps of each with an LSTM, the loss finite."""
    assert main(arguments(place, tmp_path, "lstm", "--recipe", recipe, "--steps", "2")) == 0
    history = json.loads((tmp_path / "lstm-distilled" / "record.json").read_text())["history"]
    assert np.isfinite(history[-1]["loss"])


def test_training_raises_alpha(place, tmp_path):
    """Sixty steps on what the target says of these articles: most of its greedy tokens are guessed."""
    assert (
        main(
            arguments(
                place, tmp_path, "lstm", "--recipe", "seqkd", "--steps", "60", "--alpha-every", "20", "--lr", "0.02"
            )
        )
        == 0
    )
    history = json.loads((tmp_path / "lstm-distilled" / "record.json").read_text())["history"]
    assert max(row["greedy"] for row in history) > 0.5


def test_a_cut_run_resumes_to_the_same_weights(place, tmp_path, monkeypatch):
    """Cut after two of four steps and begun again, it writes what an unbroken run writes."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    more = ("--recipe", "gkd", "--on-policy", "1")
    assert main(arguments(place, whole, "lstm", *more)) == 0
    step = drafter._Loop.step

    def failing(self, n: int, rows) -> float:
        if n == 2:
            raise KeyboardInterrupt
        return step(self, n, rows)

    with monkeypatch.context() as patched:
        patched.setattr(drafter._Loop, "step", failing)
        with pytest.raises(KeyboardInterrupt):
            main(arguments(place, cut, "lstm", *more))
    assert json.loads((cut / "state" / "latest" / "progress.json").read_text())["step"] == 2
    assert main(arguments(place, cut, "lstm", *more)) == 0
    one, two = ((f / "lstm-distilled" / "record.json").read_text() for f in (whole, cut))
    assert json.loads(one)["history"] == json.loads(two)["history"]


def test_alphas_are_collected_from_records(place, tmp_path, capsys):
    """One row a run, the best first; runs of different validation sets are not put side by side."""
    for name in ("kl", "tvd"):
        assert main(arguments(place, tmp_path / name, "cnn", "--recipe", name, "--steps", "2")) == 0
    records = [str(tmp_path / name / "cnn-distilled" / "record.json") for name in ("kl", "tvd")]
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- alpha-target:begin -->\n<!-- alpha-target:end -->\nb\n")
    out = tmp_path / "alpha.json"
    assert main(["alphas", "--records", *records, "--json", str(out), "--table", str(readme)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {r["recipe"] for r in rows} == {"kl", "tvd"}
    means = [r["alpha_greedy"] + r["alpha_sampled"] for r in rows]
    assert means == sorted(means, reverse=True)
    assert "| cnn | tvd |" in readme.read_text()
    changed = json.loads(Path(records[0]).read_text())
    changed["arguments"]["alpha_articles"] = 7
    Path(records[0]).write_text(json.dumps(changed))
    assert main(["alphas", "--records", *records]) == 2
    assert "cannot be compared" in capsys.readouterr().err


def test_it_goes_on_from_a_given_drafter(place, tmp_path):
    """--init begins with another run's weights: at a rate of zero they come out as they went in."""
    assert main(arguments(place, tmp_path / "a", "cnn")) == 0
    first, second = (tmp_path / name / "cnn-distilled" for name in "ab")
    assert main(arguments(place, tmp_path / "b", "cnn", "--init", str(first), "--lr", "1e-12")) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert all(torch.allclose(before[k].float(), after[k].float(), atol=1e-4) for k in before)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--recipe", "kl", "--pseudo", ""), "learns from the target: make --pseudo"),
        (("--recipe", "baseline", "--loss", "magic"), "There is no loss 'magic'"),
        (("--recipe", "seqkd", "--on-policy", "0.5"), "own text has no reference"),
        (("--recipe", "kl", "--on-policy", "2"), "lies between 0 and 1"),
        (("--recipe", "kl", "--pseudo", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--validation", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_what_cannot_work_is_told(more, words, place, tmp_path, capsys):
    """A sentence and status 2, before any training."""
    assert main([*arguments(place, tmp_path, "lstm"), *more]) == 2
    assert words in capsys.readouterr().err


def test_broken_pseudo_rows_are_told(tmp_path):
    """The line is named."""
    file = tmp_path / "p.jsonl"
    for text, words in (('{"id": "a"}', "Line 1"), ('{"id": "a", "ids": [999]}', "below 256"), ("", "no summary")):
        file.write_text(text)
        with pytest.raises(ValueError, match=words):
            read_texts(file, 256)


EXAMPLES = [Example((5, 6, 7), (2, 5, 6, 7, 1), (8, 9, 1)), Example((5, 6), (2, 5, 6, 1), (7, 1))]


def test_a_batch_by_hand():
    """Shifted inputs, padding, and a mask that is True at tokens only, the token 0 among them."""
    batch = make_batch([*EXAMPLES, Example((4,), (2, 4, 1), (0, 1))], eos_id=1, start_id=0)
    assert batch.inputs[:, :3].tolist() == [[0, 8, 9], [0, 7, 1], [0, 0, 1]]
    assert batch.labels[:, :3].tolist() == [[8, 9, 1], [7, 1, 0], [0, 1, 0]]
    assert batch.mask.sum(1).tolist() == [3, 2, 2]
    assert batch.article[:, :4].tolist() == [[5, 6, 7, PAST_END], [5, 6, *[PAST_END] * 2], [4, *[PAST_END] * 3]]
    assert batch.prompt[0, :6].tolist() == [2, 5, 6, 7, 1, 0]
    assert batch.prompt_mask.sum(1).tolist() == [5, 4, 3]


def test_the_loss_counts_tokens_not_padding():
    """Mean over the five real tokens; a value in a padded place changes nothing."""
    batch = make_batch(EXAMPLES, eos_id=1, start_id=0)
    log_q = torch.randn(2, batch.inputs.shape[1], 12, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    by_hand = -np.mean([log_q[0, t, w].item() for t, w in enumerate((8, 9, 1))] + [log_q[1, t, w].item() for t, w in
                                                                                   enumerate((7, 1))])  # fmt: skip
    assert batch_loss(RECIPES["baseline"], log_q, batch, None).item() == pytest.approx(by_hand, rel=1e-5)
    changed = log_q.clone()
    changed[1, 2:] = -99.0
    assert batch_loss(RECIPES["baseline"], changed, batch, None).item() == pytest.approx(by_hand, rel=1e-5)
    imitate = batch_loss(Recipe("x", "pseudo", "imitate"), log_q, batch, log_q).item()
    assert imitate == pytest.approx(-log_q.max(-1).values[batch.mask].mean().item(), rel=1e-5)


def test_cached_answers_are_the_targets_own(place, tiny, tmp_path):
    """Top-k from disk equals the forward pass; a second call reads the file; the rest is shared out evenly."""
    texts = [(*tiny.tokenizer(t, add_special_tokens=False).input_ids[:9], 1) for t in TEXTS[:3]]
    prompts = tiny.read_many(TEXTS[:3])
    examples = [Example(p.article, p.ids, x) for p, x in zip(prompts, texts, strict=True)]
    found = teacher.cache(tiny, examples, 8, tmp_path)
    again = teacher.cache(tiny, examples, 8, tmp_path)
    batch = make_batch(examples, tiny.eos_id, tiny.start_id)
    exact = teacher.log_p(tiny, batch.prompt, batch.prompt_mask, batch.inputs)
    for i, (row, same) in enumerate(zip(found, again, strict=True)):
        t = len(texts[i])
        assert row.ids.shape == (t, 8)
        assert np.array_equal(row.ids, same.ids)
        assert np.allclose(row.logp, exact[i, :t].topk(8).values, atol=2e-2)
    whole = teacher.dense(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.3]]).log(), 6).exp()
    assert whole[0].tolist() == pytest.approx([0.05, 0.05, 0.05, 0.5, 0.05, 0.3])
    assert exact.exp().sum(-1).sub(1).abs().max() < 1e-4


def test_alpha_of_the_target_itself_is_one(tiny):
    """A drafter that is the target is accepted everywhere, greedy and sampled."""
    generated = tiny.model.generate(torch.tensor([tiny.open(TEXTS[0]).source.prompt_ids]), max_new_tokens=12)
    source = tiny.open(TEXTS[0]).source
    example = Example(source.article_ids, source.prompt_ids, tuple(generated[0, 1:].tolist()))
    answers = teacher._compute(tiny, [example], 256, 1)
    alpha = measure_alpha(T5Student(tiny.model), tiny, [example], [example], answers)
    assert alpha.greedy == 1.0
    assert alpha.sampled == pytest.approx(1.0, abs=1e-2)
    other = measure_alpha(new_student("lstm", tiny, None), tiny, [example], [example], answers)
    assert other.mean < 0.5


def test_shrinking_to_all_layers_is_the_target(tiny):
    """With as many layers as it has, the shrunk T5 is the target; with one, it takes the first of each side."""
    ids = torch.tensor([[5, 6, 7, 1]])
    same = shrunk(tiny, 2).eval()(input_ids=ids, decoder_input_ids=ids).logits
    assert torch.allclose(same, tiny.model(input_ids=ids, decoder_input_ids=ids).logits, atol=1e-5)
    one = shrunk(tiny, 1)
    assert len(one.encoder.block) == len(one.decoder.block) == 1
    light = shrunk(tiny, 2, 1)
    assert (len(light.encoder.block), len(light.decoder.block)) == (light.config.num_layers, 1) == (2, 1)
    assert light.config.num_decoder_layers == 1
    with pytest.raises(ValueError, match="--layers must be from 1 to 2"):
        shrunk(tiny, 3)
    with pytest.raises(ValueError, match="--decoder-layers must be from 1 to 2, the target's, not 3"):
        shrunk(tiny, 2, 3)


def test_own_texts_end_where_they_end(tiny):
    """On-policy texts keep their end-of-text token and nothing after it, and respect the limit."""
    batch = make_batch([Example(p.article, p.ids, (1,)) for p in tiny.read_many(TEXTS)], 1, 0)
    for family in ("lstm", "t5"):
        rows = new_student(family, tiny, None, layers=1).sample(batch, 7, eos_id=1, start_id=0)
        assert len(rows) == len(TEXTS)
        assert all(1 <= len(r) <= 7 and 1 not in r[:-1] for r in rows)
