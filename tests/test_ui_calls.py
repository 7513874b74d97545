"""The curve of calls and the comparison with other decoders, as Study shows them."""

from __future__ import annotations

import pytest

from fastllm.config import ASSETS
from fastllm.ui.study import calls_view as view

CURVE = {
    "sha256": "aa",
    "lengths": [1, 5, 9],
    "ms": {"onnx": [2.0, 2.5, 3.0], "torch": [6.0, 9.0, 12.0]},
    "bytes": 30_000_000,
    "bandwidth": 15_000_000_000,
    "floor_ms": 2.0,
}


def test_the_curve_is_drawn_as_measured():
    """A line an engine, over the lengths measured, and the floor."""
    figure = view.figure(CURVE)
    assert [list(line.y) for line in figure.data] == [[2.0, 2.5, 3.0], [6.0, 9.0, 12.0]]
    assert [line.name for line in figure.data] == ["ONNX Runtime", "torch"]
    assert "5 tokens scored in 2.50 ms, 1.25 times one" in figure.data[0].hovertext[1]
    assert figure.layout.shapes[0].y0 == 2.0


def test_the_words_give_the_ratios():
    """Five and nine over one, on each engine, and the floor."""
    text = view.words(CURVE)
    assert "ONNX Runtime scores one token in 2.0 ms, five in 1.25 and nine in 1.50 times that" in text
    assert "30 MB of weights" in text
    assert "in 2.0 ms (15.0 GB/s)" in text


def test_peers_stand_in_a_table():
    """A row a decoder, a column a number of threads, names escaped; nothing where nothing was measured."""
    row = {"name": "<b>", "threads": 1, "ms_token": 1.234, "texts_equal": 7, "articles": 8}
    html = view.peers_html([row, {**row, "name": "plain", "threads": 2}])
    assert "&lt;b&gt;" in html
    assert "<td>1.23 (7/8)</td><td>–</td>" in html
    assert view.peers_html([]) == ""


def test_a_missing_or_damaged_file_is_no_curve(tmp_path, monkeypatch):
    """The page comes up all the same."""
    for content in (None, "{", "{}", "[]"):
        file = tmp_path / "calls.json"
        if content is not None:
            file.write_text(content)
        monkeypatch.setattr(view, "FILE", file)
        assert view.recorded("mini") == {}


@pytest.mark.skipif(not (ASSETS / "calls.json").exists(), reason="no curve is recorded")
def test_the_packaged_curve_can_be_drawn():
    """That of the embedded target, with sane figures: no call is faster than its weights can be read."""
    curve = view.recorded("mini")
    assert view.figure(curve).data
    assert view.words(curve)
    assert min(min(ms) for ms in curve["ms"].values()) >= 0.8 * curve["floor_ms"]
