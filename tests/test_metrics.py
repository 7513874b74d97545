"""Figures of a run, against values computed by hand."""

from __future__ import annotations

import dataclasses

import pytest

from fastllm.metrics import (
    acceptance_by_position,
    cost_coefficient,
    expected_tau,
    measured_speedup,
    predicted_speedup,
    running,
    summarise,
)
from fastllm.trace import Emitted, Step
from tests.test_trace import example


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


def test_cost_and_speedup_by_hand():
    """c = (2 ms / 4 tokens) / 10 ms; speedup = (33 ms / 3 tokens) / (16.5 ms / 3 tokens) = 2."""
    assert cost_coefficient(example(), plain()) == pytest.approx(0.05)
    assert measured_speedup(example(), plain()) == pytest.approx(2.0)
    assert cost_coefficient(plain(), plain()) is None
