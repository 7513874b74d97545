"""Figures of a run, and of many: pure functions of traces. Every acceptance rate says which one it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fastllm.trace import Step, Trace


@dataclass(frozen=True)
class Metrics:
    """Figures of one or several runs taken together. A rate is None where nothing was drafted.

    Attributes:
        tokens: emitted, end-of-text tokens included.
        target_calls: forward passes of the target's decoder.
        drafted, tested, accepted: draft tokens proposed, all branches of a tree; kept or the first refused of their
            draft, one a place, however many siblings stood there; kept. A rule that judges whole drafts draws a u for
            the tokens after the first refused one, too: they fell with it, and are not counted as tested, so that all
            rules are counted alike.
        tau: block efficiency, tokens per target call (Leviathan et al. 2023, section 3.1), 1 .. gamma + 1.
        accepted_tested: accepted / tested.
        accepted_drafted: accepted / drafted; counts the ignored tokens too.
        mean_beta: mean over tested positions of the sum of min(p, q), the estimate of alpha (Definition 3.1).
            Under the token rule accepted_tested estimates it, too; under another rule it does not.
        seconds_draft, seconds_target, seconds_other, seconds: wall clock, encoder not included.
        overhead_share: seconds_other / seconds, the share spent outside drafting and target.
        tokens_per_second: tokens / seconds.
    """

    tokens: int
    target_calls: int
    drafted: int
    tested: int
    accepted: int
    tau: float | None
    accepted_tested: float | None
    accepted_drafted: float | None
    mean_beta: float | None
    seconds_draft: float
    seconds_target: float
    seconds_other: float
    seconds: float
    overhead_share: float | None
    tokens_per_second: float | None


@dataclass(frozen=True)
class PositionRow:
    """Draft position (from 1): tokens proposed there, tested there, accepted there."""

    position: int
    drafted: int
    tested: int
    accepted: int

    @property
    def rate(self) -> float | None:
        """accepted / tested: the chance of acceptance given that all before were accepted."""
        return _ratio(self.accepted, self.tested)


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


class _Tally:
    """Sums over steps, from which every figure is made."""

    def __init__(self) -> None:
        self.tokens = self.calls = self.drafted = self.tested = self.accepted = self.judged = 0
        self.betas = self.draft = self.target = self.other = 0.0

    def add(self, step: Step) -> None:
        self.tokens += len(step.tokens)
        self.calls += 1
        self.drafted += step.drafted
        self.tested += sum(t.status != "ignored" for t in step.draft)
        self.accepted += step.accepted
        betas = [t.beta for t in step.draft if t.beta is not None]
        self.judged += len(betas)
        self.betas += sum(betas)
        self.draft += step.seconds_draft
        self.target += step.seconds_target
        self.other += step.seconds_other

    def metrics(self) -> Metrics:
        seconds = self.draft + self.target + self.other
        return Metrics(
            tokens=self.tokens,
            target_calls=self.calls,
            drafted=self.drafted,
            tested=self.tested,
            accepted=self.accepted,
            tau=_ratio(self.tokens, self.calls),
            accepted_tested=_ratio(self.accepted, self.tested),
            accepted_drafted=_ratio(self.accepted, self.drafted),
            mean_beta=_ratio(self.betas, self.judged),
            seconds_draft=self.draft,
            seconds_target=self.target,
            seconds_other=self.other,
            seconds=seconds,
            overhead_share=_ratio(self.other, seconds),
            tokens_per_second=_ratio(self.tokens, seconds),
        )


def running(steps: Iterable[Step]) -> Iterator[Metrics]:
    """The figures after each step, lazily: as many steps as are taken are counted, each once."""
    tally = _Tally()
    for step in steps:
        tally.add(step)
        yield tally.metrics()


def summarise(*traces: Trace) -> Metrics:
    """The figures of these runs, pooled over all their steps."""
    tally = _Tally()
    for trace in traces:
        for step in trace.steps:
            tally.add(step)
    return tally.metrics()


def acceptance_by_position(traces: Sequence[Trace]) -> list[PositionRow]:
    """One row for each draft position that any run reached."""
    drafts = [s.draft for t in traces for s in t.steps]
    rows = []
    for i in range(max(map(len, drafts), default=0)):
        here = [d[i].status for d in drafts if len(d) > i]
        rows.append(
            PositionRow(i + 1, len(here), sum(s != "ignored" for s in here), sum(s == "accepted" for s in here))
        )
    return rows


def expected_tau(alpha: float, gamma: int) -> float:
    """Expected tokens per target call if each draft token is accepted with chance alpha, independently:
    (1 - alpha^(gamma + 1)) / (1 - alpha) (Leviathan et al. 2023, Equation 1)."""
    return gamma + 1.0 if alpha >= 1 else (1 - alpha ** (gamma + 1)) / (1 - alpha)


def predicted_speedup(alpha: float, gamma: int, c: float) -> float:
    """Expected wall-clock improvement, expected_tau / (gamma c + 1) (Leviathan et al. 2023, Theorem 3.8).

    Args:
        alpha: acceptance rate; the theorem's is the mean of beta.
        gamma: draft length.
        c: seconds of a drafter token / seconds of a target call.

    Raises:
        ValueError: alpha outside [0, 1], gamma below 0, or c below 0.
    """
    if not (0 <= alpha <= 1 and gamma >= 0 and c >= 0):
        raise ValueError(f"needs 0 <= alpha <= 1, gamma >= 0, c >= 0; got {alpha}, {gamma}, {c}")
    return expected_tau(alpha, gamma) / (gamma * c + 1)


def mean_expected_tau(alpha: float, shares: Sequence[float]) -> float:
    """:func:`expected_tau` averaged over drafts of several lengths: 1 + sum over i of alpha^i * shares[i - 1].

    Equation 1 for a draft of k tokens is 1 + alpha + ... + alpha^k, and each term counts in the calls whose draft is
    so long.

    Args:
        alpha: acceptance rate.
        shares: item i - 1 is the share of target calls whose draft holds i tokens or more. All 1 gives Equation 1.
    """
    return 1.0 + sum(alpha**i * share for i, share in enumerate(shares, 1))


def predicted_by_drafts(alpha: float, shares: Sequence[float], c: float, tau: float) -> float:
    """Theorem 3.8 (Leviathan et al. 2023) for a drafter that often proposes fewer than gamma tokens.

    The theorem divides the expected tokens of a call by its cost beside plain decoding's, gamma c + 1. Here gamma is
    the mean number of tokens *drafted* in a call, sum(shares), and the expected tokens are averaged over the drafts'
    lengths. They follow from alpha only if acceptance at one place says nothing of the next; copied drafts are accepted
    or refused as wholes, so the average promises more than the tau that was measured. Then that tau stands for it, as
    in the theorem's proof; the prediction is below tau, as any speedup is.

    Args:
        alpha, c: as in :func:`predicted_speedup`.
        shares: as in :func:`mean_expected_tau`.
        tau: measured tokens a target call.
    """
    return min(mean_expected_tau(alpha, shares), tau) / (1.0 + c * sum(shares))


def draft_shares(positions: Sequence[PositionRow], target_calls: int) -> list[float]:
    """For :func:`predicted_by_drafts`: of so many target calls, the share whose draft reached each position."""
    return [row.drafted / target_calls for row in positions]


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927): unlike the normal one it is honest about 1 of 1.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= successes <= n or not n:
        raise ValueError(f"a share needs 0 <= successes <= n and n > 0; got {successes} of {n}")
    share, square = successes / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * ((share * (1 - share) + square / (4 * n)) / n) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
