"""Traces: JSON in and out, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fastllm.trace import (
    MAX_BYTES,
    TRACE_VERSION,
    Article,
    Candidate,
    DraftToken,
    Emitted,
    Plain,
    Step,
    Tempered,
    Trace,
    TraceError,
    from_json,
    to_json,
)


def example() -> Trace:
    tempered = Tempered(0.7, None, (0.1, 0.2), (), (), (), ())
    draft = (
        DraftToken(5, " the", "accepted", 0.9, 0.5, 0.1, 0.8, (Candidate(5, " the", 0.7, 0.9),), (), tempered=tempered),
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
        text="the a", ending="eos", versions={"torch": "2"}, made="2026-11-23T17:00:00+00:00",
        plain=Plain((Step(0, 0, (), Emitted(5, " the", "target", 0.9), 0.0, 0.006, 0.0),), "the", "length"),
        temperatures=(0.5, 1.0),
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


TEMPERED = ("steps", 0, "draft", 0, "tempered")


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
        (("gamma",), -1, r"trace\.gamma should not be negative"),
        (("temperature",), 1e9, r"trace\.temperature should lie between 0 and 100"),
        (("temperature",), 10**400, r"trace\.temperature should be a number"),
        (("article", "cut"), -3, r"trace\.article\.cut should not be negative"),
        (("text",), "\ud800", r"trace\.text holds half a character"),
        (("steps", 0, "draft", 0, "text"), "x" * 501, r"draft\[0\]\.text should have at most 500 characters, not 501"),
        (("steps", 0, "emitted", "id"), -1, r"emitted\.id should not be negative"),
        (("plain", "steps", 0, "emitted"), None, r"trace\.plain\.steps\[0\] should have no draft and one emitted"),
        (("plain", "steps", 0, "position"), 4, r"trace\.plain\.steps\[0\]\.position should be 0"),
        (("versions",), {"torch": 2}, r"trace\.versions\.'torch' should be a text"),
        (("steps", 0, "stop"), "bored", r"steps\[0\]\.stop should be one of gamma, limit"),
        (("steps", 0, "draft", 0, "p_rank"), 0, r"p_rank should lie between 1 and"),
        (("steps", 0, "draft", 0, "chance"), 2, r"chance should lie between 0 and 1"),
        (("rollback",), -1, r"trace\.rollback should not be negative"),
        (("surprise",), 1, "unknown field 'surprise'"),
        (("temperatures",), [1.0, 0.5], r"trace\.temperatures should rise"),
        (("temperatures",), [0.0, 1.0], r"trace\.temperatures\[0\] should lie between"),
        (("temperatures",), [i + 1.0 for i in range(51)], r"trace\.temperatures should have at most 50"),
        ((*TEMPERED, "p_norms"), [0.1], r"tempered\.p_norms should have 2 entries, not 1"),
        ((*TEMPERED, "p_norms"), [0.3, 0.2], r"tempered\.p_norms should not fall"),
        ((*TEMPERED, "p_norms", 0), -1.0, r"p_norms\[0\] does not go with the candidates"),
        ((*TEMPERED, "p_norms", 1), 0.5, r"p_norms\[1\] does not go with the candidates"),
        ((*TEMPERED, "p_norms", 1), 1e99, r"p_norms\[1\] should be a number"),
        ((*TEMPERED, "p_raw"), 1.5, r"tempered\.p_raw should lie between 0 and 1"),
        ((*TEMPERED, "q_raw"), 0.5, r"tempered\.q_raw should be a number where q_top has"),
        ((*TEMPERED, "betas"), [0.5, 0.5], r"tempered\.betas should have 0 entries, not 2"),
        (("steps", 0, "draft", 0, "p_top"), [], r"tempered is of no use without candidates"),
        (
            ("steps", 0, "draft", 2, "tempered"),
            dataclasses.asdict(Tempered(0.1, None, (), (), (), (), ())),
            r"draft\[2\]\.tempered should be null",
        ),
    ],
)
def test_a_forged_trace_is_refused_with_the_field_named(path, value, words):
    """Every kind of wrong value ends in one sentence that names the field."""
    with pytest.raises(TraceError, match=words):
        from_json(changed(*path, value=value))


DEEP = '{"version": 2, "gamma": ' + "[" * 900 + "]" * 900 + "}"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"version": NaN}', "9" * 5000, DEEP, to_json(example())[:-9]]
)
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


def test_a_trace_over_the_limit_is_refused_before_it_is_parsed():
    """The limit counts bytes: fewer characters of two bytes each are too many as well."""
    for text in (" " * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2 + 1)):
        with pytest.raises(TraceError, match="too large: the limit is 8 MB"):
            from_json(text)


def test_a_trace_of_version_1_is_still_read():
    """It had no comparison, no date and no end-of-text id; everything else comes back."""
    data = json.loads(to_json(example()))
    for name in ("eos_ids", "engine", "to_the_last_bit", "made", "plain"):
        del data[name]
    old = from_json(json.dumps(data | {"version": 1}))
    assert (old.eos_ids, old.made, old.plain, old.version) == ((1,), "", None, TRACE_VERSION)
    assert old.steps == example().steps


def test_a_trace_of_version_2_is_still_read():
    """It knew one end-of-text id and one engine."""
    data = json.loads(to_json(example()))
    for name in ("eos_ids", "engine", "to_the_last_bit"):
        del data[name]
    old = from_json(json.dumps(data | {"version": 2, "eos_id": 7}))
    assert (old.eos_ids, old.engine, old.to_the_last_bit, old.version) == ((7,), "torch", False, TRACE_VERSION)
    with pytest.raises(TraceError, match=r"eos_ids\[0\] should be a whole number"):
        from_json(json.dumps(data | {"version": 2}))


def test_the_baseline_is_a_trace_of_plain_decoding():
    """What a run is compared with comes out as it went in, under the run's own settings."""
    trace = example()
    baseline = trace.baseline
    assert (baseline.mode, baseline.drafter, baseline.gamma, baseline.seed) == ("autoregressive", "", 0, trace.seed)
    assert (baseline.tokens, baseline.text) == ((5,), "the")
    assert dataclasses.replace(trace, plain=None).compared_with(baseline) == trace
    assert dataclasses.replace(trace, plain=None).baseline is None


def test_a_trace_of_version_3_is_still_read():
    """It knew one rule, and drafts of one drafter: the defaults say so, in `plain` too."""
    data = json.loads(to_json(example()))
    for name in ("rule", "lengths", "rollback"):
        del data[name]
    for step in [*data["steps"], *data["plain"]["steps"]]:
        for name in ("stop", "cap", "calls"):
            del step[name]
        for token in step["draft"]:
            for name in ("by", "chance", "p_rank", "q_rank"):
                del token[name]
    del data["steps"][0]["draft"][0]["p_top"][0]["other"]
    assert from_json(json.dumps(data | {"version": 3})) == example()
    with pytest.raises(TraceError, match=r"trace\.rule is missing"):
        from_json(json.dumps(data))


def test_a_trace_of_version_5_is_still_read():
    """It knew one temperature: nothing is summed up at others."""
    data = json.loads(to_json(example()))
    del data["temperatures"]
    for step in [*data["steps"], *data["plain"]["steps"]]:
        for token in step["draft"]:
            del token["tempered"]
    old = from_json(json.dumps(data | {"version": 5}))
    assert (old.temperatures, [t.tempered for s in old.steps for t in s.draft]) == ((), [None] * 4)
    with pytest.raises(TraceError, match=r"trace\.temperatures is missing|tempered is missing"):
        from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("steps", 0, "emitted", "kind"), "bonus", r"steps\[0\].emitted.kind should be resampled, not bonus"),
        (("steps", 1, "draft", 0, "status"), "rejected", r"steps\[1\].emitted is missing"),
        (("steps", 1, "draft"), [], r"steps\[1\].emitted is missing"),
    ],
)
def test_what_the_target_added_goes_with_the_draft(path, value, words):
    """A refused token and a bonus behind it would be drawn as both."""
    with pytest.raises(TraceError, match=words):
        from_json(changed(*path, value=value))
