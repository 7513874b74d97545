"""From logits to the distribution that is sampled from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import NoRepeatNGramLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from fastllm.config import Sampling
from fastllm.sampling import RepeatBlocker, Sampler, distribution, draw


def logits(rows: int = 3, columns: int = 50, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_greedy_is_one_hot_at_the_first_argmax():
    """Temperature 0 puts all mass on the argmax; of equal logits the first wins, as in torch.argmax."""
    tied = torch.tensor([[0.0, 2.0, 2.0]])
    assert distribution(tied, Sampling(0.0)).tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    "settings", [Sampling(0.7), Sampling(1.3, top_k=5), Sampling(1.0, top_p=0.8), Sampling(0.9, 20, 0.6)]
)
def test_equals_the_warpers_of_transformers(settings):
    """Temperature, top-k and top-p agree with transformers' own processors, applied in its order."""
    x = logits(64)
    expected = TemperatureLogitsWarper(settings.temperature)(None, x)
    if settings.top_k:
        expected = TopKLogitsWarper(settings.top_k)(None, expected)
    if settings.top_p < 1:
        expected = TopPLogitsWarper(settings.top_p)(None, expected)
    torch.testing.assert_close(distribution(x, settings), expected.softmax(-1), atol=1e-6, rtol=1e-5)


def test_forbidden_tokens_stay_forbidden():
    """A logit of -inf has probability zero under every setting."""
    x = logits()
    x[:, 7] = -torch.inf
    for settings in (Sampling(0.0), Sampling(1.0), Sampling(2.0, 10, 0.9)):
        p = distribution(x, settings)
        assert p[:, 7].abs().max() == 0
        torch.testing.assert_close(p.sum(-1), torch.ones(3))


def test_draw_inverts_the_cumulative_distribution():
    """draw() gives each token the interval of u that its probability spans, and never one of probability zero."""
    p = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0])
    assert [draw(p, u) for u in (0.0, 0.2499, 0.25, 0.999999, 1 - 2**-53)] == [1, 1, 3, 3, 3]


def test_draw_takes_weights_that_do_not_sum_to_one():
    """An unnormalised residual can be drawn from."""
    assert draw(torch.tensor([1.0, 3.0]), 0.26) == 1
    assert draw(torch.tensor([1.0, 3.0]), 0.24) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_blocking_equals_transformers_at_every_prefix(n):
    """RepeatBlocker forbids exactly what NoRepeatNGramLogitsProcessor forbids, over growing and shrinking prefixes."""
    generator = torch.Generator().manual_seed(n)
    text = torch.randint(0, 4, (60,), generator=generator).tolist()
    other = torch.randint(0, 4, (60,), generator=generator).tolist()
    blocker, processor = RepeatBlocker(n, start_id=0), NoRepeatNGramLogitsProcessor(n)
    lengths = [0, 1, 2, 5, 30, 31, 7, 60, 0, 12]
    for length, source in [(m, s) for m in lengths for s in (text, other, text[:5] + other)]:
        prefix = source[:length]
        scores = processor(torch.tensor([[0, *prefix]]), torch.zeros(1, 4))[0]
        assert set(blocker.blocked(prefix)) == set((scores == -torch.inf).nonzero().flatten().tolist())


def test_each_position_is_masked_by_its_own_prefix():
    """In verification, row i may not complete an n-gram of prefix + draft[:i]; draft tokens count."""
    sampler = Sampler(Sampling(no_repeat_ngram_size=2), vocab_size=6, eos_ids=(1,), start_id=0)
    masked = sampler.masked(torch.zeros(3, 6), [4, 5], [4, 3])
    forbidden = [(row == -torch.inf).nonzero().flatten().tolist() for row in masked]
    # after 4 5: nothing begins with 5; after 4 5 4: "4 5" is taken; after 4 5 4 3: nothing begins with 3.
    assert forbidden == [[], [5], []]


def test_columns_without_a_piece_are_forbidden():
    """T5's logits have more columns than its tokenizer has pieces; the rest is never drawn."""
    sampler = Sampler(Sampling(1.0), vocab_size=10, eos_ids=(1,), start_id=0)
    assert sampler.distribution(torch.zeros(1, 16), []).tolist()[0] == pytest.approx([0.1] * 10 + [0.0] * 6)


def test_masking_leaves_its_input_alone():
    """A session may keep the logits it returned: the sampler works on a copy."""
    x = torch.zeros(1, 16)
    Sampler(Sampling(0.0), vocab_size=10, eos_ids=(1,), start_id=0).masked(x, [])
    assert x.abs().sum() == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"temperature": -1}, "Temperature"), ({"temperature": float("nan")}, "Temperature"), ({"top_p": 0}, "Top-p"),
     ({"top_k": -1}, "Top-k"), ({"no_repeat_ngram_size": -1}, "n-grams")],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(arguments, word):
    """A wrong setting is told in a sentence that names it."""
    with pytest.raises(ValueError, match=word):
        Sampling(**arguments)


@pytest.mark.parametrize("settings", [Sampling(0.0, no_repeat_ngram_size=2), Sampling(0.7, no_repeat_ngram_size=2)])
@pytest.mark.parametrize("first_id", [None, 3])
def test_a_distribution_leaves_its_logits_and_is_that_of_the_masked_ones(settings, first_id):
    """Whatever is forbidden for its time: padding columns, blocked n-grams (the best token too), a first token."""
    generator = torch.Generator().manual_seed(2)
    for prefix, draft in (([], [4, 5, 4]), ([4, 5, 4], [5, 4, 6]), ([4, 5, 4], [])):
        logits = torch.randn(len(draft) + 1, 16, generator=generator)
        logits[:, 5] = 9.0  # the best, and blocked after 4 once 4 5 was seen
        logits[:, 12:] = 20.0
        kept = logits.clone()
        sampler = Sampler(settings, vocab_size=12, eos_ids=(1,), start_id=0, first_id=first_id)
        wanted = distribution(sampler.masked(logits, prefix, draft), settings)
        assert torch.equal(sampler.distribution(logits, prefix, draft), wanted)
        assert sampler.best(logits, prefix, draft) == wanted.argmax(-1).tolist()
        assert torch.equal(logits, kept)


def test_draws_are_the_generators_in_order_however_many_are_asked_for():
    """A run's u are those of one torch.rand, whatever drafts it was asked for in."""
    sampler = Sampler(Sampling(1.0), vocab_size=4, eos_ids=(1,), start_id=0, seed=9)
    found = [u for n in (1, 1, 5, 0, 70, 17, 200) for u in sampler.uniform(n)]
    wanted = torch.rand(294, generator=torch.Generator().manual_seed(9), dtype=torch.float64).tolist()
    assert found == wanted


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(0.0, 0, 1.0), (1.0, 0, 1.0), (0.7, 3, 1.0), (1.3, 0, 0.8), (1.0, 50, 0.5)]
)
@pytest.mark.parametrize("vocab_size", [12, 9])
def test_choosing_within_a_shortlist_is_choosing_with_nothing_elsewhere(temperature, top_k, top_p, vocab_size):
    """The same tokens and q, with blocked n-grams on and off the list, and padding columns on it."""
    settings = Sampling(temperature, top_k, top_p, no_repeat_ngram_size=2)
    listed = np.array([0, 2, 4, 5, 7, 11])
    narrow, wide = (Sampler(settings, vocab_size, (1,), 0, seed=3) for _ in range(2))
    generator = torch.Generator().manual_seed(4)
    for prefix in ([], [4], [4, 5, 4], [4, 6, 4, 5, 4], [4, 11, 4]) * 4:
        some = torch.randn(6, generator=generator)
        whole = torch.full((12,), -torch.inf)
        whole[listed] = some
        kept = some.clone()
        token, q = narrow.choose_listed(some, listed, prefix)
        wanted, wanted_q = wide.choose(whole, prefix)
        assert token == wanted
        assert torch.equal(some, kept)
        if wanted_q is None:
            assert q is None
        else:
            assert torch.allclose(torch.zeros(12).index_put((torch.from_numpy(listed),), q), wanted_q, atol=1e-6)
