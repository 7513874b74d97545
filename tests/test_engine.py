"""The NumPy engine of the LSTM and CNN drafters: the model's own numbers, on a shortlist of its vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastllm.drafters.engine import CopyEngine, sigmoid
from tests.test_copying import ARTICLES, CLASSES, SIZES, TOKENS, V, model_of

ARTICLE = ARTICLES[0].tolist()


def rows(engine: CopyEngine, article, tokens, shortlist: int = V) -> torch.Tensor:
    """ln q after each token, shape (T, V)."""
    reading, state = engine.read(article, shortlist)
    found = []
    for token in tokens:
        state = engine.step(reading, state, token)
        found.append(torch.from_numpy(engine.log_probs(reading, state)))
    return torch.stack(found)


def engine_of(family: str, model) -> CopyEngine:
    return CopyEngine(model, CLASSES[family][1].cell_class(model))


@pytest.mark.parametrize("changes", [{}, {"layers": 1}, {"layers": 3}, {"max_match": 0}, {"article_kernel": 1}])
@pytest.mark.parametrize("family", SIZES)
def test_it_computes_what_the_model_computes(family, changes):
    """With the whole vocabulary on the list, every row is the trained model's, but for the CNN's table in halves."""
    model = model_of(family, **changes)
    with torch.inference_mode():
        whole = model(ARTICLES[:1], TOKENS[:1])[0]
    found = rows(engine_of(family, model), ARTICLE, TOKENS[0].tolist())
    assert torch.allclose(found, whole, atol={"lstm": 1e-5, "cnn": 1e-2}[family])
    if family == "cnn":
        assert torch.allclose(found.exp(), whole.exp(), atol=2e-3)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 513])
def test_articles_of_any_length_are_read_as_the_model_reads_them(length):
    """Shorter than the convolution's window, or longer than the places known so far."""
    model = model_of("lstm", article_kernel=7)
    engine = engine_of("lstm", model)
    for article in ([5, 6], [i % V for i in range(length)]):
        with torch.inference_mode():
            keys = model.read(torch.tensor([article])).keys[0]
        assert torch.allclose(torch.from_numpy(engine.read(article)[0].keys), keys, atol=1e-5)


@pytest.mark.parametrize("family", SIZES)
def test_a_shortlist_gives_the_frequent_and_the_article_only(family):
    """Still a distribution; nothing elsewhere; and tokens that cannot be copied keep their proportions."""
    model = model_of(family)
    q = rows(engine_of(family, model), ARTICLE, TOKENS[0].tolist(), 4).exp()
    allowed = torch.zeros(V, dtype=torch.bool)
    allowed[[0, 1, 2, 3, *ARTICLE]] = True
    assert torch.allclose(q.sum(-1), torch.ones(len(q)), atol=1e-5)
    assert not q[:, ~allowed].any()
    assert (q[:, allowed] > 0).all()
    with torch.inference_mode():
        whole = model(ARTICLES[:1], TOKENS[:1])[0].exp()
    ratio = q[:, :4] / whole[:, :4]
    assert torch.allclose(ratio, ratio[:, :1].expand(-1, 4), rtol=1e-2)
    assert (ratio > 1).all()


@pytest.mark.parametrize("family", SIZES)
def test_a_step_leaves_the_state_before_it_alone(family):
    """Sessions keep a state per token and branch from any of them."""
    engine = engine_of(family, model_of(family))
    reading, state = engine.read(ARTICLE)
    one = engine.step(reading, state, 5)
    kept = [a.copy() for a in (*one.hidden, one.top, one.match)]
    engine.step(reading, one, 6)
    engine.log_probs(reading, one)
    assert all(np.array_equal(a, b) for a, b in zip(kept, (*one.hidden, one.top, one.match), strict=True))


def test_the_frequent_tokens_are_there_whatever_the_article():
    """An article of one token, and q is on it and on the eight most frequent."""
    engine = engine_of("lstm", model_of("lstm"))
    assert (rows(engine, [20], [0], 8)[0] > -torch.inf).nonzero()[:, 0].tolist() == [*range(8), 20]


def test_a_sigmoid_of_anything_is_quiet():
    """No overflow warning where a gate is far off."""
    with np.errstate(all="raise"):
        far = sigmoid(np.array([-1e4, -20.0, 0.0, 20.0, 1e4], np.float32))
    assert far == pytest.approx(torch.tensor([-1e4, -20.0, 0.0, 20.0, 1e4]).sigmoid().numpy(), abs=1e-6)
