"""The recorded curve of quality against speed."""

from __future__ import annotations

from fastllm.ui.study import bild_view


def point(drafter: str, fallback: float, rollback: float, speed: float | None, changed: float, rouge: float) -> dict:
    return {"drafter": drafter, "fallback": fallback, "rollback": rollback, "measured_speedup": speed, "rougeL": rouge,
            "speedup_interval": speed and [speed - 0.1, speed + 0.1], "texts_changed": changed, "articles": 20,
            "tau": 4.0}  # fmt: skip


CURVE = {
    "plain": {"rougeL": 16.5},
    "points": [
        point("t5", 0.3, 3, 2.5, 0.7, 15.9),
        point("t5", 0.6, 0, 1.4, 0.0, 16.5),
        point("lstm", 0.6, 2, None, 0.1, 16.0),
    ],
}


def test_points_are_drawn_by_drafter_in_the_order_of_speed():
    """Hollow at rollback 0; what could not be timed is left out; plain decoding's ROUGE is a line."""
    made = bild_view.figure(CURVE, "rougeL", "ROUGE-L")
    (line,) = made.data
    assert (line.name, list(line.x), list(line.y)) == ("T5", [1.4, 2.5], [16.5, 15.9])
    assert list(line.marker.symbol) == ["circle-open", "circle"]
    assert made.layout.shapes[0].y0 == 16.5
    changed = bild_view.figure(CURVE, "texts_changed", "%")
    assert list(changed.data[0].y) == [0, 70]
    assert not changed.layout.shapes
    assert "fallback 0.3, rollback 3: 2.50× (2.40 to 2.60), ROUGE-L 15.90, 70% of 20" in line.hovertext[1]


def test_the_words_name_the_fastest_and_the_fastest_exact_one():
    """Both figures; a curve that could not be timed says so."""
    words = bild_view.words(CURVE)
    assert "2.50×, which changed 70% of 20 texts; ROUGE-L 15.90, plain decoding 16.50" in words
    assert "the target's own: 1.40×" in words
    busy = {**CURVE, "points": CURVE["points"][2:]}
    assert bild_view.words(busy) == bild_view.NOTHING
    assert bild_view.figure(busy, "rougeL", "").layout.annotations[0].text == bild_view.NOTHING
