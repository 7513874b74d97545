"""Searching over sets of on/off switches by few evaluations: Bayesian (a Gaussian process with expected improvement),
and at random beside it, with the same beginnings and the same number of evaluations.

Draft & Verify (Zhang et al. 2023, section 3.2) searches over [0, 1]^(2L) and switches off above one half; here the
process lives on the sets themselves, with a squared exponential of the Hamming distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# A set of switches: sorted numbers of those that are on.
Bits = tuple[int, ...]
Valid = Callable[[Bits], bool]
# Variance of the objective's noise beside its own; candidates of one proposal; lengths of the kernel beside n.
_NOISE, _CANDIDATES = 1e-3, 400
_LENGTHS = (0.05, 0.15, 0.4, 1.0, 3.0)


@dataclass(frozen=True)
class Found:
    """Every set that was evaluated, with its value, in order."""

    tried: tuple[tuple[Bits, float], ...]

    @property
    def best(self) -> tuple[Bits, float]:
        """The first of the best."""
        return max(self.tried, key=lambda one: one[1])

    @property
    def so_far(self) -> list[float]:
        """The best value after each evaluation."""
        return np.maximum.accumulate([value for _, value in self.tried]).tolist()


def at_random(
    value: Callable[[Bits], float], n: int, starts: Sequence[Bits], more: int, rng: np.random.Generator, valid: Valid
) -> Found:
    """`starts`, then `more` sets whose sizes are uniform in 0 .. n."""
    return _search(value, starts, more, lambda tried: _random(n, rng), valid)


def bayesian(
    value: Callable[[Bits], float], n: int, starts: Sequence[Bits], more: int, rng: np.random.Generator, valid: Valid
) -> Found:
    """`starts`, then `more` sets, each the candidate of the greatest expected improvement: random ones, and those one
    or two switches away from the best."""

    def propose(tried: dict[Bits, float]) -> Bits:
        around = sorted(tried, key=lambda b: -tried[b])[:3]
        near = [_flipped(b, {i}) for b in around for i in range(n)]
        near += [
            _flipped(around[0], set(rng.choice(n, min(2, n), replace=False).tolist())) for _ in range(_CANDIDATES // 2)
        ]
        fresh = [_random(n, rng) for _ in range(_CANDIDATES // 2)]
        candidates = [b for b in dict.fromkeys([*near, *fresh]) if b not in tried and valid(b)]
        if not candidates:
            return _random(n, rng)
        gain = expected_improvement(_rows(list(tried), n), np.array(list(tried.values())), _rows(candidates, n))
        return candidates[int(gain.argmax())]

    return _search(value, starts, more, propose, valid)


def _search(
    value: Callable[[Bits], float],
    starts: Sequence[Bits],
    more: int,
    propose: Callable[[dict[Bits, float]], Bits],
    valid: Valid,
) -> Found:
    tried: dict[Bits, float] = {}
    for bits in dict.fromkeys(starts):
        if valid(bits):
            tried[bits] = value(bits)
    # Few switches have fewer sets than were asked for: then the proposals repeat themselves.
    wanted, patience = len(tried) + more, 20 * (more + 1)
    while len(tried) < wanted and patience:
        patience -= 1
        bits = propose(tried)
        if bits not in tried and valid(bits):
            tried[bits] = value(bits)
    return Found(tuple(tried.items()))


def expected_improvement(x: np.ndarray, y: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """E[max(0, f - max y)] at each candidate under a Gaussian process given (x, y).

    The kernel is exp(-h / (2 l^2)) over the Hamming distance h (the squared distance of 0/1 vectors); of five lengths l
    the one of the greatest marginal likelihood is taken.

    Args:
        x: shape (tried, n), zeros and ones; y: shape (tried,); candidates: shape (m, n).
    """
    spread = float(y.std()) or 1.0
    z = (y - y.mean()) / spread
    apart, across = _hamming(x, x), _hamming(candidates, x)
    n = x.shape[1]
    fits = [_fit(np.exp(-apart / (2 * s * n)) + _NOISE * np.eye(len(x)), z) for s in _LENGTHS]
    (_, lower, weights), length = max(zip(fits, _LENGTHS, strict=True), key=lambda one: one[0][0])
    cross = np.exp(-across / (2 * length * n))
    mean = cross @ weights
    solved = np.linalg.solve(lower, cross.T)
    deviation = np.sqrt(np.maximum(1e-12, 1 - (solved**2).sum(0)))
    gain = mean - z.max()
    at_gain = gain / deviation
    return spread * (gain * _normal_cdf(at_gain) + deviation * np.exp(-(at_gain**2) / 2) / np.sqrt(2 * np.pi))


def _fit(covariance: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log marginal likelihood less its constant, Cholesky factor, and K^-1 z."""
    lower = np.linalg.cholesky(covariance)
    weights = np.linalg.solve(lower.T, np.linalg.solve(lower, z))
    return -0.5 * float(z @ weights) - float(np.log(np.diag(lower)).sum()), lower, weights


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """Abramowitz & Stegun 26.2.17, right to 1e-7."""
    t = 1 / (1 + 0.2316419 * np.abs(x))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * series
    return np.where(x >= 0, 1 - tail, tail)


def _hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, None, :] != b[None, :, :]).sum(-1).astype(float)


def _rows(sets: Sequence[Bits], n: int) -> np.ndarray:
    rows = np.zeros((len(sets), n))
    for row, bits in zip(rows, sets, strict=True):
        row[list(bits)] = 1
    return rows


def _random(n: int, rng: np.random.Generator) -> Bits:
    return tuple(sorted(rng.choice(n, int(rng.integers(0, n + 1)), replace=False).tolist()))


def _flipped(bits: Bits, at: set[int]) -> Bits:
    return tuple(sorted(set(bits) ^ at))
