"""The packaged recordings: real runs of our own articles, complete and small."""

from __future__ import annotations

import pytest

from fastllm.rules import lossless
from fastllm.ui.examples import load_examples
from fastllm.ui.watch import recordings


def test_there_are_recordings_and_they_are_small():
    """At least two, each with its file of less than 100 KB; together under 500 KB."""
    files = [recordings.FOLDER / f"{r.name}.json" for r in recordings.listed()]
    assert len(files) >= 2
    assert max(f.stat().st_size for f in files) < 100_000
    assert sum(f.stat().st_size for f in files) < 500_000


@pytest.mark.parametrize("recording", recordings.listed(), ids=lambda r: r.name)
def test_a_recording_is_a_whole_run_of_an_example(recording):
    """Article, candidates, comparison and date are there, so that every view has something to show."""
    trace = recordings.load(recording.name)
    assert trace.article.text.strip() in {e.text.strip() for e in load_examples()}
    assert trace.mode == "speculative"
    assert trace.ending in ("eos", "length")
    assert trace.baseline.tokens
    assert trace.made
    assert trace.target_hash
    kept = lossless(trace.rule, trace.rollback)
    assert any(t.status == "rejected" for s in trace.steps for t in s.draft) or trace.nodes or not kept
    assert all(t.p_top for s in trace.steps for t in s.draft)
    if trace.temperature == 0:
        assert (trace.tokens == trace.baseline.tokens) == kept


def test_the_methods_are_recorded():
    """A drafter made of two, block verification, a lossy rule, both kinds of trees with branches that lost and a side
    branch that won."""
    traces = [recordings.load(r.name) for r in recordings.listed()]
    assert {"block", "bild", "follow", "siblings"} <= {t.rule for t in traces}
    assert any("+" in t.drafter for t in traces)
    assert any("-then-" in t.drafter for t in traces)
    assert any(t.drafter == "self" and t.lengths.startswith("exit:") for t in traces)
    trees = [t for t in traces if t.nodes]
    assert all(any(s.aside for s in t.steps) for t in trees)
    assert any(side.chance is not None for t in trees for s in t.steps if s.accepted for side in s.aside)


def test_one_recording_was_sampled():
    """So that the draw u and the residual can be inspected in a lesson without a model."""
    draws = [
        t.u
        for r in recordings.listed()
        for s in recordings.load(r.name).steps
        for t in s.draft
        if t.status == "rejected" and t.u is not None
    ]
    assert draws
