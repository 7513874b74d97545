"""The T5 drafter: any T5 of the target's tokenizer, its own cache, refused in a sentence where it does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fastllm.config import Sampling, Settings
from fastllm.drafters import available, load_drafter
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.t5 import T5Drafter
from tests.conftest import ARTICLE, TEXTS, make_t5
from train.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory):
    """Another random T5 over the same tokenizer, narrower than the target."""
    return make_t5(tmp_path_factory.mktemp("models") / "small", seed=7, d_model=16)


def open_session(drafter, target, sampling=None):
    session = target.open(ARTICLE)
    return drafter.open(session.source, target.sampler(Settings(sampling=sampling or Sampling())))


def test_its_distribution_is_the_models_own(tiny, small_folder):
    """Cached or not, after any prefix, in any order: what a fresh forward pass of the model gives."""
    drafter = T5Drafter.load(small_folder, tiny)
    session, ids = open_session(drafter, tiny), torch.tensor([tiny.open(ARTICLE).source.prompt_ids])
    for prefix in ([], [5, 6, 7], [5, 6], [9], [5, 6, 7, 8]):
        with torch.inference_mode():
            wanted = drafter.model(input_ids=ids, decoder_input_ids=torch.tensor([[0, *prefix]])).logits[0, -1]
        assert torch.allclose(session.next_logits(prefix), wanted, atol=1e-4)


def test_two_sessions_do_not_mix(tiny, small_folder):
    """Two visitors on one drafter."""
    drafter = T5Drafter.load(small_folder, tiny)
    one, two = open_session(drafter, tiny), drafter.open(tiny.open(TEXTS[2]).source, tiny.sampler(Settings()))
    before = one.next_logits([5, 6])
    two.next_logits([7, 8, 9])
    assert torch.allclose(one.next_logits([5, 6]), before, atol=1e-4)


def test_it_is_loaded_by_its_place(tiny, small_folder):
    """`t5:FOLDER`, for hub targets and local folders; size and hash are told."""
    drafter = load_drafter(tiny, f"t5:{small_folder}")
    assert drafter.name == f"t5:{small_folder}"
    assert drafter.vocab_size == tiny.vocab_size
    assert drafter.size_bytes > 1000
    assert len(drafter.sha256) == 64


def test_a_preset_names_its_hub_drafter(tiny, small_folder):
    """`t5` alone is the preset's neural drafter, and the menu shows it."""
    preset = replace(tiny.preset, neural_drafter=f"t5:{small_folder}")
    target = tiny.with_preset(preset)
    assert load_drafter(target, "t5").name == "t5"
    assert [i.spec for i in available(target)] == ["lookup", "t5"]


def test_another_tokenizer_is_refused(tiny, small_folder, tmp_path):
    """As many pieces, but others: its ids would mean other words."""
    other = make_t5(tmp_path / "other", d_model=16)
    train_tokenizer([t.upper() for t in TEXTS] * 20, 240, other)
    with pytest.raises(DrafterError, match="another tokenizer"):
        T5Drafter.load(other, tiny)


def test_a_smaller_vocabulary_is_refused(tiny, small_folder, tmp_path):
    """It could not even name all of the target's tokens."""
    drafter = T5Drafter.load(small_folder, tiny)
    drafter.model.resize_token_embeddings(100)
    drafter.model.save_pretrained(tmp_path)
    with pytest.raises(DrafterError, match="vocabulary of 100 tokens and the target has 256"):
        T5Drafter.load(tmp_path, tiny)


@pytest.mark.parametrize("place", ["nowhere", "no/such-model"])
def test_what_is_not_there_is_told(tiny, place):
    """A folder that is none and a hub name that cannot be reached."""
    with pytest.raises(DrafterError, match=f"T5 drafter could not be loaded.*{place}"):
        load_drafter(tiny, f"t5:{place}")


def test_columns_are_fitted_to_the_target(tiny, small_folder):
    """T5-v1.1 pads its columns as the target does, others may not: cut, or filled with -inf."""
    drafter = T5Drafter.load(small_folder, tiny)
    own = open_session(drafter, tiny).next_logits([5])
    for columns in (240, 300):
        drafter.vocab_size = columns
        fitted = open_session(drafter, tiny).next_logits([5])
        assert fitted.shape == (columns,)
        assert torch.equal(fitted[:240], own[:240])
        assert columns <= 256 or bool(torch.isinf(fitted[256:]).all())
