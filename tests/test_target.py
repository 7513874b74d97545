"""Target sessions: one encoder pass, a cache that follows the prefix, and clear refusals."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import BertConfig

from fastllm.config import PRESETS, TargetPreset
from fastllm.targets.base import Target, TargetError
from fastllm.targets.load import choose_dtype, load_target
from tests.conftest import ARTICLE, COLUMNS, TEXTS, VOCABULARY, make_t5


def uncached(target, session, tokens):
    """Logits at every position by one plain forward pass without any cache."""
    out = target.model(
        input_ids=torch.tensor([session.source.prompt_ids]),
        decoder_input_ids=torch.tensor([[target.start_id, *tokens]]),
        use_cache=False,
    )
    return out.logits[0]


def test_score_equals_an_uncached_forward_pass_through_any_history(tiny):
    """Grow, roll back, branch, repeat, jump to an unrelated prefix: always the logits of a fresh forward pass."""
    session = tiny.open(ARTICLE)
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(3, VOCABULARY, (40,), generator=generator).tolist()
    moves = [(0, 0), (0, 4), (3, 4), (3, 4), (8, 0), (8, 6), (9, 1), (2, 10), (30, 3), (0, 1), (31, 0)]
    for start, k in moves:
        other = torch.randint(3, VOCABULARY, (k,), generator=generator).tolist()
        for draft in (text[start : start + k], other):
            got = session.score(text[:start], draft)
            assert got.shape == (len(draft) + 1, COLUMNS)
            wanted = uncached(tiny, session, text[:start] + draft)[-len(draft) - 1 :]
            torch.testing.assert_close(got, wanted, atol=2e-4, rtol=1e-4)


def test_the_encoder_runs_once_and_cross_attention_is_kept(tiny_folder, monkeypatch):
    """Scoring never calls the encoder, and rolling back never crops the cross-attention cache: either engine."""
    quick = load_target(str(tiny_folder), engine="onnx")
    session = quick.open(ARTICLE)
    monkeypatch.setattr(quick.engine, "encoder", None)
    session.score([5, 6, 7], [8, 9])
    session.score([5], [])
    crossing = session._decoder._feeds["cross_0"]
    assert crossing.shape[2] == len(session.source.prompt_ids)
    plain = load_target(str(tiny_folder), engine="torch")
    session = plain.open(ARTICLE)
    monkeypatch.setattr(plain.model.encoder, "forward", _must_not_run)
    session.score([5, 6, 7], [8, 9])
    session.score([5], [])
    assert session._decoder._cache.cross_attention_cache.get_seq_length() == len(session.source.prompt_ids)


def _must_not_run(*args, **kwargs):
    raise AssertionError("the encoder ran again")


def test_a_long_article_is_cut_and_counted(tiny):
    """The target reads what fits with prompt and end-of-text; the rest is counted."""
    short, long = tiny.open(TEXTS[1]), tiny.open(TEXTS[1] * 5)
    assert short.article.cut == 0
    assert long.article.tokens + long.article.cut == pytest.approx(5 * short.article.tokens, abs=8)
    assert len(long.source.prompt_ids) == tiny.preset.max_article_tokens
    assert long.source.prompt_ids[-1] == tiny.eos_id


def test_the_prompt_is_what_the_tokenizer_makes_of_prefix_and_article(tiny):
    """Token for token what T5's own recipe feeds: prefix, article, end of text."""
    session = tiny.open("A ferry lost power.")
    assert list(session.source.prompt_ids) == tiny.tokenizer("summarize: A ferry lost power.").input_ids
    assert tiny.tokenizer.decode(session.source.article_ids) == "A ferry lost power."


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_article_is_refused_in_a_sentence(tiny, text):
    """Nothing to read: one sentence, no traceback."""
    with pytest.raises(TargetError, match="paste some text"):
        tiny.open(text)


def test_pieces_read_as_text(tiny):
    """A leading space where a word begins; joined, they give the text back."""
    ids = tiny.tokenizer("The ferry sails.", add_special_tokens=False).input_ids
    assert "".join(tiny.piece(i) for i in ids).strip() == "The ferry sails."
    assert tiny.piece(COLUMNS - 1) == f"<{COLUMNS - 1}>"


def test_unknown_names_and_folders_are_refused(tmp_path):
    """What is no target is told in one sentence that names what to give."""
    with pytest.raises(TargetError, match=r"mini, t5-base"):
        load_target("no such thing")
    with pytest.raises(TargetError, match=r"no config\.json"):
        load_target(str(tmp_path))


def test_a_model_without_a_decoder_is_refused(tmp_path):
    """An encoder-only model is refused before its weights are read."""
    BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8).save_pretrained(tmp_path)
    with pytest.raises(TargetError, match="writes no text"):
        load_target(str(tmp_path))


def test_a_hub_name_that_cannot_be_reached_says_so():
    """A hub model goes through from_pretrained; without a network the sentence says what to check."""
    with pytest.raises(TargetError, match="check the name"):
        load_target("fastllm-tests/there-is-no-such-model")


def test_dtype_is_float32_on_cpu_and_bfloat16_on_cuda():
    """float16 overflows in T5 and is refused."""
    preset = PRESETS["flan-t5-xl"]
    assert choose_dtype(preset, torch.device("cpu")) is torch.float32
    assert choose_dtype(preset, torch.device("cuda")) is torch.bfloat16
    with pytest.raises(TargetError, match="float16"):
        choose_dtype(TargetPreset("x", "x", "x", dtype="float16"), torch.device("cuda"))


def test_other_t5_shapes_load(tmp_path):
    """Gated activations, untied embeddings and more decoder than encoder layers: v1.1 and FLAN models."""
    folder = make_t5(
        tmp_path / "gated", feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=3
    )
    target = load_target(str(folder))
    session = target.open(ARTICLE)
    tokens = [5, 6, 7, 8]
    session.score(tokens[:1], tokens[1:3])
    torch.testing.assert_close(session.score(tokens), uncached(target, session, tokens)[-1:], atol=2e-4, rtol=1e-4)


def test_the_hash_follows_the_weights(tiny, tiny_folder, tmp_path):
    """A target's hash is of its weight files: the same for the same files, another for others."""
    assert len(tiny.sha256) == 64
    other = load_target(str(make_t5(tmp_path / "other", seed=1)))
    assert other.sha256 != tiny.sha256
    assert json.loads((tiny_folder / "config.json").read_text())["vocab_size"] == COLUMNS
    assert isinstance(tiny, Target)
