"""The acceptance rule: exact by a G-test, and broken rules must fail the same test."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chi2

from fastllm.sampling import draw
from fastllm.verify import overlaps, replacement, residual, verify

V, N = 8, 6_000


def distributions(seed: int, rows: int) -> torch.Tensor:
    return (1.5 * torch.randn(rows, V, generator=torch.Generator().manual_seed(seed))).softmax(-1)


def g_test(counts: torch.Tensor, p: torch.Tensor) -> float:
    """p-value of the G-test (likelihood ratio, Sokal & Rohlf 1981) that counts were drawn from p."""
    keep = p > 0
    if counts[~keep].sum() > 0:
        return 0.0
    observed, expected = counts[keep].double(), p[keep].double() * counts.sum()
    nonzero = observed > 0
    g = 2 * (observed[nonzero] * (observed[nonzero] / expected[nonzero]).log()).sum()
    return float(chi2.sf(float(g), int(keep.sum()) - 1))


def first_tokens(p: torch.Tensor, q: torch.Tensor, rule, seed: int) -> torch.Tensor:
    """Counts of the token that `rule` emits at the first position, over N drafts of one token."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(N, 3, generator=generator, dtype=torch.float64).tolist()
    counts = torch.zeros(V)
    for u0, u1, u2 in u:
        x = draw(q, u0)
        counts[rule(x, p, q, [u1, u2])] += 1
    return counts


def right(x, p, q, u):
    verdict = verify([x], torch.stack([p, p]), q[None], u)
    return x if verdict.accepted else verdict.token


def skips_the_residual(x, p, q, u):
    verdict = verify([x], torch.stack([p, p]), q[None], u)
    return x if verdict.accepted else draw(p, u[1])


def calls_the_argmax_a_sample(x, p, q, u):
    x = int(q.argmax())
    return right(x, p, q, u)


PAIRS = {
    "sometimes": (distributions(0, 2)[0], distributions(0, 2)[1]),
    "always": (distributions(1, 1)[0], distributions(1, 1)[0]),
    "never": (torch.tensor([0.5, 0.3, 0.2, 0, 0, 0, 0, 0]), torch.tensor([0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.2])),
}


@pytest.mark.parametrize("name", PAIRS)
def test_emits_the_target_distribution(name):
    """Whatever the drafter, the first emitted token is distributed as p (Leviathan et al. 2023, appendix A.1)."""
    p, q = PAIRS[name]
    assert g_test(first_tokens(p, q, right, seed=11), p) > 0.001


@pytest.mark.parametrize("broken", [skips_the_residual, calls_the_argmax_a_sample])
def test_a_broken_rule_fails_the_same_test(broken):
    """The G-test has the power to see the usual mistakes."""
    p, q = PAIRS["sometimes"]
    assert g_test(first_tokens(p, q, broken, seed=11), p) < 1e-4


def test_longer_drafts_emit_the_target_distribution_at_every_position():
    """With drafts of three tokens over a chain, the joint of the first two emitted tokens is the target's."""
    first, second = distributions(3, 1)[0], distributions(4, V)
    q_first, q_second = distributions(5, 1)[0], distributions(6, V)
    generator = torch.Generator().manual_seed(12)
    counts = torch.zeros(V, V)
    for u in torch.rand(N, 7, generator=generator, dtype=torch.float64).tolist():
        a = draw(q_first, u[0])
        b = draw(q_second[a], u[1])
        p = torch.stack([first, second[a], second[b]])
        verdict = verify([a, b], p, torch.stack([q_first, q_second[a]]), u[2:5])
        text = [*[a, b][: verdict.accepted], verdict.token]
        if len(text) == 1:
            text.append(draw(second[text[0]], u[5]))
        counts[text[0], text[1]] += 1
    joint = first[:, None] * second
    assert g_test(counts.flatten(), joint.flatten()) > 0.001


def test_a_one_hot_drafter_emits_the_target_distribution():
    """q None means one-hot: a deterministic drafter loses nothing either."""
    p = distributions(7, 1)[0]
    counts = torch.zeros(V)
    for u in torch.rand(N, 2, generator=torch.Generator().manual_seed(13), dtype=torch.float64).tolist():
        verdict = verify([2], torch.stack([p, p]), None, u)
        counts[2 if verdict.accepted else verdict.token] += 1
    assert g_test(counts, p) > 0.001


def test_one_hot_rows_may_be_given_or_left_out():
    """q None and explicit one-hot rows give the same verdict."""
    p, u = distributions(8, 4), [0.3, 0.9, 0.1, 0.5]
    q = torch.zeros(3, V)
    q[range(3), [1, 2, 3]] = 1.0
    assert verify([1, 2, 3], p, None, u) == verify([1, 2, 3], p, q, u)


def test_acceptance_is_strict():
    """u < p/q: at u = p/q, and with p = 0 at u = 0, the token is refused."""
    p = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    q = torch.tensor([[0.5, 0.5]])
    assert verify([0], p, q, [0.5, 0.0]).accepted == 0
    assert verify([0], p, q, [0.4999, 0.0]).accepted == 1
    assert verify([0], torch.tensor([[0.0, 1.0], [0.5, 0.5]]), q, [0.0, 0.0]).accepted == 0


def test_beta_is_the_overlap():
    """beta is the sum of min(p, q), at tested positions only."""
    p = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    q = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    for ids, u, betas in (([1, 0], [0.0, 0.0, 0.0], (0.75, 0.5)), ([0, 0], [0.9, 0.0, 0.0], (0.75,))):
        assert overlaps(ids, p, q, verify(ids, p, q, u)) == pytest.approx(betas)


def test_no_bonus_after_an_accepted_end_of_text():
    """An accepted eos ends the text: nothing is added."""
    p = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    verdict = verify([1], p, None, [0.5, 0.5], eos_ids=(1,))
    assert (verdict.accepted, verdict.token, verdict.kind) == (1, None, None)


def test_an_empty_draft_is_a_plain_step():
    """Nothing drafted: the token is drawn from p and called target."""
    verdict = verify([], torch.tensor([[0.0, 1.0]]), None, [0.3])
    assert (verdict.accepted, verdict.token, verdict.kind) == (0, 1, "target")


def test_an_all_zero_residual_falls_back_to_p():
    """p = q up to rounding leaves nothing to resample from; p itself is right then."""
    p = torch.tensor([0.5, 0.5])
    assert torch.equal(residual(p, p), p)
    assert verify([0], torch.stack([p, p]), p[None], [1.0, 0.9]).token == 1


def test_misfitting_shapes_are_refused():
    """A q with the wrong number of rows is an error, not a broadcast."""
    with pytest.raises(ValueError, match="rows"):
        verify([0, 1], torch.ones(3, 2), torch.ones(1, 2), [0.0, 0.0, 0.0])


def test_certain_rows_need_not_be_read():
    """Greedy: every draft of three tokens gets the verdict that one-hot rows give, end-of-text included."""
    for draft in itertools.product(range(3), repeat=3):
        certain = [0, 1, 2, 1]
        p = torch.eye(3)[certain]
        for eos in ((), (2,)):
            assert verify(draft, p, None, [0.0] * 4, eos, certain) == verify(draft, p, None, [0.0] * 4, eos)
    assert verify([], torch.eye(3)[[2]], None, [0.0], (), [2]) == verify([], torch.eye(3)[[2]], None, [0.0])


@pytest.mark.parametrize("weight", [1.0, 0.8])
@pytest.mark.parametrize("chosen", [True, False])
def test_a_replacement_is_drawn_from_what_q_leaves_of_p(weight, chosen):
    """20,000 draws against norm(max(0, w p - q)), q drawn from or one-hot; p itself where nothing is left."""
    p, q = distributions(3, 2)
    token = 2
    left = p.clone() if chosen else (weight * p - q).clamp_min(0.0)
    if chosen:
        left[token] = 0.0
    assert (left > 0).sum() > 1
    generator = torch.Generator().manual_seed(4)
    u = torch.rand(20_000, generator=generator, dtype=torch.float64).tolist()
    counts = torch.zeros(V)
    for x in u:
        counts[replacement(p, None if chosen else q, token, x, weight)] += 1
    assert g_test(counts, left / left.sum()) > 1e-4
    assert replacement(p, p, token, 0.3) == draw(p, 0.3)
