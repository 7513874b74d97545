"""Draft length policies: they change how much is drafted, never what is emitted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fastllm.config import Sampling, Settings
from fastllm.drafters.base import DistributionSession, Draft
from fastllm.lengths import LENGTHS, Carried, Cumulative, Exit, Heuristic, lengths_named, threshold_after
from fastllm.sampling import Sampler
from fastllm.verify import verify
from tests.conftest import ARTICLE
from tests.test_decode import drafter_named, run
from tests.test_verify import g_test

SPECS = ["constant", "heuristic", "confidence:0.2", "cumulative:0.1", "entropy:0.3", "exit:0.3", "bild:0.2"]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", ["sometimes", "never", "lookup", "lstm", "t5"])
def test_greedy_equals_plain_decoding(tiny, spec, name):
    """Every policy with every kind of drafter; caps are respected and told."""
    settings = Settings(6, Sampling(no_repeat_ngram_size=3), max_new_tokens=20, lengths=spec)
    fast = run(tiny, ARTICLE, drafter_named(name, tiny, ARTICLE), settings)
    assert fast.tokens == run(tiny, ARTICLE, None, settings).tokens
    assert fast.lengths == spec
    assert all(len(s.draft) <= s.cap for s in fast.steps)


P, Q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])


class Fixed(DistributionSession):
    """The same q at every place."""

    def next_logits(self, prefix):
        return Q.log()


def emitted(spec: str, drops: bool = False) -> torch.Tensor:
    """Counts of the first token of 2,000 steps at T = 1; `drops`: a drawn token with q below .5 is taken back."""
    sampler = Sampler(Sampling(1.0), 3, (), 0, seed=7)
    session, policy, counts = Fixed(sampler), lengths_named(spec, 2), torch.zeros(3)
    for _ in range(2000):
        draft = session.propose([], policy.limit(), policy)
        if drops and float(draft.q[0, draft.ids[0]]) < 0.5:
            draft = Draft(())
        k = len(draft.ids)
        verdict = verify(draft.ids, P.repeat(k + 1, 1), draft.q, sampler.uniform(k + 1))
        policy.learn(k, verdict.accepted)
        counts[draft.ids[0] if verdict.accepted else verdict.token] += 1
    return counts


@pytest.mark.parametrize("spec", [*SPECS, "confidence:0.5", "cumulative:0.3", "exit:0.5", "entropy:0.6", "bild:0.7"])
def test_sampling_emits_the_target_distribution(spec):
    """First tokens of many steps (G-test)."""
    assert g_test(emitted(spec), P) > 0.001


def test_dropping_a_drawn_token_fails_the_same_test():
    """p = (.5, .3, .2) comes out as (.5, .22, .28) where tokens with q < .5 are drawn and dropped."""
    assert g_test(emitted("constant", drops=True), P) < 1e-4


def test_threshold_0_is_constant_bit_for_bit(tiny):
    """Nothing is ever unsure enough: the same draws, the same run."""
    for spec in ("confidence:0", "cumulative:0", "bild:0"):
        settings = [Settings(4, Sampling(1.0), 3, 16, lengths=x) for x in ("constant", spec)]
        a, b = (run(tiny, ARTICLE, drafter_named("t5", tiny, ARTICLE), s) for s in settings)
        assert [t.id for s in a.steps for t in s.draft] == [t.id for s in b.steps for t in s.draft]
        assert a.tokens == b.tokens


def test_a_threshold_above_1_drafts_one_token_or_none(tiny):
    """`after` keeps the token it was unsure of; `before` drafts nothing, which is plain decoding."""
    for spec, most in (("confidence:1.5", 1), ("cumulative:1.5", 0), ("bild:1.5", 0)):
        settings = Settings(5, Sampling(no_repeat_ngram_size=3), max_new_tokens=12, lengths=spec)
        steps = run(tiny, ARTICLE, drafter_named("t5", tiny, ARTICLE), settings).steps
        assert {len(s.draft) for s in steps[:-1]} == {most}
        assert {s.stop for s in steps[:-2]} == {"unsure"}


def test_why_a_draft_ended(tiny):
    """gamma, limit and nothing are told apart."""
    settings = Settings(4, max_new_tokens=7)
    steps = run(tiny, ARTICLE, drafter_named("always", tiny, ARTICLE), settings).steps
    assert [s.stop for s in steps][:2] == ["gamma", "limit"]
    assert {s.stop for s in run(tiny, ARTICLE, drafter_named("empty", tiny, ARTICLE), settings).steps[:-1]} == {
        "nothing"
    }


def test_the_heuristic_as_a_table():
    """Whole: + 2; else - 1, at least 1; an empty draft teaches nothing."""
    policy, caps = Heuristic(5, 0.0), []
    for drafted, accepted in ((5, 5), (7, 6), (6, 0), (0, 0), (5, 5), (7, 7), (9, 9), (11, 11), (13, 13), (15, 15)):
        policy.learn(drafted, accepted)
        caps.append(policy.limit())
    assert caps == [7, 6, 5, 5, 7, 9, 11, 13, 15, 16]
    for _ in range(30):
        policy.learn(4, 0)
    assert policy.limit() == 1


def test_the_cumulative_product_as_a_table():
    """It is that of the drafted tokens and the likeliest next one, and begins anew with every draft."""
    policy = Cumulative(9, 0.1)
    rows = [torch.tensor(x) for x in ([0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4])]
    for _ in range(2):
        assert policy.limit() == 9
        # .7; then, after a token of .7, .35; after one of .4 behind it, .28 x .4 = .112
        seen = []
        for row, token in zip(rows, (0, 0, 2), strict=True):
            seen.append(policy.before(row))
            assert policy.after(row, token)
        assert seen == [True, True, True]
        # .112 x .5 = .056
        assert not policy.before(rows[1])
        policy.learn(3, 1)
    assert [lengths_named(x, 4).least for x in ("cumulative:0.2", "cumulative", "confidence:0.2")] == [0.2, 0.15, 0.0]


def test_the_exit_threshold_is_steered():
    """Refused tokens raise it; accepted ones lower it, unless the draft was full."""
    policy = Exit(4, 0.6)
    policy.learn(4, 0)
    raised = policy.threshold
    assert raised == pytest.approx(0.61)
    for _ in range(10):
        policy.learn(3, 3)
    lowered = policy.threshold
    assert lowered < raised + 0.05
    policy.learn(4, 4)
    assert policy.threshold == lowered


def test_the_exit_threshold_as_a_table():
    """r = (r + accepted / k) / 2 from .9; th' = th + .1 below .9, else th - .1, unchanged after a full draft; th moves
    a tenth of the way (Draft & Verify, with e = .1). Worked by hand."""
    policy, seen = Exit(4, 0.6), []
    for drafted, accepted in ((4, 4), (2, 2), (4, 2), (3, 3), (3, 3), (1, 1), (0, 0)):
        policy.learn(drafted, accepted)
        seen.append(round(policy.threshold, 4))
    # r: .95, .975, .7375, .86875, .934375, .9671875, unchanged
    assert seen == [0.6, 0.59, 0.6, 0.61, 0.6, 0.59, 0.59]


@pytest.mark.parametrize("spec", ["x", "", "constant:1", "confidence:x", "exit:-1", "bild:nan", "entropy:3"])
def test_a_wrong_spec_is_told(spec):
    """One sentence that says what to give."""
    with pytest.raises(ValueError, match=r"give one of|takes (no|a) threshold"):
        lengths_named(spec, 4)


def test_every_policy_has_two_sentences():
    """For people, on the page."""
    for kind in LENGTHS.values():
        assert kind.about.count(".") >= 2 or kind.about.count("Gamma") or kind.about.endswith(".")
        assert kind.make(4, kind.threshold or 0.0).limit() == 4


def test_a_threshold_is_carried_from_run_to_run_and_recorded(tiny):
    """Each run begins with what the last one with the same drafter left; its trace says so, and its settings alone
    repeat it. Greedy it is the target's text each time (papers.md 4)."""
    carried, asked = Carried(), Settings(5, Sampling(1.0), 3, 16, lengths="exit")
    drafter, began, left = drafter_named("sometimes", tiny, ARTICLE), [], []
    for seed in range(3):
        asked = replace(asked, seed=seed)
        settings = carried.begin(asked, "a")
        trace = run(tiny, ARTICLE, drafter, settings)
        began.append(trace.lengths)
        left.append(carried.end(asked, "a", trace))
        again = run(tiny, ARTICLE, drafter, replace(asked, lengths=trace.lengths))
        assert [s.draft for s in again.steps] == [s.draft for s in trace.steps]
        assert left[-1] == threshold_after(trace.lengths, 5, trace.steps)
    assert began == ["exit:0.6000", *(f"exit:{x:.4f}" for x in left[:2])]
    assert len(set(began)) > 1
    assert carried.begin(asked, "b").lengths == "exit:0.6000"
    greedy = carried.begin(Settings(5, max_new_tokens=16, lengths="exit"), "a")
    assert greedy.lengths == f"exit:{left[-1]:.4f}"
    assert run(tiny, ARTICLE, drafter, greedy).tokens == run(tiny, ARTICLE, None, greedy).tokens


def test_what_is_asked_for_is_not_carried(tiny):
    """A threshold of one's own, and policies that learn none, stay as they are and leave nothing."""
    carried = Carried()
    for spec in ("exit:0.3", "constant", "confidence"):
        asked = Settings(4, max_new_tokens=8, lengths=spec)
        assert carried.begin(asked, "a") == asked
        trace = run(tiny, ARTICLE, drafter_named("never", tiny, ARTICLE), asked)
        assert carried.end(asked, "a", trace) is None
    assert carried.begin(Settings(lengths="exit"), "a").lengths == "exit:0.6000"
