"""Drafts within a shortlist: the same rows on both engines, a q that keeps to it, and texts that do not notice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastllm.config import Sampling, Settings
from fastllm.drafters import shortlist
from fastllm.drafters.lookup import LookupDrafter
from fastllm.drafters.shortlist import first_and_articles, numbered_by_frequency
from fastllm.drafters.skipping import SkippingDrafter
from fastllm.drafters.staged import StagedDrafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.sampling import Sampler
from fastllm.targets.load import load_target
from fastllm.targets.sublayers import family_of
from fastllm.verify import verify
from tests.conftest import TEXTS, VOCABULARY, make_t5
from tests.test_decode import run
from tests.test_verify import g_test
from tests.tiny_models import make_causal

SHORT = "The ferry sails on Friday."


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Tiny targets by family and engine, made when they are first asked for."""
    place, made = tmp_path_factory.mktemp("shortlist"), {}

    def target(name: str):
        family, engine = name.split("-")
        if not (place / family).exists():
            (make_t5 if family == "t5" else make_causal)(place / family)
        if name not in made:
            made[name] = load_target(str(place / family), engine=engine)
        return made[name]

    return target


@pytest.fixture
def few(monkeypatch):
    """Lists that leave most of a tiny vocabulary out."""
    monkeypatch.setattr(shortlist, "SHORTLIST", 24)
    monkeypatch.setattr(shortlist, "SHORTLIST_GREEDY", 12)


def drafters_of(target, folder):
    """A T5 of its own, the target less a sublayer, and both staged."""
    t5, less = T5Drafter.load(folder, target), SkippingDrafter(target, [(1, "feed")])
    return [t5, less, StagedDrafter(t5, LookupDrafter(target.vocab_size))]


def test_which_tokens_are_listed(targets, few):
    """The first ids, the ends of a text, the article's own; fewer when greedy; all where the list would be most."""
    target = targets("t5-onnx")
    source = target.open(SHORT).source
    for temperature, first in ((0, 12), (1, 24)):
        listed = first_and_articles(source, target.sampler(Settings(sampling=Sampling(temperature))), VOCABULARY)
        assert listed is not None
        assert set(listed) == {*range(first), *source.article_ids, *target.eos_ids}
        assert (np.diff(listed) > 0).all()
    many = target.open(" ".join(TEXTS)).source
    assert first_and_articles(many, target.sampler(Settings()), VOCABULARY) is None


def test_ids_are_frequencies_for_a_unigram_tokenizer_only(targets):
    """The merges of a byte-level BPE are not in that order, so its models draft over the whole vocabulary."""
    assert numbered_by_frequency(targets("t5-onnx").tokenizer)
    assert not numbered_by_frequency(targets("llama-onnx").tokenizer)
    assert SkippingDrafter(targets("llama-onnx"), ()).frequent == 0


@pytest.mark.parametrize("name", ["t5-onnx", "t5-torch", "llama-onnx", "llama-torch"])
def test_columns_are_those_of_the_whole_vocabulary(targets, name):
    """Of the whole model and of one with a sublayer left out, token by token, several at once, over a tree, and after
    a cut."""
    target = targets(name)
    family, columns = family_of(target.checkpoint.config), np.array([2, 5, 9, 40, 41, 200])
    less = target.engine.without(family, frozenset([(1, "feed")]))
    prompt = target.open(SHORT).source.prompt_ids
    for engine in (target.engine, less):
        whole, narrow = engine.open(prompt), engine.open(prompt, columns=columns)
        for text, wanted in (([7], 2), ([7, 9, 11, 5, 30], 4), ([7, 9, 8], 1), ([7, 9, 8, 3], 1)):
            expected = whole.score(text, wanted)[:, columns]
            torch.testing.assert_close(narrow.score(text, wanted), expected, atol=2e-3, rtol=1e-3)
        tree = [7, 9], [8, 3, 5, 6], (-1, -1, 0, 1)
        torch.testing.assert_close(narrow.score_tree(*tree), whole.score_tree(*tree)[:, columns], atol=2e-3, rtol=1e-3)
        for decoder in (whole, narrow):
            decoder.close()
            decoder.close()


@pytest.mark.parametrize("name", ["t5-onnx", "t5-torch"])
def test_greedy_texts_do_not_notice(targets, name, few, tmp_path):
    """A list that lacks most of what the target says costs tokens of a draft, never of the text."""
    target, folder = targets(name), make_t5(tmp_path / "small", seed=7, d_model=16)
    for drafter in drafters_of(target, folder):
        for gamma in (1, 5):
            settings = Settings(gamma, Sampling(no_repeat_ngram_size=3), max_new_tokens=24)
            trace, plain = run(target, SHORT, drafter, settings), run(target, SHORT, None, settings)
            assert trace.tokens == plain.tokens
            listed = first_and_articles(target.open(SHORT).source, target.sampler(settings), VOCABULARY)
            drafted = {t.id for s in trace.steps for t in s.draft if t.by != "lookup"}
            assert drafted
            assert drafted <= set(listed)


@pytest.mark.parametrize("broken", [False, True])
def test_sampled_drafts_follow_the_q_they_report(targets, few, tmp_path, broken):
    """First tokens of many steps are the target's (G-test); a q that was not cut to the list, as if drafts came from
    the whole vocabulary, fails it."""
    target, sampling = targets("t5-onnx"), Sampling(4.0, top_k=6)
    session, sampler = target.open(SHORT), Sampler(sampling, target.legal_size, (), 0, 5)
    # Nothing of it left out: q over the whole vocabulary is p.
    drafting = SkippingDrafter(target, ()).open(session.source, sampler)
    counts, row = torch.zeros(target.vocab_size), sampler.distribution(session.score([]), [])
    for _ in range(800):
        draft = drafting.propose([], 1)
        token, q = draft.ids[0], draft.q
        assert q is not None
        assert float(q.sum()) == pytest.approx(1)
        assert set(q[0].nonzero()[:, 0].tolist()) <= set(drafting.listed.tolist())
        verdict = verify([token], row.repeat(2, 1), row.clamp_min(1e-9) if broken else q, sampler.uniform(2))
        counts[token if verdict.accepted else verdict.token] += 1
    kept = row[0] > 0
    assert (g_test(counts[kept], row[0][kept]) > 0.001) != (broken or bool(counts[~kept].any()))
