"""The one way of timing: exact counts times median call times, never above tau, and no number from a busy machine."""

from __future__ import annotations

import numpy as np
import pytest

from fastllm.analysis.timing import BUSY, FEW, MANY_RUNS, Calls, alternating, compare, compare_runs, typical
from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, speculative
from fastllm.trace import DraftToken, Emitted, Step
from tests.drafters import ScriptedDrafter
from tests.test_metrics import plain
from tests.test_trace import example


def step(index: int, seconds: float, drafted: int = 0, accepted: int = 0, draft: float = 0.0) -> Step:
    """A step of one emitted token after `accepted` of `drafted`; `draft` of its seconds went into drafting."""
    tokens = tuple(
        DraftToken(5, "x", "accepted" if i < accepted else "rejected" if i == accepted else "ignored", 1.0, 1.0)
        for i in range(drafted)
    )
    return Step(index, 0, tokens, Emitted(5, "x", "target", 1.0), draft, seconds - draft, 0.0)


def run(times, drafted: int = 0, accepted: int = 0, draft: float = 0.0) -> Calls:
    return Calls.of([step(i, t, drafted, accepted, draft) for i, t in enumerate(times)])


def noisy(n: int, seconds: float, seed: int = 0, spread: float = 0.02) -> list[float]:
    return list(seconds * (1 + spread * np.random.default_rng(seed).standard_normal(n)))


def test_the_figure_is_counts_times_medians():
    """12 ms for three tokens beside 10 ms for one is 2.5 times as fast, tau is 3, and c is what drafting costs."""
    found = compare([run([0.012] * 10, 2, 2, draft=0.002)], [run([0.010] * 30)])
    assert found.speedup == pytest.approx(2.5)
    assert found.interval == pytest.approx((2.5, 2.5))
    assert (found.tau, found.tokens, found.calls) == (3.0, 30, 10)
    assert found.c == pytest.approx(0.001 / 0.010)
    assert (found.seconds, found.plain_seconds) == pytest.approx((0.12, 0.30))


@pytest.mark.parametrize("stalled", [3, 9, 20])
def test_a_stall_of_the_machine_is_not_the_decoders(stalled):
    """One call of a second among calls of 10 ms changes nothing, in either decoder, whichever call it falls on."""
    times = [0.010] * 30
    times[stalled] = 1.0
    fair = compare([run([0.012] * 24, 2, 2)], [run([0.010] * 30)]).speedup
    assert compare([run([0.012] * 24, 2, 2)], [run(times)]).speedup == pytest.approx(fair)
    slow = [0.012] * 24
    slow[stalled] = 1.0
    assert compare([run(slow, 2, 2)], [run([0.010] * 30)]).speedup == pytest.approx(fair)


def test_a_rare_length_of_draft_is_put_between_its_neighbours():
    """One call of two tokens, stalled, among calls of one and of three; an opening call keeps its own time."""
    steps = [step(0, 0.5, 1)] + [step(i, 0.010, 1) for i in range(1, 6)] + [step(i, 0.014, 3) for i in range(6, 12)]
    steps.append(step(12, 2.0, 2))
    assert typical([Calls.of(steps)]) == pytest.approx([0.5] + [0.010] * 5 + [0.014] * 6 + [0.012])


def test_a_run_is_never_shown_faster_than_tau():
    """At tau 2 nothing is 2.03 times as fast: within the noise the figure and its interval end there."""
    found = compare([run(noisy(60, 0.00985, spread=0.1), 1, 1)], [run(noisy(120, 0.010, 1, spread=0.1))])
    assert found.speedup == found.interval[1] == found.tau == 2.0
    assert found.interval[0] < 2.0


def test_a_figure_that_cannot_be_is_none():
    """Plain decoding timed on a machine twice as slow: 4 at tau 2 is no measurement."""
    found = compare([run(noisy(60, 0.010), 1, 1)], [run(noisy(120, 0.020, 1))])
    assert (found.speedup, found.interval, found.trouble) == (None, None, BUSY)
    assert found.tau == 2.0


@pytest.mark.parametrize("seed", range(3))
def test_calls_that_drift_are_not_timed(seed):
    """The machine slows to a half while plain decoding is at work: no number, though the medians would give one."""
    drifting = [*noisy(20, 0.010, seed), *noisy(20, 0.016, seed), *noisy(20, 0.022, seed)]
    assert compare([run(noisy(30, 0.015, seed), 1, 1)], [run(drifting)]).trouble == BUSY


def test_times_that_jump_between_two_speeds_have_no_interval_worth_telling():
    """Half of the calls twice as long, at random: the median may be either."""
    rng = np.random.default_rng(0)
    jumping = lambda n, t: list(t * rng.choice([1.0, 2.6], n))  # noqa: E731
    assert compare([run(jumping(31, 0.012), 1, 1)], [run(jumping(61, 0.010))]).trouble == BUSY


def test_too_few_calls_are_told():
    """Two calls have no median."""
    assert compare([run([0.01] * 2, 1, 1)], [run([0.01] * 4)]).trouble == FEW
    assert compare([run([])], [run([0.01])]) is None


def test_many_runs_are_resampled_as_wholes():
    """Runs that differ in acceptance give a wider interval than the calls within them would."""
    rng = np.random.default_rng(2)
    spec, plain = [], []
    for _ in range(2 * MANY_RUNS):
        kept = int(rng.integers(0, 5))
        spec.append(run([0.012] * 10, 4, kept))
        plain.append(run([0.010] * 10 * (kept + 1)))
    found = compare(spec, plain)
    expected = (sum(c.tokens for c in spec) * 0.010) / (160 * 0.012)
    assert found.speedup == pytest.approx(expected)
    low, high = found.interval
    assert low < 0.9 * expected
    assert 1.1 * expected < high <= found.tau
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(spec, plain[1:])


def test_the_decoders_take_turns_by_the_time_they_took():
    """The one that has worked less goes next; what is left of the other follows. No step is lost or changes place."""
    ours, theirs = [step(i, 0.02, 1, 1) for i in range(3)], [step(i, 0.01) for i in range(9)]
    found = list(alternating(iter(ours), iter(theirs)))
    assert [s for mine, s in found if mine] == ours
    assert [s for mine, s in found if not mine] == theirs
    assert [mine for mine, _ in found][:7] == [True, False, False, True, False, False, True]
    assert not any(mine for mine, _ in found[9:])


def test_either_may_end_first():
    """A slow speculative run goes on alone; so does plain decoding after an empty one."""
    ours, theirs = [step(i, 0.05, 1, 1) for i in range(4)], [step(0, 0.001)]
    assert [mine for mine, _ in alternating(iter(ours), iter(theirs))] == [True, False, True, True, True]
    assert [mine for mine, _ in alternating(iter([]), iter(theirs))] == [False]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_taking_turns_changes_no_text(tiny, article, temperature):
    """Each decoder on a session of its own writes what it writes alone, token for token and draw for draw."""
    settings = Settings(3, Sampling(temperature), 5, 16)
    text = [t for s in autoregressive(tiny.open(article), settings) for t in s.tokens]
    drafter = ScriptedDrafter(tiny.vocab_size, [*text[:4], 7, *text[5:]])
    alone = [s.tokens for s in speculative(tiny.open(article), drafter, settings)]
    race = alternating(speculative(tiny.open(article), drafter, settings), autoregressive(tiny.open(article), settings))
    found = list(race)
    assert [s.tokens for mine, s in found if mine] == alone
    assert [t for mine, s in found if not mine for t in s.tokens] == text


def test_a_recorded_run_is_timed_from_its_steps():
    """The same figures from a trace as from the steps it was made of."""
    found = compare_runs(example(), plain())
    assert found.trouble == FEW
    assert found.tau == pytest.approx(1.5)
    assert found.plain_seconds_token == pytest.approx(0.011)
