"""The losslessness lab: the right rule passes, each fault fails, and the test itself is calibrated."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chi2, kstest, power_divergence

from fastllm.analysis.faults import FAULTS
from fastllm.analysis.lab import (
    LEVEL,
    Chain,
    Tally,
    Uniforms,
    alone,
    chi2_tail,
    compare,
    exact,
    fit,
    fixed_chain,
    int8_chain,
    largest_excess,
    model_chain,
    sample_speculative,
    tallies,
)
from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters.lookup import LookupDrafter
from fastllm.targets.base import TargetError
from fastllm.targets.int8 import quantised
from fastllm.targets.load import load_target
from tests.drafters import TargetAsDrafter
from tests.tiny_models import make_causal

P = (40, 25, 15, 12, 5, 3)
Q = (20, 35, 10, 5, 20, 10)


def last(chain: Chain, gamma: int, length: int, samples: int, seed: int = 0, fault: str = "none") -> Tally:
    *_, tally = tallies(chain, gamma, length, samples, seed, fault)
    return tally


@pytest.mark.parametrize(("gamma", "length"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_right_rule_passes(fault, gamma, length):
    """1,500 samples: no difference with a rule as it is; a difference with each fault that shows with so few tokens,
    against p itself too. Of one token, all ways to judge a block are the token rule."""
    chain = fixed_chain(P, Q)
    if FAULTS[fault].int8:
        chain = int8_chain(chain)
    tally = last(chain, gamma, length, 1500, fault=fault)
    right = FAULTS[fault].right or length < FAULTS[fault].least
    assert compare(tally).differs != right
    assert fit(tally.speculative, exact(chain, length, 0.0)).differs != right
    assert not fit(tally.plain, exact(chain, length, 0.0)).differs


def test_p_values_of_the_right_rule_are_uniform():
    """Over 60 seeds, both tests reject a level x in a share x of the cases (Kolmogorov-Smirnov).

    Seeds from 1,000 on: there 700 were tried once, with KS p-values of 0.58 and 0.40.
    """
    chain = fixed_chain(P, Q)
    runs = [last(chain, 2, 1, 200, seed) for seed in range(1000, 1060)]
    truth = exact(chain, 1, 0.0)
    assert kstest([compare(t).p_value for t in runs], "uniform").pvalue > 0.01
    assert kstest([fit(t.speculative, truth).p_value for t in runs], "uniform").pvalue > 0.01


def test_equal_models_hide_two_of_the_faults():
    """With p = q nothing is rejected: skipping the residual and re-using the seed change nothing; the argmax does."""
    chain = fixed_chain(P, P)
    assert not compare(last(chain, 1, 1, 1500, fault="no-residual")).differs
    assert not compare(last(chain, 1, 1, 1500, fault="same-seed")).differs
    assert compare(last(chain, 1, 1, 1500, fault="argmax")).differs


def test_an_int8_target_sees_the_draft_and_the_target_itself_does_not(tiny, tmp_path, article):
    """Bit by bit: p after a text changes with the draft behind it, for T5 and for Llama, and never by no draft at all;
    on ONNX Runtime the target's own p does not. What is not replaced is the target's own, and stays as it was."""
    llama = load_target(str(make_causal(tmp_path / "llama")))
    for target in (tiny, llama):
        session = target.open(article)
        before = session.score([], [5, 6])
        drafter = TargetAsDrafter(target, article, noise=2.0)
        settings = Settings(2, Sampling(4.0), 0, 3, top=0)
        other = quantised(target)
        found = alone(model_chain(other.open(article), drafter, settings, together=True), 2, 8)
        assert found.unequal > 0
        assert 0 < found.largest < 0.5
        own = alone(model_chain(session, drafter, settings, together=True), 2, 8)
        assert own.largest < 1e-5
        assert not own.unequal or not target.engine.to_the_last_bit
        assert torch.equal(target.open(article).score([], [5, 6]), before)
        # Rounded, not another model: int8 changes p, by little.
        assert (other.open(article).score([])[0] - before[0]).abs().max() < 0.2 * before.abs().max()


def test_a_target_too_large_for_a_copy_is_refused(tiny, monkeypatch):
    """One sentence."""
    monkeypatch.setattr("fastllm.targets.int8.MOST_PARAMETERS", 10)
    with pytest.raises(TargetError, match="too many to be copied as int8"):
        quantised(tiny)


def test_the_lab_samples_what_decoding_samples(tiny, article):
    """The real decoder's first two tokens over many seeds and the lab's, from the same models, do not differ."""
    session = tiny.open(article)
    drafter = TargetAsDrafter(tiny, article, noise=2.0)
    settings = Settings(2, Sampling(4.0, 5, 1.0, 0), 0, 2, top=0)
    chain = model_chain(session, drafter, settings)
    tally = last(chain, 2, 2, 300, seed=3)
    decoded: dict = {}
    for seed in range(300):
        run = Settings(2, settings.sampling, seed, 2, top=0)
        text = tuple(t for s in speculative(session, drafter, run) for t in s.tokens)
        decoded[text] = decoded.get(text, 0) + 1
    truth = exact(chain, 2, 5 / 300)
    assert len(truth) > 2
    assert not fit(decoded, truth).differs
    assert not fit(tally.speculative, truth).differs
    assert not fit(tally.plain, truth).differs


def test_exact_probabilities_are_the_decoders_own(tiny, article):
    """p after a text in the lab is what plain decoding reports for the token that it drew there."""
    session = tiny.open(article)
    settings = Settings(1, Sampling(1.0, 0, 1.0, 3), 5, 4, top=0)
    chain = model_chain(session, LookupDrafter(tiny.vocab_size), settings)
    text: tuple[int, ...] = ()
    for step in autoregressive(session, settings):
        assert float(chain.target(text)[step.emitted.id]) == pytest.approx(step.emitted.p, abs=1e-5)
        text += step.tokens


def test_a_deterministic_drafter_is_one_hot_and_an_empty_draft_is_a_plain_step(tiny, article):
    """lookup: q is 1 at one token, or None where it finds nothing; the rule still passes."""
    settings = Settings(2, Sampling(0.5, 0, 1.0, 0), 0, 2, top=0)
    chain = model_chain(tiny.open(article), LookupDrafter(tiny.vocab_size), settings)
    q = chain.drafter(())
    assert sorted(q.tolist())[-2:] == [0.0, 1.0]
    nothing = Chain(chain.target, lambda _: None, tiny.eos_ids)
    assert len(sample_speculative(nothing, 2, 2, Uniforms(0))) >= 1
    assert not compare(last(nothing, 2, 2, 200)).differs


def test_a_certain_drafter_takes_one_row_of_the_vocabulary(tiny, article):
    """A matrix of all rows would be 9.7 GB for SmolLM2's 49,152 pieces; here it would be 160 GB."""
    settings = Settings(2, Sampling(0.5), 0, 2, top=0)
    q = model_chain(tiny.open(article), LookupDrafter(200_000), settings).drafter(())
    assert q.shape == (200_000,)
    assert float(q.sum()) == 1.0


def test_temperature_zero_is_refused_with_a_reason(tiny, article):
    """A histogram of one text proves nothing."""
    with pytest.raises(ValueError, match="every sample is the same text"):
        model_chain(tiny.open(article), LookupDrafter(tiny.vocab_size), Settings())


def test_a_text_ends_at_its_end_token():
    """Nothing follows an end-of-text token, drafted or drawn, by either sampler."""
    row = torch.tensor([0.5, 0.3, 0.2])
    chain = Chain(lambda _: row, lambda _: row.flip(0), eos_ids=(0,))
    tally = last(chain, 3, 3, 400)
    for text in {*tally.speculative, *tally.plain}:
        assert 0 not in text[:-1]
        assert len(text) == 3 or text[-1] == 0
    assert not fit(tally.speculative, exact(chain, 3, 0.0)).differs


def test_distributions_are_computed_once_for_each_text():
    """A model call a text, however many samples."""
    asked = []
    row = torch.tensor([0.5, 0.5])
    chain = Chain(lambda text: asked.append(text) or row, lambda _: row)
    last(chain, 1, 2, 300)
    assert len(asked) == len(set(asked)) <= 7


def test_counts_grow_and_each_batch_is_shown():
    """The frames of the live histogram: sizes add up, earlier frames keep their own counts."""
    frames = list(tallies(fixed_chain(P, Q), 1, 1, 250, 0, batch=100))
    assert [t.samples for t in frames] == [100, 200, 250]
    assert [sum(t.speculative.values()) for t in frames] == [100, 200, 250]
    assert [sum(t.plain.values()) for t in frames] == [100, 200, 250]


def test_the_same_seed_gives_the_same_counts():
    """The lab repeats with its seed, and another seed gives other counts."""
    chain = fixed_chain(P, Q)
    assert last(chain, 2, 1, 200, 4) == last(chain, 2, 1, 200, 4) != last(chain, 2, 1, 200, 5)


def test_the_statistic_and_its_tail_are_scipys():
    """G of a 2 x k table and of a fit, and the chi-square tail, against scipy."""
    tally = Tally(60, {(0,): 30, (1,): 20, (2,): 10}, {(0,): 20, (1,): 22, (2,): 18})
    ours = compare(tally)
    table = [30, 20, 10, 20, 22, 18]
    theirs = power_divergence(table, [25, 21, 14, 25, 21, 14], ddof=3, lambda_="log-likelihood")
    assert (ours.g, ours.df, ours.cells) == (pytest.approx(theirs.statistic), 2, 3)
    assert ours.p_value == pytest.approx(chi2.sf(theirs.statistic, 2))
    fitted = fit(tally.speculative, {(0,): 0.5, (1,): 0.3, (2,): 0.2})
    assert fitted.g == pytest.approx(power_divergence([30, 20, 10], [30, 18, 12], lambda_="log-likelihood").statistic)
    for x, df in ((0.0, 1), (3.84, 1), (40.0, 12), (500.0, 30)):
        assert chi2_tail(x, df) == pytest.approx(chi2.sf(x, df), rel=1e-6)


def test_rare_texts_are_pooled():
    """Cells under five expected samples count together; alone too small, they join the rarest other cell."""
    many = Tally(100, {(0,): 94, (1,): 2, (2,): 2, (3,): 2}, {(0,): 94, (4,): 3, (5,): 3})
    assert (compare(many).cells, compare(many).df) == (2, 1)
    few = Tally(100, {(0,): 60, (1,): 38, (2,): 2}, {(0,): 60, (1,): 38, (3,): 2})
    assert compare(few).cells == 2
    assert fit({(0,): 97, (1,): 3}, {(0,): 0.97, (1,): 0.02, (2,): 0.01}).cells == 1
    assert fit({(0,): 60, (9,): 40}, {(0,): 0.6}).cells == 2


def test_one_cell_cannot_differ():
    """All samples alike: no degrees of freedom, p-value 1."""
    same = Tally(50, {(0,): 50}, {(0,): 50})
    assert (compare(same).df, compare(same).p_value) == (0, 1.0)


def test_an_impossible_sample_settles_it():
    """A text to which the target gives no probability at all."""
    assert fit({(0,): 99, (1,): 1}, {(0,): 1.0}).p_value == 0.0 < LEVEL


def test_the_largest_excess_is_named():
    """Which text comes out too often; none where the counts agree."""
    assert largest_excess(Tally(10, {(0,): 7, (1,): 3}, {(0,): 4, (1,): 6})) == ((0,), 7, 4)
    assert largest_excess(Tally(10, {(0,): 5}, {(0,): 5})) is None


@pytest.mark.parametrize(
    ("p", "q", "words"),
    [
        ((1, 2), (1,), "p has 2 weights and q has 1"),
        ((1,), (1,), "at least two words"),
        ((1, -1), (1, 1), "p is negative"),
        ((1, 1), (float("nan"), 1), "q is negative or no finite number"),
        ((0, 0), (1, 1), "All weights of p are 0"),
    ],
)
def test_weights_that_make_no_distribution_are_refused(p, q, words):
    """One sentence that names the row at fault."""
    with pytest.raises(ValueError, match=words):
        fixed_chain(p, q)


def test_an_unknown_fault_or_size_is_refused():
    """Not silently taken for the right rule."""
    with pytest.raises(ValueError, match="no fault 'x'"):
        next(tallies(fixed_chain(P, Q), 1, 1, 10, 0, "x"))
    with pytest.raises(ValueError, match="at least 1"):
        next(tallies(fixed_chain(P, Q), 0, 1, 10, 0))
