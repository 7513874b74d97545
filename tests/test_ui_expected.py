"""The line under the drafter menu: recorded figures of this very pair, or an honest lack of them."""

from __future__ import annotations

import pytest

from fastllm.drafters import DrafterInfo
from fastllm.ui.watch.expected import expected_html, recorded, row_for, short_text

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


def test_a_missing_or_broken_file_is_no_error(tmp_path):
    """Then nothing is expected."""
    recorded.cache_clear()
    assert recorded(tmp_path / "none.json") == {}
    (tmp_path / "bad.json").write_text("{")
    recorded.cache_clear()
    assert recorded(tmp_path / "bad.json") == {}
    recorded.cache_clear()


def test_the_menu_tells_size_cost_and_acceptance():
    """A line of one drafter, and one of n-grams from the least to the greatest."""
    assert short_text([INFO], BENCHMARK, "abc") == "3.5 MB · 0.41 ms · β 0.75"
    assert short_text([INFO], BENCHMARK, "other") == "3.5 MB"
    infos = [DrafterInfo(f"ngram:{n}@baseline", "ngram", "x", n * 10**6, "baseline") for n in (1, 2, 3)]
    rows = [{**ROW, "drafter": i.spec, "mean_beta": i.size_bytes / 1e7} for i in infos]
    assert short_text(infos, {**BENCHMARK, "rows": rows}, "abc") == "1.0 MB to 3.0 MB · 0.41 ms · β 0.10 to 0.30"
