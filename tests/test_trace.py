"""Traces: JSON in and out, and what is refused."""

from __future__ import annotations

import json

import pytest

from fastllm.trace import (
    TRACE_VERSION,
    Article,
    Candidate,
    DraftToken,
    Emitted,
    Step,
    Trace,
    TraceError,
    from_json,
    to_json,
)


def example() -> Trace:
    draft = (
        DraftToken(5, " the", "accepted", 0.9, 0.5, 0.1, 0.8, (Candidate(5, " the", 0.7, 0.9),), ()),
        DraftToken(6, "<b>é🙂", "rejected", 0.0, 1.0, 0.5, 0.3),
        DraftToken(7, "x", "ignored", 0.2, 1.0),
    )
    steps = (
        Step(0, 0, draft, Emitted(9, " a", "resampled", 0.4), 0.001, 0.007, 0.0005),
        Step(1, 2, (DraftToken(1, "</s>", "accepted", 1.0, 1.0, None, 1.0),), None, 0.001, 0.007, 0.0),
    )
    return Trace(
        mode="speculative", target="mini", drafter="lookup", gamma=3, temperature=1.0, top_k=0, top_p=1.0,
        no_repeat_ngram_size=3, seed=1, max_new_tokens=96, article=Article("<script>\u202e", 4, 0), steps=steps,
        text="the a", ending="eos", versions={"torch": "2"},
    )  # fmt: skip


def changed(*path, value):
    """The example as JSON with the value at `path` replaced."""
    data = json.loads(to_json(example()))
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(data)


def test_a_trace_comes_back_equal():
    """JSON loses nothing: hostile text, None and nested tuples included."""
    assert from_json(to_json(example())) == example()
    assert from_json(to_json(example(), indent=2)) == example()


def test_tokens_and_time_of_a_step():
    """Accepted tokens, then the emitted one; an accepted eos has nothing after it."""
    trace = example()
    assert [s.tokens for s in trace.steps] == [(5, 9), (1,)]
    assert trace.tokens == (5, 9, 1)
    assert trace.seconds == pytest.approx(0.0165)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("version",), TRACE_VERSION + 1, "version"),
        (("gamma",), "4", r"trace\.gamma should be a whole number"),
        (("gamma",), True, r"trace\.gamma should be a whole number"),
        (("temperature",), None, r"trace\.temperature should be a number"),
        (("mode",), "magic", r"trace\.mode should be one of speculative, autoregressive"),
        (("steps",), {}, r"trace\.steps should be a list"),
        (("steps", 0, "draft", 1, "p"), 1.5, r"trace\.steps\[0\]\.draft\[1\]\.p should lie between 0 and 1"),
        (("steps", 0, "draft", 0, "p_top", 0, "raw"), -1, r"p_top\[0\]\.raw should lie between"),
        (("steps", 0, "draft", 2, "status"), "accepted", r"trace\.steps\[0\]\.draft should be accepted tokens, then"),
        (("steps", 1, "index"), 5, r"trace\.steps\[1\]\.index should be 1"),
        (("steps", 1, "position"), 3, r"trace\.steps\[1\]\.position should be 2"),
        (("steps", 0, "seconds_other"), -1, r"seconds_other should not be negative"),
        (("article",), "text", r"trace\.article should be an object"),
        (("versions",), {"torch": 2}, r"trace\.versions\.'torch' should be a text"),
        (("surprise",), 1, "unknown field 'surprise'"),
    ],
)
def test_a_forged_trace_is_refused_with_the_field_named(path, value, words):
    """Every kind of wrong value ends in one sentence that names the field."""
    with pytest.raises(TraceError, match=words):
        from_json(changed(*path, value=value))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"version": NaN}'])
def test_what_is_no_trace_is_refused(text):
    """Truncated, nested beyond reason, or another kind of JSON: one sentence."""
    with pytest.raises(TraceError, match=r"trace"):
        from_json(text)


def test_a_missing_field_is_named():
    """A trace without one of its fields is not filled in silently."""
    data = json.loads(to_json(example()))
    del data["steps"][0]["draft"][0]["beta"]
    with pytest.raises(TraceError, match=r"trace\.steps\[0\]\.draft\[0\]\.beta is missing"):
        from_json(json.dumps(data))
