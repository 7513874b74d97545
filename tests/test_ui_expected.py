"""The line under the drafter menu: recorded figures of this very pair, or an honest lack of them."""

from __future__ import annotations

import json

import pytest

from fastllm.drafters import DrafterInfo
from fastllm.recorded import recorded_file
from fastllm.ui.watch.expected import expected_html, recorded, row_for

ROW = {"drafter": "lstm@distilled", "articles": 24, "gamma": 4, "temperature": 0.0, "mean_beta": 0.75, "tau": 3.2,
       "us_per_draft_token": 412.0, "measured_speedup": 1.9}  # fmt: skip
BENCHMARK = {"target": {"sha256": "abc"}, "rows": [ROW, {**ROW, "temperature": 1.0, "mean_beta": 0.5}]}
INFO = DrafterInfo("lstm@distilled", "lstm", "LSTM (distilled)", 3_529_502, "distilled")


@pytest.mark.parametrize(("temperature", "beta"), [(0, 0.75), (0.3, 0.5), (1.5, 0.5)])
def test_sampling_is_never_told_greedy_figures(temperature, beta):
    """Any temperature above 0 takes the sampled row."""
    assert row_for(BENCHMARK, "abc", "lstm@distilled", 4, temperature)["mean_beta"] == beta


@pytest.mark.parametrize(
    "asked", [("other", "lstm@distilled", 4), ("abc", "cnn@distilled", 4), ("abc", "lstm@distilled", 5)]
)
def test_another_pair_or_gamma_has_no_figures(asked):
    """Other target weights, another drafter, a gamma not measured."""
    assert row_for(BENCHMARK, *asked, 0) is None
    assert row_for({}, *asked, 0) is None


def test_the_line_says_that_it_is_recorded():
    """Size, cost, acceptance, speed, and over how many articles."""
    text = expected_html(INFO, ROW, 4)
    for part in ("Recorded at γ = 4, T = 0, 24 articles", "3.5 MB", "0.41 ms", "β 0.75", "3.20 tokens", "1.90×"):
        assert part in text
    assert "no recorded figures at γ = 7" in expected_html(INFO, None, 7)


def test_each_target_has_its_own_benchmark(tmp_path):
    """The embedded target's file bears no name, another's does; what is missing, broken or a folder's is none."""
    recorded.cache_clear()
    assert recorded("mini", tmp_path) == {}
    recorded_file("benchmark", "mini", tmp_path).write_text(json.dumps(BENCHMARK))
    recorded_file("benchmark", "smollm2", tmp_path).write_text(json.dumps({**BENCHMARK, "target": {"sha256": "def"}}))
    recorded_file("benchmark", "broken", tmp_path).write_text("{")
    recorded.cache_clear()
    assert recorded("mini", tmp_path) == BENCHMARK
    assert recorded("smollm2", tmp_path)["target"]["sha256"] == "def"
    for name in ("broken", "t5-base", "../mini", "some/folder"):
        assert recorded(name, tmp_path) == {}
    recorded.cache_clear()
