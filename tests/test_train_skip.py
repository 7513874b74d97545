"""The search for what a target leaves out to draft for itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastllm.analysis.metrics import predicted_speedup
from fastllm.config import TargetPreset
from fastllm.drafters import load_drafter
from fastllm.targets.load import load_target
from fastllm.targets.sublayers import FAMILIES
from tests.conftest import ARTICLE, TEXTS
from tests.tiny_models import make_causal
from train.__main__ import main
from train.bits import _normal_cdf, at_random, bayesian, expected_improvement
from train.skips import Costs, agreement, best_gamma, mean_beta, read_texts, torch_engine
from train.steps.skip import beginnings, costs_of


def worth(bits) -> float:
    """Switches 2, 3 and 7 pay, every other one costs, and 3 with 7 costs more."""
    on = set(bits)
    return len(on & {2, 3, 7}) - 0.5 * len(on - {2, 3, 7}) - 2 * ({3, 7} <= on)


def test_bayesian_search_finds_what_random_search_does_not():
    """Twelve switches, thirty evaluations after the same beginning: the optimum, on all seeds but few; random seldom.
    The same seed tries the same sets."""
    found = {bayesian: 0, at_random: 0}
    for seed in range(8):
        for search in found:
            one = search(worth, 12, [()], 30, np.random.default_rng(seed), lambda bits: True)
            found[search] += one.best[1] == 2
            assert len(one.tried) == 31
            assert one.so_far == sorted(one.so_far)
    assert found[bayesian] >= 6 > 3 >= found[at_random]
    twice = [bayesian(worth, 12, [()], 10, np.random.default_rng(3), lambda bits: True) for _ in range(2)]
    assert twice[0] == twice[1]


def test_what_is_not_valid_is_never_tried_and_few_sets_end_the_search():
    """Two switches have four sets, of which one is forbidden."""
    for search in (bayesian, at_random):
        one = search(worth, 2, [(0, 1), ()], 9, np.random.default_rng(0), lambda bits: bits != (0, 1))
        assert {bits for bits, _ in one.tried} == {(), (0,), (1,)}


def test_expected_improvement():
    """Greater where nothing is known than at the best place known."""
    x, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0])
    gain = expected_improvement(x, y, np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert gain[0] > 5 * gain[1] > 0
    assert _normal_cdf(np.array([-1.96, 0.0, 1.0])) == pytest.approx([0.0249979, 0.5, 0.8413447], abs=1e-6)


def test_the_objective(tiny):
    """Nothing left out agrees wholly with the target's texts, and Theorem 3.8 is taken at its best gamma."""
    texts = read_texts(tiny, TEXTS[:2], 12)
    whole = torch_engine(tiny)
    family = FAMILIES["t5"]
    assert agreement(tiny, whole.without(family, frozenset()), texts) == 1
    assert mean_beta(tiny, whole, whole.without(family, frozenset()), texts) == pytest.approx(1, abs=1e-4)
    less = whole.without(family, frozenset([(0, "feed"), (1, "cross")]))
    assert agreement(tiny, less, texts) < 1
    assert mean_beta(tiny, whole, less, texts) < 0.999
    assert best_gamma(0.9, 0.5)[0] == max(predicted_speedup(0.9, g, 0.5) for g in range(1, 17))
    costs = Costs(0.9, {"self": 0.1, "feed": 0.2}, row=0.5)
    assert costs.of([(0, "self"), (1, "feed"), (0, "feed")]) == pytest.approx(0.4)
    assert costs.of([(0, "feed")] * 9) == 0


def test_beginnings():
    """Nothing, all feed-forward layers, then the least missed first."""
    every = [(0, "cross"), (0, "feed"), (1, "self"), (1, "feed")]
    assert beginnings(every, [0.2, 0.9, 0.95, 0.5]) == [(), (1, 3), (2,), (1, 2), (1, 2, 3)]


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_the_step_writes_a_set_that_loads(tiny_folder, tmp_path, kind):
    """For both families, with a table of costs, the same set twice; the record tells both searches."""
    folder = tiny_folder if kind == "t5" else make_causal(tmp_path / "llama")
    data = tmp_path / "pairs.jsonl"
    rows = [{"id": str(i), "article": ARTICLE + " " + t, "highlights": TEXTS[0]} for i, t in enumerate(TEXTS)]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    costs = "whole=0.9,row=0.02,self=0.1,feed=0.1" + (",cross=0.1" if kind == "t5" else "")
    said = []
    for name in ("self", "again"):
        asked = [
            "skip", "--target", str(folder), "--data", str(data), "--articles", "2", "--evaluations", "4",
            "--max-new-tokens", "8", "--out", str(tmp_path / name), "--costs", costs, "--least", "2",
        ]  # fmt: skip
        assert main(asked) == 0
        said.append((tmp_path / name / "skip.json").read_text())
    assert said[0] == said[1]
    record = json.loads((tmp_path / "self" / "record.json").read_text())
    assert str(tmp_path) not in json.dumps(record)
    assert set(record["searches"]) == {"bayesian", "random"}
    best = record["searches"]["bayesian"]
    assert best["best_after"][-1] == best["predicted_speedup"] == record["predicted_speedup"]
    assert record["searches"]["random"]["evaluations"] <= best["evaluations"] + 1
    target = load_target(str(folder)).with_preset(TargetPreset("x", "x", "x", drafters=str(tmp_path)))
    assert record["skipped"] >= 2
    assert sum(map(len, json.loads(said[0])["skip"].values())) == len(load_drafter(target, "self").skip)


def test_what_cannot_be_searched_is_told(tiny_folder, tmp_path, capsys):
    """A wrong table of costs, a family that is not known, an --out that is a file."""
    with pytest.raises(ValueError, match="--costs must name whole, row, self, cross, feed, as in"):
        costs_of("whole=1,self=x", FAMILIES["t5"])
    assert main(["skip", "--target", str(tiny_folder), "--out", str(tmp_path / "new"), "--least", "4"]) == 2
    assert "--least must be at most 2" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    base = ["skip", "--data", "none.jsonl", "--out"]
    assert main([*base, str(tmp_path / "file"), "--target", str(tiny_folder)]) == 2
    assert "must be a folder" in capsys.readouterr().err
    gpt2 = make_causal(tmp_path / "gpt2", "gpt2")
    assert main([*base, str(tmp_path / "out"), "--target", str(gpt2)]) == 2
    assert "the sublayers of a gpt2 are not known, only those of t5" in capsys.readouterr().err
