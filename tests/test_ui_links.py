"""What a link to the page may carry, and what of it is refused."""

from __future__ import annotations

import pytest

from fastllm.ui.watch.links import Choice, knobs, read

TOPICS, DRAFTERS = ["Sport", "Weather"], ["ngram@baseline", "lookup"]


def test_a_link_restores_every_setting():
    """Example, drafter, order, gamma, temperature, seed, top-p and length limit, each in its own type."""
    query = {"example": "weather", "drafter": "lookup", "n": "2", "gamma": "7", "temperature": "0.8", "seed": "42"}
    query |= {"top_p": "0.85", "length": "40", "view": "teacher", "__theme": "dark"}
    query |= {"way": "-then-", "rule": "block", "lengths": "entropy", "threshold": "0.35", "rollback": "3.5"}
    query |= {"nodes": "12", "width": "3"}
    assert read(query, TOPICS, DRAFTERS) == Choice(
        "Weather", "lookup", 2, 7, 0.8, 42, 0.85, 40, "-then-", "block", "entropy", 0.35, 3.5, 12, 3
    )


def test_a_link_without_settings_chooses_nothing():
    """The page's own defaults stay."""
    assert read({"__theme": "dark", "utm": "x"}, TOPICS, DRAFTERS) == Choice()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", "0"),
        ("gamma", "17"),
        ("gamma", "four"),
        ("gamma", "3.5"),
        ("gamma", "9" * 5000),
        ("n", "-1"),
        ("temperature", "nan"),
        ("temperature", "inf"),
        ("temperature", "1e9"),
        ("seed", "-1"),
        ("seed", str(2**31)),
        ("seed", ""),
        ("top_p", "0"),
        ("top_p", "1.01"),
        ("top_p", "nan"),
        ("length", "7"),
        ("length", "193"),
        ("length", "40.5"),
        ("drafter", "<script>alert(1)</script>"),
        ("example", "Accident\x00"),
        ("rule", "generous"),
        ("lengths", "confidence:9"),
        ("threshold", "1.5"),
        ("threshold", "nan"),
        ("rollback", "-1"),
        ("rollback", "many"),
        ("nodes", "17"),
        ("nodes", "2.5"),
        ("width", "0"),
        ("way", ""),
        ("way", "or"),
    ],
)
def test_a_bad_value_is_left_out_and_told(name, value):
    """One sentence that names it; the good settings beside it hold."""
    choice = read({"gamma": "3", name: value}, TOPICS, DRAFTERS)
    assert getattr(choice, name) is None
    assert len(choice.notices) == 1
    assert {"way": "joined with", "lengths": "draft length"}.get(name, name) in choice.notices[0]
    assert len(choice.notices[0]) < 200
    assert name == "gamma" or choice.gamma == 3


def test_a_method_without_its_threshold_begins_with_its_own():
    """Where a link names the line and not the value; a line that has none, and no line, leave the slider alone."""
    assert knobs(read({"lengths": "confidence", "rule": "bild"}, TOPICS, DRAFTERS)) == [0.4, 2.0, None, None]
    assert knobs(read({"lengths": "confidence", "threshold": "0.7"}, TOPICS, DRAFTERS)) == [0.7, None, None, None]
    assert knobs(read({"lengths": "exit", "rule": "block"}, TOPICS, DRAFTERS)) == [None] * 4
    assert knobs(read({"rule": "follow", "width": "3"}, TOPICS, DRAFTERS)) == [None, None, 8, 3]
    assert knobs(Choice()) == [None] * 4
