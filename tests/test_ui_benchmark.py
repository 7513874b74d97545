"""The figures of the recorded benchmark: every number from the rows, nothing invented where there are none."""

from __future__ import annotations

import json

import pytest

from fastllm.config import ASSETS
from fastllm.ui.study import benchmark_view as view


def row(drafter: str, gamma: int, temperature: float = 0.0, speed: float = 1.5) -> dict:
    return {
        "drafter": drafter, "gamma": gamma, "temperature": temperature, "articles": 50, "tau": 2.0,
        "measured_speedup": speed, "predicted_speedup": speed + gamma, "speedup_interval": [speed - 0.2, speed + 0.1],
        "positions": [
            {"position": i + 1, "drafted": 30, "tested": 23 - i, "accepted": max(0, 4 - i)} for i in range(gamma)
        ],
    }  # fmt: skip


BENCHMARK = {
    "finished": "2026-11-23T20:00:00", "machine": "2 cores", "commit": "abcdef0123456",
    "rows": [row("lookup", 4, speed=2.5), row("lookup", 2, speed=3.5), row("ngram:3@distilled", 2, speed=0.8),
             row("ngram:3@baseline", 2, speed=0.7), row("lookup", 2, 1.0)],
}  # fmt: skip


def test_a_series_is_one_drafter_by_gamma():
    """Only the temperature asked for, only the variant asked for, and what nothing trained in every variant."""
    found = view.series(BENCHMARK, 0.0, "baseline")
    assert {n: [(r["drafter"], r["gamma"]) for r in rows] for n, rows in found.items()} == {
        "lookup": [("lookup", 2), ("lookup", 4)],
        "ngram:3": [("ngram:3@baseline", 2)],
    }
    assert view.temperatures(BENCHMARK) == [0.0, 1.0]
    assert view.variants(BENCHMARK) == ["distilled", "baseline"]


def test_the_speed_figure_draws_the_rows():
    """Measured with its interval, predicted beside it, the same colour."""
    figure = view.speed_figure(view.series(BENCHMARK, 0.0, "distilled"))
    measured, predicted = figure.data[:2]
    assert (list(measured.x), list(measured.y)) == ([2, 4], [3.5, 2.5])
    assert list(measured.error_y.array) == pytest.approx([0.1, 0.1])
    assert list(measured.error_y.arrayminus) == pytest.approx([0.2, 0.2])
    assert list(predicted.y) == [5.5, 6.5]
    assert measured.line.color == predicted.line.color
    assert "3.50×" in measured.hovertext[0]


def test_the_position_figure_draws_the_longest_drafts():
    """Accepted / tested of the highest gamma with its interval, hollow where few were tested."""
    long = {**BENCHMARK, "rows": [*BENCHMARK["rows"], row("lookup", 6)]}
    figure = view.position_figure(view.series(long, 0.0, "distilled"))
    assert list(figure.data[0].x) == [1, 2, 3, 4, 5, 6]
    assert list(figure.data[0].y) == pytest.approx([100 * (4 - i) / (23 - i) for i in range(4)] + [0, 0])
    assert "-open" not in "".join(figure.data[0].marker.symbol)
    assert min(figure.data[0].error_y.array) > 10


def test_the_words_name_the_fastest_and_the_slow():
    """What was measured against what the theorem would choose."""
    text = view.words(view.series(BENCHMARK, 0.0, "distilled"))
    assert text == (
        "Fastest: lookup at γ = 2, 3.50× plain decoding; Theorem 3.8 would choose γ = 4, which is 2.50×. "
        "Slower than plain decoding at every γ: N = 3."
    )


def test_nothing_recorded_is_said():
    """No traceback and no empty figure without a word."""
    assert view.words({}) == "Nothing was recorded for this choice."
    for figure in (view.speed_figure({}), view.position_figure({})):
        assert figure.layout.annotations[0].text == "Nothing was recorded for this choice."


def test_the_packaged_benchmark_has_every_figure():
    """Whatever temperature and variant a visitor chooses, there is a line to see, and an escaped header."""
    benchmark = json.loads((ASSETS / "benchmark.json").read_text())
    for temperature in view.temperatures(benchmark):
        for variant in view.variants(benchmark):
            found = view.series(benchmark, temperature, variant)
            assert "lookup" in found
            assert len(view.speed_figure(found).data) >= 2
            assert len(view.position_figure(found).data) == len(found)
    assert "<script>" not in view.header_html({**benchmark, "machine": "<script>"})
