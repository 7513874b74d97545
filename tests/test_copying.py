"""LSTM and CNN drafters: normalised, causal, the same step by step as all at once, and well refused when damaged."""

from __future__ import annotations

import json

import pytest
import torch

from fastllm.config import Sampling
from fastllm.drafters.base import DistributionSession
from fastllm.drafters.cnn import CnnDrafter, CnnModel
from fastllm.drafters.copying import PAST_END, CopyConfig, next_match
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.lstm import LstmDrafter, LstmModel
from fastllm.drafters.neural import save_model
from fastllm.sampling import Sampler
from fastllm.source import Source

V = 40
SIZES = {"lstm": {"layers": 2}, "cnn": {"layers": 2, "kernel": 3}}
CLASSES = {"lstm": (LstmModel, LstmDrafter), "cnn": (CnnModel, CnnDrafter)}


def model_of(family: str, seed: int = 0, **changes):
    """A small random model, its zero-initialised parts made non-zero so that every path is felt."""
    torch.manual_seed(seed)
    sizes = {"d_model": 8, "d_state": 12, "article_kernel": 3, "max_match": 3, **SIZES[family], **changes}
    config = CopyConfig(V, **sizes)
    model = CLASSES[family][0](config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


ARTICLES = torch.tensor([[5, 6, 7, 8, 5, 6, 9], [11, 12, 13, 14, PAST_END, PAST_END, PAST_END]])
TOKENS = torch.tensor([[0, 5, 6, 9, 3, 3], [0, 13, 14, 2, 11, 12]])


@pytest.mark.parametrize("family", SIZES)
def test_every_row_is_a_distribution(family):
    """Sums to 1, whatever the padding."""
    with torch.inference_mode():
        q = model_of(family)(ARTICLES, TOKENS).exp()
    assert q.shape == (2, 6, V)
    assert torch.allclose(q.sum(-1), torch.ones(2, 6), atol=1e-5)


@pytest.mark.parametrize("family", SIZES)
def test_no_row_sees_a_later_token(family):
    """Changing token t changes no row before t: a leak here would be an acceptance rate that no run can reach."""
    model = model_of(family)
    with torch.inference_mode():
        before = model(ARTICLES, TOKENS)
        for t in range(1, TOKENS.shape[1]):
            changed = TOKENS.clone()
            changed[:, t] = 30
            after = model(ARTICLES, changed)
            assert torch.equal(after[:, :t], before[:, :t])
            assert not torch.allclose(after[:, t], before[:, t])


@pytest.mark.parametrize("family", SIZES)
def test_step_by_step_equals_all_at_once(family):
    """What a session computes is what training computed."""
    model = model_of(family)
    with torch.inference_mode():
        whole, memory = model(ARTICLES, TOKENS), model.read(ARTICLES)
        state = model.start(memory)
        for t in range(TOKENS.shape[1]):
            state = model.step(memory, state, TOKENS[:, t])
            assert torch.allclose(model.log_probs(memory, state), whole[:, t], atol=1e-5)


@pytest.mark.parametrize("family", SIZES)
def test_padding_changes_nothing(family):
    """An article alone and the same article padded in a batch give the same rows."""
    model = model_of(family)
    with torch.inference_mode():
        alone, padded = model(ARTICLES[1:, :4], TOKENS[1:]), model(ARTICLES[1:], TOKENS[1:])
    assert torch.allclose(alone, padded, atol=1e-5)


@pytest.mark.parametrize("family", SIZES)
def test_the_article_is_seen(family):
    """Another article, another distribution; and a token of the article gets mass by copying alone."""
    model = model_of(family)
    with torch.inference_mode():
        one, other = model(ARTICLES[:1], TOKENS[:1]), model(ARTICLES[:1] + 20, TOKENS[:1])
    assert not torch.allclose(one, other, atol=1e-3)


def test_match_lengths_by_hand():
    """Article 5 6 7 8 5 6 9 after the summary 5, then 5 6, then 5 6 9."""
    article = ARTICLES[:1]
    match = torch.zeros_like(article)
    seen = []
    for token in (5, 6, 9):
        match = next_match(match, article, torch.tensor([token]), longest=3)
        seen.append(match[0].tolist())
    assert seen == [[0, 1, 0, 0, 0, 1, 0], [0, 0, 2, 0, 0, 0, 2], [0] * 7]
    long = torch.tensor([[4, 4, 4, 4, 4, 4]])
    match = torch.zeros_like(long)
    for _ in range(5):
        match = next_match(match, long, torch.tensor([4]), longest=3)
    assert match[0].tolist() == [0, 1, 2, 3, 3, 3]


def test_padding_never_matches():
    """No token has the id that pads."""
    assert next_match(torch.zeros_like(ARTICLES), ARTICLES, torch.tensor([5, PAST_END + 1]), 3)[1].sum() == 0


@pytest.mark.parametrize("family", SIZES)
def test_the_match_feature_makes_a_copier(family):
    """With all weight on it and the gate shut, the next token is what followed the last two in the article."""
    model = model_of(family)
    with torch.no_grad():
        model.match_score.copy_(torch.tensor([0.0, 10.0, 40.0, 40.0]))
        model.gate.bias.fill_(-50.0)
        model.query.weight.zero_()
        model.query.bias.zero_()
    with torch.inference_mode():
        q = model(ARTICLES[:1], torch.tensor([[0, 5, 6, 7]])).exp()
    assert q[0, 3].argmax() == 8
    assert q[0, 2, [7, 9]].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize("family", SIZES)
def test_gradients_reach_every_weight(family):
    """A weight that no gradient reaches would never be trained."""
    model = model_of(family).train()
    model(ARTICLES, TOKENS)[..., 5].sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def opened(family: str, model):
    source = Source((5, 6, 7, 8, 5, 6, 9), (2, 5, 6, 7, 8, 5, 6, 9, 1))
    sampler = Sampler(Sampling(1.0), V, eos_ids=(1,), start_id=0, seed=3)
    return CLASSES[family][1](model).open(source, sampler)


@pytest.mark.parametrize("family", SIZES)
def test_a_session_needs_no_rollback(family):
    """Longer, shorter and branching prefixes, in any order, give what a fresh session gives."""
    model = model_of(family)
    session = opened(family, model)
    for prefix in ([], [5, 6], [5, 6, 9, 3], [5, 6, 9], [5, 7], [], [5, 6, 9, 3]):
        assert torch.equal(session.next_logits(prefix), opened(family, model).next_logits(prefix))


@pytest.mark.parametrize("family", SIZES)
def test_a_session_drafts_from_the_q_it_names(family):
    """gamma tokens, and row i of q is the distribution after the tokens before it."""
    model = model_of(family)
    draft = opened(family, model).propose([5, 6], 4)
    assert 1 <= len(draft.ids) <= 4
    fresh = opened(family, model)
    for i in range(len(draft.ids)):
        assert torch.allclose(draft.q[i], fresh.next_logits([5, 6, *draft.ids[:i]]).softmax(-1), atol=1e-5)


@pytest.mark.parametrize("family", SIZES)
def test_saved_and_loaded_it_is_the_same(family, tmp_path):
    """In half precision, so within its rounding; sizes and hash are told."""
    model = model_of(family)
    save_model(model, family, tmp_path)
    drafter = CLASSES[family][1].load(tmp_path, V)
    with torch.inference_mode():
        assert torch.allclose(drafter.model(ARTICLES, TOKENS), model(ARTICLES, TOKENS), atol=0.05)
    assert drafter.size_bytes == (tmp_path / "model.safetensors").stat().st_size
    assert len(drafter.sha256) == 64


def damage(folder, how: str) -> None:
    config, weights = folder / "config.json", folder / "model.safetensors"
    facts = json.loads(config.read_text())
    if how == "no weights":
        weights.unlink()
    elif how == "half the weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "no config":
        config.unlink()
    elif how == "config is a list":
        config.write_text("[]")
    else:
        config.write_text(json.dumps(facts | json.loads(how)))


@pytest.mark.parametrize(
    "how",
    ["no weights", "half the weights", "no config", "config is a list", '{"family": "rnn"}', '{"d_model": 10}',
     '{"d_model": -2}', '{"layers": "two"}', '{"colour": 3}'],
)  # fmt: skip
def test_a_damaged_folder_is_refused_in_a_sentence(how, tmp_path):
    """Never a traceback from torch or safetensors."""
    save_model(model_of("lstm"), "lstm", tmp_path)
    damage(tmp_path, how)
    with pytest.raises(DrafterError, match="missing or damaged"):
        LstmDrafter.load(tmp_path, V)


def test_another_vocabulary_is_refused(tmp_path):
    """Ids would mean other words."""
    save_model(model_of("cnn"), "cnn", tmp_path)
    with pytest.raises(DrafterError, match="vocabulary of 40 tokens and the target has 41"):
        CnnDrafter.load(tmp_path, V + 1)


def test_a_drafter_of_the_other_family_is_refused(tmp_path):
    """An LSTM's folder holds no CNN."""
    save_model(model_of("lstm"), "lstm", tmp_path)
    with pytest.raises(DrafterError, match="holds no CNN"):
        CnnDrafter.load(tmp_path, V)


@pytest.mark.parametrize("settings", [Sampling(0.0, no_repeat_ngram_size=2), Sampling(1.0), Sampling(0.7, 5, 0.9)])
@pytest.mark.parametrize("family", SIZES)
def test_drafting_within_the_shortlist_is_the_general_loop(family, settings):
    """The same tokens, logits and q from the same seed as :class:`DistributionSession`, prefixes growing and cut."""
    drafter = CLASSES[family][1](model_of(family))
    one, other = (
        drafter.open(Source(tuple(ARTICLES[0].tolist()), ()), Sampler(settings, V, (1,), 0, seed=5)) for _ in range(2)
    )
    for prefix, gamma in (([], 4), ([3, 7], 6), ([3], 1), ([3, 7, 3], 3), ([], 0)):
        found, wanted = one.propose(prefix, gamma), DistributionSession.propose(other, prefix, gamma)
        assert (found.ids, found.calls) == (wanted.ids, wanted.calls)
        for mine, theirs in ((found.q, wanted.q), (found.logits, wanted.logits)):
            assert (mine is None) == (theirs is None)
            assert mine is None or torch.allclose(mine, theirs, atol=1e-6)
