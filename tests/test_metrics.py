"""Figures of a run, against values computed by hand."""

from __future__ import annotations

import dataclasses

import pytest

from fastllm.analysis.metrics import (
    acceptance_by_position,
    draft_shares,
    expected_tau,
    mean_expected_tau,
    predicted_by_drafts,
    predicted_speedup,
    running,
    summarise,
    wilson,
)
from fastllm.analysis.rejections import rejections
from fastllm.config import Sampling, Settings
from fastllm.decode import run
from fastllm.trace import Emitted, Step, from_json, to_json
from tests.drafters import TargetAsDrafter
from tests.test_trace import example
from tests.traces import block_trace


def plain():
    """Three plain steps of 10 ms in the target and 1 ms elsewhere."""
    steps = tuple(Step(i, i, (), Emitted(5 + i, "x", "target", 1.0), 0.0, 0.010, 0.001) for i in range(3))
    return dataclasses.replace(example(), mode="autoregressive", drafter="", gamma=0, steps=steps)


def test_the_three_acceptance_figures_differ_and_are_named():
    """4 drafted, 3 tested, 2 accepted; betas .8, .3 and 1."""
    m = summarise(example())
    assert (m.drafted, m.tested, m.accepted, m.tokens, m.target_calls) == (4, 3, 2, 3, 2)
    assert m.accepted_tested == pytest.approx(2 / 3)
    assert m.accepted_drafted == pytest.approx(2 / 4)
    assert m.mean_beta == pytest.approx((0.8 + 0.3 + 1.0) / 3)
    assert m.tau == pytest.approx(1.5)
    assert m.overhead_share == pytest.approx(0.0005 / 0.0165)


def test_running_figures_are_those_of_the_steps_so_far():
    """After each step the same as a summary of the run cut there."""
    trace = example()
    cut = [summarise(dataclasses.replace(trace, steps=trace.steps[:n])) for n in (1, 2)]
    assert list(running(trace.steps)) == cut
    assert cut[0] != cut[1]


def test_pooling_is_over_steps_not_over_runs():
    """Two runs together: sums of counts, not means of rates."""
    one, both = summarise(example()), summarise(example(), plain())
    assert both.tokens == one.tokens + 3
    assert both.tau == pytest.approx(6 / 5)


def test_nothing_drafted_gives_none_not_zero():
    """A rate without a denominator is None; an empty run has no rates at all."""
    m = summarise(plain())
    assert (m.accepted_tested, m.mean_beta, m.tau) == (None, None, 1.0)
    assert summarise().tau is None


def test_acceptance_by_position():
    """Position 1 was tested twice and accepted twice, 2 rejected once, 3 never tested."""
    rows = acceptance_by_position([example()])
    assert [(r.position, r.drafted, r.tested, r.accepted) for r in rows] == [(1, 2, 2, 2), (2, 1, 1, 0), (3, 1, 0, 0)]
    assert [r.rate for r in rows] == [1.0, 0.0, None]


def test_theorem_3_8_against_the_papers_own_table():
    """Leviathan et al. 2023, Table 1 (c = 0): alpha .8, gamma 5 takes 3.69 tokens a call; .9 and 10, 6.86."""
    assert expected_tau(0.8, 5) == pytest.approx(3.69, abs=0.005)
    assert predicted_speedup(0.9, 10, 0.0) == pytest.approx(6.86, abs=0.005)
    assert predicted_speedup(0.8, 5, 0.02) == pytest.approx(3.69 / 1.1, abs=0.005)


@pytest.mark.parametrize(("alpha", "wanted"), [(0.0, 1.0), (1.0, 5.0)])
def test_the_extremes_of_acceptance(alpha, wanted):
    """Nothing accepted: one token a call. All accepted: gamma + 1."""
    assert expected_tau(alpha, 4) == wanted


def test_impossible_arguments_are_refused():
    """An alpha above one has no meaning."""
    with pytest.raises(ValueError, match="alpha"):
        predicted_speedup(1.2, 4, 0.1)


def test_drafts_of_several_lengths_are_averaged_by_equation_1():
    """Half of the calls draft 4, half nothing: the mean of Equation 1 at 4 and at 0, not Equation 1 at 2."""
    shares = [0.5] * 4
    assert mean_expected_tau(0.8, shares) == pytest.approx((expected_tau(0.8, 4) + 1) / 2)
    assert mean_expected_tau(0.8, [1.0] * 5) == pytest.approx(expected_tau(0.8, 5))
    assert mean_expected_tau(0.8, []) == 1.0
    assert draft_shares(acceptance_by_position([example()]), 2) == [1.0, 0.5, 0.5]


@pytest.mark.parametrize("c", [0.0, 0.05, 0.5])
def test_the_prediction_is_theorem_3_8_with_what_was_drafted(c):
    """Full drafts give the theorem itself; short ones cost and bring what they hold."""
    assert predicted_by_drafts(0.8, [1.0] * 5, c, 6.0) == pytest.approx(predicted_speedup(0.8, 5, c))
    half = predicted_by_drafts(0.8, [0.5] * 4, c, 6.0)
    assert half == pytest.approx((expected_tau(0.8, 4) + 1) / 2 / (2 * c + 1))


@pytest.mark.parametrize(
    ("alpha", "shares", "tau"), [(0.809, [0.6] * 6, 2.47), (0.95, [1.0] * 8, 6.5), (1.0, [1.0], 1.9)]
)
def test_no_prediction_exceeds_tau(alpha, shares, tau):
    """Where acceptance clusters, the average over independent tokens promises more than a call yielded."""
    assert mean_expected_tau(alpha, shares) > tau
    assert predicted_by_drafts(alpha, shares, 0.0, tau) == tau
    assert predicted_by_drafts(alpha, shares, 0.01, tau) < tau


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(1, 1, 0.207, 1.0), (0, 10, 0.0, 0.278), (8, 10, 0.490, 0.943)]
)
def test_wilsons_interval_by_the_books(successes, n, low, high):
    """1 of 1 proves little; the values are those of Wilson's formula at z = 1.96."""
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("pair", [(0, 0), (2, 1), (-1, 3)])
def test_a_share_of_nothing_has_no_interval(pair):
    """No trial, or more successes than trials."""
    with pytest.raises(ValueError, match="a share needs"):
        wilson(*pair)


def test_block_verification_is_counted_as_the_token_rule_is():
    """u and chance of all eight tokens, beta of six: tested are the kept and the first refused; beta is averaged over
    these, whatever was drawn for the tokens that fell with them."""
    trace = block_trace()
    assert from_json(to_json(trace)) == trace
    m = summarise(trace)
    assert (m.drafted, m.tested, m.accepted, m.tokens, m.target_calls) == (8, 6, 4, 7, 3)
    assert m.mean_beta == pytest.approx((0.6 + 0.8 + 0.4 + 0.5 + 0.9 + 0.3) / 6)
    assert m.accepted_tested == pytest.approx(4 / 6)
    assert m.accepted_drafted == pytest.approx(4 / 8)
    assert m.tau == pytest.approx(7 / 3)
    rows = [(r.position, r.drafted, r.tested, r.accepted) for r in acceptance_by_position([trace])]
    assert rows == [(1, 3, 3, 2), (2, 3, 2, 2), (3, 1, 1, 0), (4, 1, 0, 0)]


def test_what_the_decoder_writes_under_block_is_counted_so(tiny, article):
    """Real runs: a u and a chance a token, a beta for accepted + 1; the last kept token passed and none after it."""
    ignored = 0
    for seed in range(4):
        settings = Settings(4, Sampling(4.0), seed, 24, rule="block")
        trace = run(tiny, TargetAsDrafter(tiny, article, noise=2.0), article, settings)
        for step in trace.steps:
            tested = min(step.accepted + 1, len(step.draft))
            assert all(t.u is not None and t.chance is not None for t in step.draft)
            assert [t.beta is not None for t in step.draft] == [i < tested for i in range(len(step.draft))]
            assert all(t.u >= t.chance for t in step.draft[step.accepted :])
            if step.accepted:
                kept = step.draft[step.accepted - 1]
                assert kept.u < kept.chance
            ignored += len(step.draft) - tested
        m = summarise(trace)
        assert m.tested == sum(t.beta is not None for s in trace.steps for t in s.draft)
        assert sum(r.tested for r in acceptance_by_position([trace])) == m.tested
        assert len(rejections(trace)) == m.tested - m.accepted
    assert ignored
