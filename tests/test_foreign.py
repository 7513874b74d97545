"""Drafters with another tokenizer: a byte-level and a SentencePiece-like one, each drafting for the other. Lossless."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from fastllm.config import Sampling, Settings
from fastllm.decode import run, speculative
from fastllm.drafters import available, load_drafter, others, split_spec
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.foreign import SlemDrafter, TliDrafter, continued, encode, plain, shared_pieces
from fastllm.source import Source
from fastllm.targets.load import load_target
from fastllm.ui.models import menu
from fastllm.verify import verify
from tests.conftest import ARTICLE, TEXTS, make_t5
from tests.test_verify import g_test
from tests.tiny_models import make_causal


def wordy(folder):
    """The random model in `folder` with special tokens that it hardly ever says: a text with one does not come back."""
    weights = load_file(folder / "model.safetensors")
    for name in ("shared.weight", "model.embed_tokens.weight"):
        if name in weights:
            weights[name][[0, 1, 2, *range(225, 240)]] = 0.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The byte-level Llama, the SentencePiece T5, and another T5 with the same tokenizer as that."""
    folder = tmp_path_factory.mktemp("foreign")
    where = {
        "llama": make_causal(folder / "llama"),
        "t5": make_t5(folder / "t5"),
        "other t5": make_t5(folder / "other", seed=5),
    }
    return {name: load_target(str(wordy(path))) for name, path in where.items()}


PAIRS = [("t5", "llama"), ("llama", "t5"), ("t5", "other t5")]


@pytest.mark.parametrize(("target", "foreign"), PAIRS)
@pytest.mark.parametrize("kind", [SlemDrafter, TliDrafter])
def test_greedy_equals_plain_decoding(models, target, foreign, kind):
    """Token for token, with and without blocking, by name from the table too."""
    mine = models[target]
    drafter = load_drafter(mine, f"{kind.how}:{models[foreign].preset.model}")
    assert isinstance(drafter, kind)
    drafted = 0
    for text, blocked, gamma in ((TEXTS[0], 0, 4), (TEXTS[1], 3, 7)):
        settings = Settings(gamma, Sampling(no_repeat_ngram_size=blocked), max_new_tokens=20, top=2)
        trace = run(mine, drafter, text, settings)
        assert trace.tokens == run(mine, None, text, settings).tokens
        drafted += sum(len(s.draft) for s in trace.steps)
    # A random model's text seldom comes back from its pieces: then there is nothing to hand over.
    assert drafted > 10 or kind is SlemDrafter


def both_write(monkeypatch, text: str) -> None:
    """Make every model write `text`, cut as its tokenizer cuts it, then its end of text."""

    def score(self, prefix, draft=()):
        script = [*encode(self.target.tokenizer, text), self.target.eos_id]
        rows = torch.zeros(len(draft) + 1, self.target.vocab_size)
        for i in range(len(draft) + 1):
            rows[i, script[min(len(prefix) + i, len(script) - 1)]] = 9.0
        return rows

    monkeypatch.setattr("fastllm.targets.base.TargetSession.score", score)


@pytest.mark.parametrize(("target", "foreign"), PAIRS)
def test_models_that_write_the_same_text_agree_across_tokenizers(models, monkeypatch, target, foreign):
    """By its text every draft token is right but one that ends inside a word; by shared pieces with the same tokenizer
    all are. The end of text of one is that of the other, and nothing stands behind it."""
    mine, text = models[target], "Divers looked at the hull of the ferry on Wednesday and found no damage"
    both_write(monkeypatch, text)
    for kind in (SlemDrafter, TliDrafter):
        trace = run(mine, kind(mine, models[foreign]), ARTICLE, Settings(6, max_new_tokens=99))
        assert (trace.text, trace.ending) == (text, "eos")
        assert trace.tokens == run(mine, None, ARTICLE, Settings(max_new_tokens=99)).tokens
        tau = len(trace.tokens) / len(trace.steps)
        if kind is SlemDrafter or foreign == "other t5":
            assert tau > 3, (kind.how, tau)


@pytest.mark.parametrize(("target", "foreign"), PAIRS[:2])
@pytest.mark.parametrize("kind", [SlemDrafter, TliDrafter])
def test_sampling_emits_the_target_distribution(models, target, foreign, kind, monkeypatch):
    """The first token over many seeds (G-test), of drafts of which some are kept."""
    mine, other, sampling = models[target], models[foreign], Sampling(1.0)
    pairs = [
        (a, b) for a, b in shared_pieces(mine, other) if encode(mine.tokenizer, plain(other.tokenizer, [b])) == [a]
    ]
    logits = {}
    for model, ids, values in (
        (mine, [a for a, _ in pairs[:4]], [1.0, 0.6, 0.2, 0.8]),
        (other, [b for _, b in pairs[:4]], [0.2, 1.0, 0.4, -0.5]),
    ):
        logits[id(model)] = torch.full((model.vocab_size,), -30.0)
        logits[id(model)][ids] = torch.tensor(values)
    monkeypatch.setattr(
        "fastllm.targets.base.TargetSession.score",
        lambda self, prefix, draft=(): logits[id(self.target)].repeat(len(draft) + 1, 1),
    )
    session = mine.open(ARTICLE)
    p = mine.sampler(Settings(sampling=sampling)).distribution(session.score([]), [])[0]
    drafter, counts, kept = kind(mine, models[foreign]), torch.zeros(mine.vocab_size), 0
    for seed in range(150):
        settings = Settings(1, sampling, seed=seed, top=0, max_new_tokens=3)
        step = next(speculative(session, drafter, settings))
        counts[step.tokens[0]] += 1
        kept += step.accepted
    assert 20 < kept < 130
    assert g_test(counts, p) > 0.001


def test_an_intersection_that_is_not_renormalised_fails_the_same_test():
    """q over shared pieces must sum to 1: as it stood before the cut it is below 1 and refuses too little."""
    p, whole = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.3, 0.1, 0.1])  # half of the other's mass is not shared
    generator = torch.Generator().manual_seed(2)
    found = {}
    for name, q in (("right", whole / whole.sum()), ("broken", whole)):
        counts = torch.zeros(3)
        for u in torch.rand(2000, 3, generator=generator, dtype=torch.float64).tolist():
            x = int(torch.multinomial(whole, 1, generator=generator))
            verdict = verify([x], torch.stack([p, p]), q[None], u[:2])
            counts[x if verdict.accepted else verdict.token] += 1
        found[name] = g_test(counts, p)
    assert found["right"] > 0.001
    assert found["broken"] < 1e-4


def test_q_lives_on_the_shared_pieces(models):
    """Rows sum to 1, are 0 elsewhere, and end of text is the other model's; the other's order of tokens is kept."""
    target, foreign = models["llama"], models["t5"]
    drafter = TliDrafter(target, foreign)
    settings = Settings(sampling=Sampling(1.0))
    session = drafter.open(target.open(ARTICLE).source, target.sampler(settings))
    draft = session.propose([], 3)
    allowed = {*drafter.ours.tolist(), target.eos_id}
    for row in draft.q:
        assert float(row.sum()) == pytest.approx(1, abs=1e-5)
        assert set(row.nonzero().flatten().tolist()) <= allowed
    theirs = foreign.open(ARTICLE).score([])[0]
    logits = session.next_logits([])
    assert float(logits[target.eos_id]) == pytest.approx(float(theirs[foreign.eos_id]), abs=1e-4)
    assert torch.allclose(logits[drafter.ours], theirs[drafter.theirs], atol=1e-4)
    for ours, other in shared_pieces(target, foreign):
        assert target.piece(ours) == foreign.piece(other)


def test_a_text_is_read_again_from_its_last_words_where_the_whole_does_not_come_back(models):
    """Tokens cut otherwise than the tokenizer would cut them; nothing where not even the last words come back."""
    target = models["llama"]
    whole = encode(target.tokenizer, "Divers looked at the hull")
    assert continued(target, whole, " of the ferry") == encode(target.tokenizer, " of the ferry")
    letters = [t for c in "Divers" for t in encode(target.tokenizer, c)]
    assert len(letters) > len(encode(target.tokenizer, "Divers"))
    odd = [*letters, *encode(target.tokenizer, " looked at")]
    assert plain(target.tokenizer, odd) == "Divers looked at"
    assert continued(target, odd, " the hull") == encode(target.tokenizer, " the hull")
    assert continued(target, letters, " looked") is None
    assert continued(target, [], "") == []


def steer(monkeypatch, drafter, text: str, tokens: int = 99):
    """Make the other model write `text`, its first `tokens` tokens, then its end of text."""
    script = encode(drafter.foreign.tokenizer, text)[:tokens]

    def logits(self, ids):
        row = torch.zeros(drafter.foreign.legal_size)
        row[script[len(ids)] if len(ids) < len(script) else drafter.foreign.eos_id] = 9.0
        return row

    monkeypatch.setattr("fastllm.drafters.foreign._Reader.logits", logits)
    return script


def test_the_other_models_text_becomes_the_targets_tokens_and_its_end_the_targets_end(models, monkeypatch):
    """Over word boundaries, for both kinds of tokenizer."""
    for name, other in (("t5", "llama"), ("llama", "t5")):
        target = models[name]
        drafter = SlemDrafter(target, models[other])
        steer(monkeypatch, drafter, "The ferry will sail")
        session = drafter.open(target.open(ARTICLE).source, target.sampler(Settings()))
        draft = session.propose([], 40)
        assert target.text(draft.ids) == "The ferry will sail"
        assert draft.ids[-1] == target.eos_id
        begun = next(draft.ids[:n] for n in range(20) if target.text(draft.ids[:n]) == "The ferry")
        assert [*begun, *session.propose(begun, 40).ids] == list(draft.ids)
        assert session.propose([], 3).ids[:1] == draft.ids[:1]


def test_half_a_character_at_the_end_of_a_draft_is_cut(models, monkeypatch):
    """The first byte of two: what is not a character yet is not handed over."""
    target, foreign = models["llama"], models["llama"]
    drafter = SlemDrafter(target, foreign)
    script = steer(monkeypatch, drafter, "aé")
    assert len(script) == 3
    session = drafter.open(target.open(ARTICLE).source, target.sampler(Settings()))
    assert plain(target.tokenizer, session.propose([], 2).ids) == "a"
    assert plain(target.tokenizer, session.propose([], 3).ids) == "aé"


def test_a_model_of_the_other_kind_can_be_chosen_for_either_kind_of_target(models, monkeypatch):
    """SmolLM2 for a T5, `mini` for a decoder-only model, both ways, at the menu's end and by names that are known; once
    only where a preset names one; nothing that is not here. What is measured unasked stays as it was."""
    here = {"smollm2": True, "mini": True}
    monkeypatch.setattr("fastllm.drafters.at_hand", lambda preset: here[preset.name])
    for name, other in (("t5", "smollm2"), ("llama", "mini")):
        target, wanted = models[name], [f"slem:{other}", f"tli:{other}"]
        assert [i.spec for i in others(target)] == [c.key for c in menu(target)][-2:] == wanted
        assert not {i.spec for i in available(target)} & set(wanted)
        assert [split_spec(spec) for spec in wanted] == [("slem", other, None), ("tli", other, None)]
        named = target.with_preset(replace(target.preset, foreign=other))
        assert others(named) == []
        assert [c.key for c in menu(named)][-2:] == wanted
    here["smollm2"] = False
    assert others(models["t5"]) == []


def test_what_cannot_draft_is_told(models, tmp_path, monkeypatch):
    """No name, no such folder, no common piece, no text to read: a sentence each."""
    target = models["t5"]
    for spec, words in (("tli", "needs its place"), ("slem:no/where/at/all", "could not be loaded")):
        with pytest.raises(DrafterError, match=words):
            load_drafter(target, spec)
    with pytest.raises(DrafterError, match="its tokens are known"):
        SlemDrafter(target, models["llama"]).open(Source((1,), (1,)), target.sampler(Settings()))
    monkeypatch.setattr("fastllm.drafters.foreign.shared_pieces", lambda *a: [])
    with pytest.raises(DrafterError, match="have no piece in common: use slem:"):
        TliDrafter(target, models["llama"])
