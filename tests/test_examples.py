"""The example articles: enough of them, of the length of news, and clean."""

from __future__ import annotations

import json

import pytest

from fastllm.ui.article import check, word_count
from fastllm.ui.examples import load_examples
from train.data import clean_article

EXAMPLES = load_examples()


def test_there_are_examples_of_many_kinds():
    """At least the kinds of news that the page promises, each once."""
    topics = [e.topic for e in EXAMPLES]
    assert {"Accident", "Business", "Politics", "Science", "Sport", "Weather"} <= set(topics)
    assert len(topics) == len(set(topics)) == 8
    assert len({e.title for e in EXAMPLES}) == len({e.text for e in EXAMPLES}) == 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.topic)
def test_an_example_is_a_news_article(example):
    """250 to 450 words, without a dateline (training strips them), and nothing that the page would remark upon."""
    assert 250 <= word_count(example.text) <= 450
    assert "--" not in example.text[:60]
    assert clean_article(example.text) == " ".join(example.text.split())
    assert check(example.text).notices == ()
    assert check(example.text).text == example.text


def test_a_file_of_another_shape_is_refused(tmp_path):
    """A missing field, an empty one and another type are named with their file."""
    good = {"title": "a", "topic": "b", "text": "c"}
    for bad in ({"title": "a"}, good | {"text": " "}, good | {"text": 3}, [good]):
        (tmp_path / "x.json").write_text(json.dumps(bad))
        with pytest.raises(ValueError, match=r"x\.json"):
            load_examples(tmp_path)
    (tmp_path / "x.json").write_text(json.dumps(good))
    assert load_examples(tmp_path)[0].text == "c"
