"""Distillation losses against values worked out by hand, against each other, and against numeric gradients."""

from __future__ import annotations

import math

import pytest
import torch

from train.losses import (
    DIVERGENCES,
    GENERATORS,
    cross_entropy,
    divergence,
    f_divergence,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    tempered,
    total_variation,
)

P, Q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
LOG_P, LOG_Q = torch.tensor([P]).log(), torch.tensor([Q]).log()

# Over these p and q the ratios are 2, 1 and 1/2, so every value is a fraction of ln 2 or ln 3.
BY_HAND = {
    "kl": 0.5 * math.log(2) - 0.25 * math.log(2),
    "rkl": 0.5 * math.log(2) - 0.25 * math.log(2),
    # m = (3/8, 1/4, 3/8): KL(p || m) = 1/2 ln 4/3 + 1/4 ln 2/3, and the same for q.
    "js": 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3),
    "tvd": 0.25,
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_values_worked_out_by_hand(name):
    """Each divergence of p = (1/2, 1/4, 1/4) and q = (1/4, 1/4, 1/2)."""
    assert DIVERGENCES[name](LOG_Q, LOG_P).item() == pytest.approx(BY_HAND[name], abs=1e-6)


def test_cross_entropy_by_hand():
    """-ln 1/4 and -ln 1/2."""
    rows = cross_entropy(LOG_Q.expand(2, 3), torch.tensor([0, 2]))
    assert rows.tolist() == pytest.approx([math.log(4), math.log(2)])


def test_forward_and_reverse_kl_differ_where_p_and_q_are_not_mirrored():
    """KL((1/2, 1/2) || (1/4, 3/4)) = ln 2 - 1/2 ln 3 + ... is not its reverse: neither may be taken for the other."""
    p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert forward_kl(q, p).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert reverse_kl(q, p).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))


def test_generalised_jsd_tends_to_the_two_kls():
    """JSD(beta) / beta goes to KL(p || q) as beta goes to 0, and JSD(beta) / (1 - beta) to KL(q || p) as it goes to 1
    (Agarwal et al. 2023, section 2)."""
    p, q = random_rows(1), random_rows(2)
    assert torch.allclose(jensen_shannon(q, p, 1e-4) / 1e-4, forward_kl(q, p), rtol=1e-2)
    assert torch.allclose(jensen_shannon(q, p, 1 - 1e-4) / 1e-4, reverse_kl(q, p), rtol=1e-2)


def random_rows(seed: int, n: int = 4, v: int = 7) -> torch.Tensor:
    return torch.randn(n, v, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log_softmax(-1)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_each_is_the_f_divergence_of_its_generator(name):
    """The stable forms equal sum q f(p / q)."""
    p, q = random_rows(1), random_rows(2)
    assert torch.allclose(DIVERGENCES[name](q, p), f_divergence(q, p, GENERATORS[name]), atol=1e-9)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_zero_at_q_equal_p_and_positive_elsewhere(name):
    """A divergence is zero exactly where q is p."""
    p, q = random_rows(1), random_rows(2)
    assert DIVERGENCES[name](p, p).abs().max() < 1e-12
    assert DIVERGENCES[name](q, p).min() > 1e-3


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_gradients_agree_with_numeric_ones(name, temperature):
    """By central differences over the logits of q, in float64."""
    p = random_rows(1)
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: divergence(name, z.log_softmax(-1), p, temperature), logits)


def test_cross_entropy_gradient_agrees():
    """The same for cross-entropy."""
    logits = torch.randn(2, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z.log_softmax(-1), torch.tensor([1, 5])), logits)


def test_total_variation_is_the_chance_of_rejection():
    """1 - sum min(p, q)."""
    p, q = random_rows(1), random_rows(2)
    assert torch.allclose(total_variation(q, p), 1 - torch.minimum(p.exp(), q.exp()).sum(-1))


def test_temperature_softens_and_t_squared_scales():
    """(1/2, 1/4, 1/4) at T = 2 has weights sqrt 2 : 1 : 1; the divergence there is multiplied by 4."""
    soft = tempered(LOG_P, 2.0).exp()[0]
    assert soft.tolist() == pytest.approx([math.sqrt(2) / (math.sqrt(2) + 2), *[1 / (math.sqrt(2) + 2)] * 2], rel=1e-5)
    wanted = 4 * forward_kl(tempered(LOG_Q, 2.0), tempered(LOG_P, 2.0))
    assert torch.allclose(divergence("kl", LOG_Q, LOG_P, 2.0), wanted)


def test_an_unknown_divergence_is_refused():
    """No silent default."""
    with pytest.raises(KeyError):
        divergence("wasserstein", LOG_Q, LOG_P)
