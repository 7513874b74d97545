"""Acceptance rules beside the token rule: exact where they say so, and what breaks them is caught by the same test."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from fastllm.analysis.faults import keeps_the_first_that_passes, keeps_with_the_weight
from fastllm.config import Sampling, Settings
from fastllm.rules import RULES, lossless, rule_named, rule_of
from fastllm.rules.bild import bild
from fastllm.rules.block import block
from fastllm.sampling import draw
from fastllm.verify import residual, verify
from tests.conftest import TEXTS
from tests.test_decode import drafter_named, run
from tests.test_verify import distributions, g_test

N = 3_000


def two_tokens(judge, p, q, seed: int = 5, samples: int = N) -> torch.Tensor:
    """Counts of the first two emitted tokens of drafts of two, over chains p and q of (first row, rows after each)."""
    (p1, p2), (q1, q2) = p, q
    counts = torch.zeros(len(p1), len(p1))
    generator = torch.Generator().manual_seed(seed)
    for u in torch.rand(samples, 6, generator=generator, dtype=torch.float64).tolist():
        a = draw(q1, u[0])
        b = draw(q2[a], u[1])
        verdict = judge([a, b], torch.stack([p1, p2[a], p2[b]]), torch.stack([q1, q2[a]]), u[2:5])
        text = [*[a, b][: verdict.accepted], verdict.token]
        if len(text) == 1:
            text.append(draw(p2[text[0]], u[5]))
        counts[text[0], text[1]] += 1
    return counts


# After a token drafted too often (w = 1/3) the weighted residual is all of the first word; unweighted it is not.
P = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.5, 0.4, 0.1]).repeat(3, 1)
Q = torch.tensor([0.2, 0.2, 0.6]), torch.tensor([0.02, 0.18, 0.8]).repeat(3, 1)
JOINT = (P[0][:, None] * P[1]).flatten()


def forgets_the_weight(draft, p, q, u, eos_ids=()):
    """Block verification that resamples from norm(max(0, p - q)), as the token rule does. Milder p and q hide it."""
    verdict = block(draft, p, q, u, eos_ids)
    i = verdict.accepted
    if i == len(draft):
        return verdict
    return replace(verdict, token=draw(residual(p[i], q[i]), u[-1]))


@pytest.mark.parametrize("name", [r.key for r in RULES.values() if r.lossless])
def test_a_lossless_rule_emits_the_target_distribution(name):
    """The joint of the first two tokens is the target's (G-test)."""
    assert g_test(two_tokens(RULES[name].judge, P, Q).flatten(), JOINT) > 0.001


@pytest.mark.parametrize("broken", [forgets_the_weight, keeps_the_first_that_passes, keeps_with_the_weight, bild])
def test_a_broken_rule_fails_the_same_test(broken):
    """Three ways to get block verification wrong, and the lossy rule, are all caught."""
    assert g_test(two_tokens(broken, P, Q).flatten(), JOINT) < 1e-4


def test_block_verification_is_exact_by_enumeration():
    """p = (1/3, 2/3), q = (2/3, 1/3), gamma 2: 11/9 accepted tokens where the token rule has 10/9 (Sun et al. 2024)."""
    p, q = torch.tensor([1 / 3, 2 / 3]), torch.tensor([2 / 3, 1 / 3])
    means = {}
    for judge in (verify, block):
        total = 0.0
        for draft in itertools.product((0, 1), repeat=2):
            chances = judge(draft, p.repeat(3, 1), q.repeat(2, 1), [0.0] * 3).chances
            chance = float(q[draft[0]] * q[draft[1]])
            if judge is verify:
                total += chance * (chances[0] + chances[0] * chances[1])
            else:
                total += chance * (2 * chances[1] + (1 - chances[1]) * chances[0])
        means[judge] = total
    assert means[verify] == pytest.approx(10 / 9)
    assert means[block] == pytest.approx(11 / 9)


def test_a_token_is_saved_by_a_later_one():
    """Refused alone (u above its chance), kept because the whole draft passes."""
    p, q = torch.tensor([1 / 3, 2 / 3]), torch.tensor([2 / 3, 1 / 3])
    verdict = block([0, 1], p.repeat(3, 1), q.repeat(2, 1), [0.9, 0.3, 0.5])
    assert verdict.chances[0] < 0.9
    assert (verdict.accepted, verdict.kind) == (2, "bonus")


@pytest.mark.parametrize("seed", range(5))
def test_a_draft_of_one_token_is_the_token_rule(seed):
    """Gamma 1: the same verdict, resampled token included."""
    p, q = distributions(seed, 2), distributions(seed + 50, 1)
    for u in torch.rand(20, 2, generator=torch.Generator().manual_seed(seed)).tolist():
        token = draw(q[0], u[0])
        ours, theirs = block([token], p, q, u), verify([token], p, q, u)
        assert (ours.accepted, ours.token, ours.kind) == (theirs.accepted, theirs.token, theirs.kind)
        assert ours.chances == pytest.approx(theirs.chances)


def test_block_verification_of_one_hot_rows_given_or_left_out():
    """q None and explicit one-hot rows agree; an accepted eos ends the text; an empty draft is a plain step."""
    p, q = distributions(8, 4), torch.zeros(3, 8)
    q[range(3), [1, 2, 3]] = 1.0
    for u in ([0.3, 0.9, 0.1, 0.5], [0.0, 0.0, 0.0, 0.2], [0.9, 0.9, 0.9, 0.9]):
        given, left = block([1, 2, 3], p, q, u), block([1, 2, 3], p, None, u)
        assert (given.accepted, given.token) == (left.accepted, left.token)
        assert given.chances == pytest.approx(left.chances, abs=1e-6)
    assert block([1], torch.tensor([[0.0, 1.0], [1.0, 0.0]]), None, [0.5, 0.5], (1,)).token is None
    assert block([], p[:1], None, [0.4]).kind == "target"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("gamma", [1, 3, 6])
def test_greedy_equals_plain_decoding_under_every_rule(tiny, rule, gamma):
    """Every rule, bild at rollback 0 included: token for token the target's own greedy text."""
    settings = Settings(gamma, Sampling(no_repeat_ngram_size=3), max_new_tokens=20, rule=rule)
    for name in ("sometimes", "never", "lookup", "empty", "t5"):
        plain = run(tiny, TEXTS[0], None, settings)
        fast = run(tiny, TEXTS[0], drafter_named(name, tiny, TEXTS[0]), settings)
        assert fast.tokens == plain.tokens
        assert fast.rule == rule


def test_block_sampling_emits_the_target_distribution(tiny, article):
    """Through the decoder: first tokens over many seeds (G-test)."""
    sampling, session = Sampling(4.0, top_k=6), tiny.open(article)
    p = tiny.sampler(Settings(sampling=sampling)).distribution(session.score([]), [])[0]
    from fastllm.decode import speculative

    drafter, counts = drafter_named("sometimes", tiny, article), torch.zeros(len(p))
    for seed in range(300):
        settings = Settings(3, sampling, seed=seed, top=0, max_new_tokens=5, rule="block")
        counts[next(speculative(session, drafter, settings)).tokens[0]] += 1
    assert g_test(counts, p) > 0.001


def test_rollback_forgives_what_the_target_finds_likely_enough():
    """At a known place: the first offending position is the argmax, a later one is taken back."""
    soft = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    p = torch.zeros(4, 3).scatter_(1, soft.argmax(-1, keepdim=True), 1.0)

    def kept(draft, rollback):
        return bild(draft, p, None, [0.0] * 4, (), soft, rollback).accepted

    assert [kept([0, 1, 2], r) for r in (0.0, 1.0, 1.3, 2.4)] == [1, 1, 2, 3]
    verdict = bild([0, 1, 2], p, None, [0.0] * 4, (), soft, 1.3)
    assert (verdict.token, verdict.kind, verdict.chances) == (0, "resampled", (1.0, 1.0, 0.0))
    assert bild([0, 1, 0], p, None, [0.0] * 4, (), soft, 1.3).token == 2
    assert bild([0, 0, 0], p, None, [0.0] * 4, (0,), soft, 0.0).token is None


def test_what_a_rule_promises():
    """bild is lossy unless it forgives nothing; an unknown rule promises nothing; bild refuses to sample."""
    assert [lossless(r) for r in ("token", "block", "magic")] == [True, True, False]
    assert lossless("bild", 0.0)
    assert not lossless("bild", 0.1)
    with pytest.raises(
        ValueError, match="no acceptance rule 'magic': give one of token, block, follow, siblings, bild"
    ):
        rule_named("magic")
    with pytest.raises(ValueError, match="for greedy decoding only: set the temperature to 0"):
        rule_of(Settings(sampling=Sampling(1.0), rule="bild"))
    for rollback in (-1, float("nan"), 101):
        with pytest.raises(ValueError, match="rollback threshold must be between"):
            Settings(rollback=rollback)
