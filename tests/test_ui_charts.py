"""Plotly figures hold the numbers that they are given."""

from __future__ import annotations

import pytest

from fastllm.analysis.metrics import PositionRow, wilson
from fastllm.trace import Emitted, Step
from fastllm.ui.plots import FEW
from fastllm.ui.watch.charts import MAX_STRIPS, acceptance_figure, timeline_figure
from tests.test_trace import example


def test_bars_are_accepted_over_tested_with_counts():
    """Heights in percent, counts on the bars and in the tooltips."""
    bars = acceptance_figure([PositionRow(1, 10, 10, 8), PositionRow(2, 9, 8, 2)], gamma=4).data[0]
    assert list(bars.x) == [1, 2]
    assert list(bars.y) == pytest.approx([80, 25])
    assert list(bars.text) == ["8/10", "2/8"]
    assert bars.hovertext[1] == (
        "Place 2 in the draft: 2 accepted of 8 tested (25%, 95 % interval 7% to 59%: too few to say much); 9 drafted"
    )


@pytest.mark.parametrize(("accepted", "tested"), [(1, 1), (0, 3), (9, 9), (5, 10), (400, 400)])
def test_a_share_has_its_interval_and_few_tests_are_hatched(accepted, tested):
    """1 of 1 is 100 % with an interval down to 21 %; from 10 tests on a bar is plain."""
    bars = acceptance_figure([PositionRow(1, tested, tested, accepted)], gamma=2).data[0]
    low, high = wilson(accepted, tested)
    assert bars.y[0] - bars.error_y.arrayminus[0] == pytest.approx(100 * low)
    assert bars.y[0] + bars.error_y.array[0] == pytest.approx(100 * high)
    assert (bars.marker.pattern.shape[0] == "/") == (tested < FEW)
    assert ("too few" in bars.hovertext[0]) == (tested < FEW)


def test_a_position_never_tested_has_no_bar():
    """Drafted but never reached is unknown, not zero."""
    bars = acceptance_figure([PositionRow(1, 5, 5, 0), PositionRow(2, 5, 0, 0)], gamma=2).data[0]
    assert list(bars.x) == [1]
    assert list(bars.y) == [0]


@pytest.mark.parametrize("gamma", [1, 10])
def test_the_axis_spans_the_whole_draft(gamma):
    """All positions up to gamma are there, reached or not, and the percentages always run to 100."""
    figure = acceptance_figure([PositionRow(1, 3, 3, 3)], gamma)
    assert tuple(figure.layout.xaxis.range) == (0.5, gamma + 0.5)
    assert figure.layout.yaxis.range[1] >= 100


def test_without_a_tested_token_the_chart_says_so():
    """An empty chart explains itself, a filled one has no such word."""
    assert "no draft token" in acceptance_figure([], 4).layout.annotations[0].text
    assert not acceptance_figure([PositionRow(1, 1, 1, 1)], 4).layout.annotations


def test_the_background_is_transparent():
    """The panel's own background shows, in light and in dark."""
    layout = acceptance_figure([], 4).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_a_strip_begins_where_the_step_before_it_ended_and_its_parts_follow_each_other():
    """Drafting, target call, everything else, in measured milliseconds; no gap and no overlap."""
    drafting, target, other, tokens = timeline_figure(example().steps).data
    assert [list(bar.base) for bar in (drafting, target, other)] == [
        pytest.approx([0, 8.5]),
        pytest.approx([1, 9.5]),
        pytest.approx([8, 16.5]),
    ]
    assert [list(bar.x) for bar in (drafting, target, other)] == [
        pytest.approx([1, 1]),
        pytest.approx([7, 7]),
        pytest.approx([0.5, 0]),
    ]
    assert list(tokens.x) == [2, 1]
    assert list(tokens.y) == [1, 2]
    assert target.hovertext[0] == "Step 1: target call 7.00 ms"


def test_a_timeline_of_very_many_steps_stays_drawable():
    """Not more strips than can be told apart, and a height that fits a screen."""
    steps = tuple(Step(i, i, (), Emitted(5, "x", "target", 1.0), 0.0, 0.01, 0.0) for i in range(1000))
    figure = timeline_figure(steps)
    assert len(figure.data[0].x) == MAX_STRIPS
    assert figure.layout.height <= 620
    assert "no step yet" in timeline_figure(()).layout.annotations[0].text
