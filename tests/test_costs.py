"""Ratios of `train costs`, from steps whose times are known."""

from __future__ import annotations

import pytest

from fastllm.trace import DraftToken, Emitted, Step
from train.steps.costs import Timed, costs_of


def step(index: int, k: int, draft: float, target: float, other: float, record: float = 0.0) -> Timed:
    tokens = tuple(DraftToken(5, "x", "accepted", 1.0, 1.0) for _ in range(k))
    made = Step(index, 0, tokens, Emitted(6, "y", "bonus", 1.0), draft, target, other)
    return Timed(made, made.seconds + record)


def test_a_draft_token_is_priced_in_plain_calls():
    """Two draft lengths: medians of each, an outlier and the first call of a run left out."""
    runs = [step(0, 4, 9, 9, 9), step(1, 4, 0.4, 1, 0.1, 0.2), step(2, 4, 0.4, 1, 0.1, 0.2), step(3, 4, 9, 1, 9, 9)]
    runs += [step(4, 2, 0.2, 0.8, 0.1, 0.2)]
    found = costs_of("x", 0.0, runs, [step(0, 0, 0, 9, 0), step(1, 0, 0, 2, 0), step(2, 0, 0, 2, 0)])
    assert found.draft_token_us == pytest.approx(1e5)
    assert found.c == pytest.approx(0.05)
    whole = 3 * 1.5 + 1.1
    assert found.loop == pytest.approx(0.4 / whole)
    assert found.record == pytest.approx(0.8 / whole)


def test_plain_decoding_has_no_draft_token():
    """And its loop is measured all the same."""
    plain = [step(i, 0, 0.0, 3.0, 1.0) for i in range(4)]
    found = costs_of("plain", 1.0, plain, plain)
    assert (found.c, found.draft_token_us) == (None, None)
    assert found.loop == pytest.approx(0.25)


def test_too_short_runs_are_refused_in_a_sentence():
    """Runs of one call each time nothing but how the drafter reads."""
    with pytest.raises(ValueError, match="--max-new-tokens"):
        costs_of("x", 0.0, [step(0, 1, 1, 1, 1)], [step(0, 0, 0, 1, 0)])
