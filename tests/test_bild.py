"""Big Little Decoder as its authors describe it, without the faults of their code (papers.md, section 5)."""

from __future__ import annotations

import math

import pytest
import torch

from fastllm.config import Sampling, Settings
from fastllm.rules.bild import bild
from tests.conftest import ARTICLE, TEXTS
from tests.test_decode import drafter_named, run

NAMES = ["always", "sometimes", "never", "lookup", "empty", "lstm", "cnn", "t5"]
A, B, EOS = 0, 1, 2
# The target's probabilities after each of four beginnings: sure of A, torn, sure of B, sure of the end.
SURE_A, TORN, SURE_B, END = ([0.90, 0.08, 0.02], [0.50, 0.40, 0.10], [0.05, 0.90, 0.05], [0.05, 0.05, 0.90])


def judged(draft: list[int], rows: list[list[float]], rollback: float):
    """The verdict over rows of p at temperature 1, greedy."""
    soft = torch.tensor(rows)
    p = torch.zeros_like(soft).scatter(1, soft.argmax(-1, keepdim=True), 1.0)
    return bild(draft, p, None, [0.0] * len(rows), (EOS,), soft=soft, rollback=rollback)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fallback", [0.0, 0.3, 0.9])
def test_rollback_0_is_the_greedy_text_whatever_the_fallback(tiny, name, fallback):
    """Every drafter, two texts."""
    for text in TEXTS[:2]:
        plain = Settings(10, Sampling(no_repeat_ngram_size=3), max_new_tokens=16)
        asked = Settings(10, plain.sampling, 0, 16, 0, "bild", f"bild:{fallback}", 0.0)
        assert run(tiny, text, drafter_named(name, tiny, text), asked).tokens == run(tiny, text, None, plain).tokens


@pytest.mark.parametrize("name", ["always", "sometimes", "lstm", "t5"])
def test_a_fallback_above_1_is_plain_decoding(tiny, name):
    """Nothing is ever sure enough: one token a call, the greedy text, each draft handed over."""
    asked = Settings(10, max_new_tokens=12, rule="bild", lengths="bild:1.01", rollback=5.0)
    trace = run(tiny, ARTICLE, drafter_named(name, tiny, ARTICLE), asked)
    assert trace.tokens == run(tiny, ARTICLE, None, Settings(max_new_tokens=12)).tokens
    assert len(trace.steps) == len(trace.tokens)
    assert {s.stop for s in trace.steps[:-1]} == {"unsure"}


def test_a_rollback_comes_at_the_place_that_asks_for_it():
    """-ln .4 = .92: B where the target is torn is forgiven at 1 nat and taken back at .9."""
    rows = [SURE_A, TORN, SURE_B, SURE_A]
    kept, back = judged([A, B, B], rows, 1.0), judged([A, B, B], rows, 0.9)
    assert (kept.accepted, kept.token, kept.kind) == (3, A, "bonus")
    assert (back.accepted, back.token, back.kind) == (1, A, "resampled")
    assert math.isclose(-math.log(TORN[B]), 0.916, abs_tol=1e-3)


def test_a_place_above_the_threshold_whose_token_is_the_argmax_does_not_hide_later_ones():
    """The authors' code looks at the first such place only, and finds nothing to take back there."""
    unsure = [0.40, 0.35, 0.25]  # A is the argmax, and -ln .4 is above the threshold all the same
    verdict = judged([A, A, A], [unsure, SURE_B, SURE_A, SURE_A], 0.5)
    assert (verdict.accepted, verdict.token) == (1, B)


def test_an_end_is_reviewed_and_a_correction_may_be_one():
    """By the small model it ends nothing unseen; as the correction it ends the text; accepted, nothing follows it."""
    refused = judged([A, EOS], [SURE_A, SURE_B, SURE_A], 1.0)
    assert (refused.accepted, refused.token, refused.kind) == (1, B, "resampled")
    corrected = judged([A, A], [SURE_A, END, SURE_A], 1.0)
    assert (corrected.accepted, corrected.token) == (1, EOS)
    ended = judged([A, EOS], [SURE_A, END, SURE_A], 1.0)
    assert (ended.accepted, ended.token) == (2, None)


def test_more_rollback_never_keeps_less():
    """On random rows, over rising thresholds; at 0 only argmaxes stay, at infinity everything."""
    generator = torch.Generator().manual_seed(4)
    for _ in range(30):
        rows = torch.rand(6, 3, generator=generator).softmax(-1).tolist()
        draft = torch.randint(0, 2, (5,), generator=generator).tolist()
        kept = [judged(draft, rows, x).accepted for x in (0.0, 0.5, 1.0, 1.5, 3.0, 100.0)]
        assert kept == sorted(kept)
        assert kept[-1] == 5
        right = [token == row.index(max(row)) for token, row in zip(draft, rows, strict=False)]
        assert kept[0] == (right.index(False) if False in right else 5)
