"""Layers for a few rows: the same numbers as torch's own, in the cases where they take over and where they do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fastllm.linear import MOST, FewRowsLinear, speed_up


@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1), (1, 3), (2, 5), (1, 10), (1, 11), (3, 40), (1, 0)])
def test_it_computes_what_a_linear_layer_computes(shape):
    """Any leading shape, few rows and many, none included: rounding apart, x W^T, and laid out row by row."""
    torch.manual_seed(0)
    layer = nn.Linear(256, 30, bias=False)
    x = torch.randn(*shape, 256)
    wanted = layer(x)
    speed_up(layer)
    found = layer(x)
    assert type(layer) is FewRowsLinear
    assert found.shape == wanted.shape
    assert found.is_contiguous()
    assert torch.allclose(found, wanted, atol=1e-5)


def test_few_rows_take_the_other_product(monkeypatch):
    """Up to MOST numbers in x; beyond that, torch's own."""
    layer = nn.Linear(256, 30, bias=False)
    speed_up(layer)
    calls = []
    honest = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *a: calls.append(a[1].shape) or honest(*a))
    for rows in (1, 2, MOST // 256, MOST // 256 + 1):
        layer(torch.randn(rows, 256))
    assert calls == [(256, 2), (256, 2), (256, 10)]
    wide = nn.Linear(2048, 8, bias=False)
    speed_up(wide)
    wide(torch.randn(1, 2048))
    assert len(calls) == 3


def test_gradients_are_those_of_a_linear_layer():
    """A loaded target may be taught further."""
    layer = nn.Linear(64, 5, bias=False)
    x = torch.randn(3, 64)
    layer(x).square().sum().backward()
    wanted = layer.weight.grad.clone()
    layer.weight.grad = None
    speed_up(layer)
    layer(x).square().sum().backward()
    assert torch.allclose(layer.weight.grad, wanted, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Linear(8, 4), nn.Linear(8, 4, bias=False, dtype=torch.bfloat16), nn.Identity()])
def test_other_layers_are_left_alone(layer):
    """A bias, another precision, another kind."""
    kind = type(layer)
    speed_up(nn.Sequential(layer))
    assert type(layer) is kind


def test_a_loaded_target_has_them_and_saves_as_before(tiny, tmp_path):
    """On this CPU; the weights keep their names."""
    layers = [m for m in tiny.model.modules() if isinstance(m, nn.Linear)]
    assert layers
    assert all(type(m) is FewRowsLinear for m in layers)
    tiny.model.save_pretrained(tmp_path)
    again = type(tiny.model).from_pretrained(tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), tiny.model.state_dict().values(), strict=True)
    )
