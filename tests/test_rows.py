"""Drafters whose rare tokens share embeddings, and their training for decoder-only targets."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, make_trace, speculative
from fastllm.drafters import load_drafter
from fastllm.drafters.copying import PAST_END
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.neural import save_model
from fastllm.drafters.rows import Columns, rows_of
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.targets.load import load_target
from tests.conftest import TEXTS
from tests.test_copying import ARTICLES, CLASSES, SIZES, TOKENS, V, model_of
from tests.tiny_models import make_causal
from train import teacher
from train.__main__ import main
from train.batches import Example, make_batch
from train.students import by_frequency, new_student, projected, rows_given


def with_rows(family: str, order, own: int, shared: int):
    model = model_of(family, own=own, shared=shared)
    model.rows = rows_of(order, V, own, shared)
    return model


@pytest.mark.parametrize("family", SIZES)
def test_shared_rows_make_a_distribution_and_columns_its_sums(family):
    """Over V tokens it sums to 1; over few columns each is the sum of its tokens, copied ones by themselves."""
    order = [7, 0, 13, *(i for i in range(V) if i not in (7, 0, 13))]
    model = with_rows(family, order, 3, 4)
    few = Columns.few(model.rows, 3, 7, ARTICLES[ARTICLES != PAST_END])
    with torch.inference_mode():
        whole, summed = model(ARTICLES, TOKENS), model(ARTICLES, TOKENS, few)
    assert torch.allclose(whole.exp().sum(-1), torch.ones(2, 6), atol=1e-5)
    assert len(few.row) == 7 + 7  # the articles' nine tokens less 7 and 13, which have rows of their own
    assert torch.allclose(few.gathered(whole), summed, atol=1e-5)
    assert few.size.sum() == V
    # What neither is frequent nor stands in the article shares its row's mass equally.
    assert torch.allclose(whole[0, :, 18], whole[0, :, 22], atol=1e-6)
    assert not torch.allclose(whole[0, :, 18], whole[0, :, 19], atol=1e-3)


@pytest.mark.parametrize("family", SIZES)
def test_the_engine_reads_shared_rows_as_the_model_does(family):
    """With every rare token in the article nothing is off the shortlist, and the numbers are the model's."""
    order = [i for i in reversed(range(V)) if i not in (5, 6, 8)] + [5, 6, 8]
    drafter = CLASSES[family][1](with_rows(family, order, V - 3, 2))
    article, text = [5, 6, 7, 8, 5, 6, 9], [5, 6, 9, 3, 8]
    session = drafter.open(Source(tuple(article), tuple(article)), Sampler(Sampling(0.0), V, (1,), 0, 0))
    with torch.inference_mode():
        whole = drafter.model(torch.tensor([article]), torch.tensor([[0, *text]]))[0]
    for t in range(len(text) + 1):
        # A CNN's table is in half precision.
        assert torch.allclose(session.next_logits(text[:t]), whole[t], atol=2e-3)


def test_the_shortlist_is_the_most_frequent():
    """Not the first ids, where rows say which tokens are frequent."""
    engine = CLASSES["lstm"][1](with_rows("lstm", [30, 20, 10, *(i for i in range(V) if i not in (30, 20, 10))], 3, 4))
    assert engine.engine.read([5], 2)[0].shortlist.tolist() == [5, 20, 30]


def test_rows_survive_saving_and_damaged_ones_are_told(tmp_path):
    """The same rows come back; a row that is none, or two tokens in a frequent one's, is a damaged drafter."""
    model = with_rows("lstm", list(reversed(range(V))), 5, 3)
    save_model(model, "lstm", tmp_path)
    drafter = CLASSES["lstm"][1].load(tmp_path, V)
    assert torch.equal(drafter.model.rows, model.rows)
    weights = load_file(tmp_path / "model.safetensors")
    for bad in (99, -1, 0):
        rows = weights["rows"].clone()
        rows[3] = bad
        save_file({**weights, "rows": rows}, tmp_path / "model.safetensors")
        with pytest.raises(DrafterError, match="rows are not those"):
            CLASSES["lstm"][1].load(tmp_path, V)


def test_cached_answers_over_columns_are_their_sums():
    """By hand: each column has what its tokens have."""
    ids, logp = torch.tensor([[3, 5, 11]]), torch.tensor([[0.5, 0.2, 0.1]]).log()
    rows = rows_of([5, *(i for i in range(V) if i != 5)], V, 1, 4)
    few = Columns.few(rows, 1, 5, torch.tensor([3, 17]))
    summed = teacher.dense(ids, logp, V, few)
    assert torch.allclose(few.gathered(teacher.dense(ids, logp, V)), summed, atol=1e-5)
    assert summed.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert summed[0, few.cell[3]].exp().item() == pytest.approx(0.5, abs=1e-5)


def test_frequency_counts_texts_before_articles():
    """Start and end among them; articles decide between equals; small vocabularies keep a row for each token."""
    examples = [Example((4, 4, 6), (), (7, 1)), Example((6, 6), (), (7, 3, 1))]
    assert by_frequency(examples, 0, 8)[:6] == [0, 1, 7, 3, 6, 4]
    assert rows_given(128, 4096, None) == {}
    assert rows_given(128, 49152, None) == {"own": 8192, "shared": 256}
    assert rows_given(128, 416, 400) == {"own": 400, "shared": 16}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny Llama, pairs of our own writing, and what it says of them."""
    folder = tmp_path_factory.mktemp("causal-drafters")
    make_causal(folder / "target")
    rows = [
        {"id": f"p{i}", "article": " ".join((TEXTS * 3)[i : i + 3]), "highlights": TEXTS[(i + 1) % 6]} for i in range(6)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert main(["pseudo", "--target", str(folder / "target"), "--data", str(folder / "pairs.jsonl"), "--out",
                 str(folder / "pseudo.jsonl"), "--max-new-tokens", "16"]) == 0  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("family", "recipe", "more"),
    [
        ("lstm", "js", ("--pieces", "60")),
        ("cnn", "baseline", ("--pieces", "60")),
        ("cnn", "gkd", ("--pieces", "9", "--on-policy", "1")),
        ("lstm", "tvd", ()),
    ],
)
def test_a_decoder_only_target_teaches(family, recipe, more, place, tmp_path):
    """Record and alpha are written, the drafter loads, and greedy texts stay the target's own."""
    data = str(place / "pairs.jsonl")
    assert main(["drafter", "--family", family, "--recipe", recipe, "--target", str(place / "target"), "--data", data,
                 "--validation", data, "--pseudo", str(place / "pseudo.jsonl"), "--alpha-articles", "2", "--steps", "2",
                 "--batch-size", "3", "--alpha-every", "2", "--layers", "1", "--cache", str(place / "cache"),
                 "--state", str(tmp_path / "state"), "--out", str(tmp_path / f"{family}-distilled"),
                 *more]) == 0  # fmt: skip
    record = json.loads((tmp_path / f"{family}-distilled" / "record.json").read_text())
    assert 0 <= record["best"]["alpha"] <= 1
    assert np.isfinite(record["best"]["loss"])
    target = load_target(str(place / "target"))
    fitting = target.with_preset(replace(target.preset, drafters=str(tmp_path)))
    drafter = load_drafter(fitting, f"{family}@distilled")
    assert drafter.model.config.own == (int(more[1]) if more else 0)
    session, settings = fitting.open(TEXTS[0]), Settings(3, Sampling(), max_new_tokens=12)
    plain = make_trace(session, None, settings, list(autoregressive(session, settings)))
    fast = make_trace(session, drafter, settings, list(speculative(session, drafter, settings)))
    assert fast.tokens == plain.tokens


def test_a_decoder_only_teacher_says_what_its_sessions_say(place):
    """ln p of prompts of different lengths in one batch is each session's own, at every place of the text."""
    target = load_target(str(place / "target"))
    texts = [(9, 40, 7, 2), (33, 2)]
    articles = [TEXTS[0], " ".join(TEXTS[1:3])]
    prompts = target.read_many(articles)
    examples = [Example(p.article, p.ids, t) for p, t in zip(prompts, texts, strict=True)]
    batch = make_batch(examples, target.eos_id, target.start_id)
    assert len(set(batch.prompt_mask.sum(1).tolist())) == 2
    found = teacher.log_p(target, batch.prompt, batch.prompt_mask, batch.inputs)
    for i, (article, text) in enumerate(zip(articles, texts, strict=True)):
        logits = target.open(article).score((), text[:-1])[:, : target.legal_size]
        assert torch.allclose(found[i, : len(text), : target.legal_size], logits.log_softmax(-1), atol=1e-3)


def test_shared_rows_learn(place):
    """Thirty steps on one text, over few columns: its likelihood over all tokens rises."""
    target = load_target(str(place / "target"))
    prompt = target.read(TEXTS[0])
    example = Example(prompt.article, prompt.ids, (9, 40, 300, 390, 2))
    torch.manual_seed(0)
    student = new_student("lstm", target, None, [example], 4)
    batch = make_batch([example], target.eos_id, target.start_id)
    columns, optimizer = student.columns(batch), student.optimizer(0.02)
    cost = lambda c, labels: -(  # noqa: E731
        student(batch.article, batch.prompt, batch.prompt_mask, batch.inputs, c)[batch.mask]
        .gather(1, labels[batch.mask][:, None]).mean()
    )  # fmt: skip
    before = cost(None, batch.labels).item()
    for _ in range(30):
        optimizer.zero_grad()
        cost(columns, columns.cell[batch.labels]).backward()
        optimizer.step()
    assert cost(None, batch.labels).item() < before - 2


def test_embeddings_of_the_target_keep_what_is_alike():
    """Rows that lie in few directions keep all their angles on as many axes; fewer axes keep the widest directions."""
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3)) * (5, 2, 1)).float()
    turned = rows @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0][:3]
    centred = rows - rows.mean(0)
    for width, kept in ((4, centred), (8, centred), (12, centred)):
        found = projected(turned, width)
        assert found.shape == (50, width)
        assert found.square().mean().item() == pytest.approx(1 / width)
        alike, wanted = found @ found.T, kept @ kept.T
        assert torch.allclose(alike / alike.norm(), wanted / wanted.norm(), atol=1e-5)
    one = projected(turned, 1)[:, 0]
    widest = centred @ torch.linalg.eigh(centred.T @ centred)[1][:, -1]
    assert abs(torch.corrcoef(torch.stack([one, widest]))[0, 1]).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("pieces", [None, 4])
def test_a_fresh_drafter_takes_the_targets_embeddings(pieces, place):
    """Frequent pieces have their own, those that share a row its mean; without a word they are drawn."""
    target = load_target(str(place / "target"))
    prompt = target.read(TEXTS[0])
    example = Example(prompt.article, prompt.ids, (9, 40, 300, 390, 2))
    model = new_student("lstm", target, None, [example], pieces, embeddings="target", d_model=8).model
    table = target.model.get_input_embeddings().weight.detach()[: target.vocab_size].float()
    if pieces:
        rows = model.rows.tolist()
        table = torch.stack(
            [table[[w for w in range(len(rows)) if rows[w] == r]].mean(0) for r in range(model.config.rows)]
        )
    assert torch.allclose(model.embedding.weight, projected(table, 8), atol=1e-5)
    drawn = new_student("lstm", target, None, [example], pieces, d_model=8).model
    assert not torch.allclose(drawn.embedding.weight, model.embedding.weight, atol=1e-2)
