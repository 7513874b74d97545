"""Drafts that branch: the tree as arithmetic, targets that score one in a call, the rules, the drafters."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fastllm.targets.load import load_target
from fastllm.targets.torch_trees import known
from fastllm.trees import check, children, depths, distances, path, prefixes, trunk
from tests.conftest import ARTICLE, make_t5
from tests.tiny_models import make_causal

# The trunk 0 1 2, a sibling of 1 with a child, and a second child of the root.
PARENTS = (-1, 0, 1, 0, 3, -1)
IDS = (7, 8, 9, 10, 11, 12)


def some_tree(rng: random.Random, nodes: int) -> tuple[int, ...]:
    return tuple(rng.randrange(-1, i) for i in range(nodes))


def test_a_tree_is_arithmetic_on_parents():
    """Paths, depths, children, the trunk, and who lies how far back from whom."""
    assert path(PARENTS, 4) == (0, 3, 4)
    assert depths(PARENTS) == [0, 1, 2, 1, 2, 0]
    assert children(PARENTS, 0) == (1, 3)
    assert children(PARENTS, -1) == (0, 5)
    assert trunk(PARENTS) == 3
    assert prefixes([1], IDS, PARENTS)[5] == [1, 7, 10, 11]
    assert prefixes([1], IDS[:2], None) == [[1], [1, 7], [1, 7, 8]]
    far = distances(2, 1, PARENTS)
    assert far[0].tolist() == [2, 1, 0, -1, -2, -3, -2, -3, -1]
    assert far[5].tolist() == [5, 4, 3, 2, -1, -1, 1, 0, -1]
    assert distances(1, 2).tolist() == [[1, 0, -1], [2, 1, 0]]
    with pytest.raises(ValueError, match="each behind its parent"):
        check((0,))
    with pytest.raises(ValueError, match="at most 16 nodes"):
        check(tuple(range(-1, 16)))


def attentive(folder: Path) -> str:
    """The model in `folder` with sharp attention: at random it hardly matters who sees whom."""
    weights = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        if "decoder" in name or "decoder" not in "".join(weights):
            weights[name] = value * next((x for part, x in SHARPER.items() if part in name), 1.0)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


SHARPER = {"q_proj": 12.0, "k_proj": 12.0, "v_proj": 4.0, "c_attn": 12.0, "Attention.q": 2.0, "relative_attention": 8.0}


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """T5 and Llama on both engines, and GPT-2, which has no graph."""
    folder = tmp_path_factory.mktemp("trees")
    t5 = attentive(make_t5(folder / "t5"))
    llama, gpt2 = attentive(make_causal(folder / "llama")), attentive(make_causal(folder / "gpt2", "gpt2"))
    return {
        "t5 onnx": load_target(t5),
        "t5 torch": load_target(t5, engine="torch"),
        "llama onnx": load_target(llama),
        "llama torch": load_target(llama, engine="torch"),
        "gpt2 torch": load_target(gpt2),
    }


ENGINES = ["t5 onnx", "t5 torch", "llama onnx", "llama torch", "gpt2 torch"]


@pytest.mark.parametrize("name", ENGINES)
def test_one_call_scores_a_tree_as_calls_path_by_path_do(targets, name):
    """Random trees, one text after the other over one cache, texts that go on in a side branch too: the same rows up
    to rounding, and along the trunk to the last bit where the engine promises that."""
    target, rng = targets[name], random.Random(3)
    assert target.engine.name == name.split()[1]
    session, other = target.open(ARTICLE), target.open(ARTICLE)
    text: list[int] = []
    for size in (6, 3, 16, 9):
        parents = PARENTS if size == 6 else some_tree(rng, size)
        ids = [rng.randrange(5, 200) for _ in range(size)]
        rows = session.score(text, ids, parents)
        assert rows.shape == (size + 1, target.vocab_size)
        for row, line in zip(rows, prefixes(text, ids, parents), strict=True):
            alone = other.score(line)[0]
            assert torch.allclose(row, alone, atol=1e-4 * float(alone.abs().max()))
        if target.engine.to_the_last_bit:
            first = trunk(parents)
            assert torch.equal(rows[: first + 1], other.score(text, ids[:first]))
        text += [ids[i] for i in path(parents, rng.randrange(size))] + [5]
        assert torch.allclose(session.score(text)[0], other.score(text)[0], atol=1e-4 * float(rows.abs().max()))
    if target.engine.name == "torch":
        assert known(target.model) is True


def test_a_model_that_does_not_heed_the_mask_is_asked_path_by_path(targets, monkeypatch):
    """Seen at its first tree, and remembered; the rows are right from the first."""
    for name in ("llama", "t5"):
        wanted = targets[f"{name} torch"].open(ARTICLE).score([5], IDS, PARENTS)
        target = load_target(targets[f"{name} torch"].preset.model, engine="torch")
        monkeypatch.setattr("fastllm.targets.torch_engine.tree_inputs", lambda *a: {})
        session = target.open(ARTICLE)
        for _ in range(2):
            assert torch.allclose(session.score([5], IDS, PARENTS), wanted, atol=1e-4 * float(wanted.abs().max()))
            assert known(target.model) is False
        monkeypatch.undo()
