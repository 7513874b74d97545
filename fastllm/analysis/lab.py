"""The losslessness lab: speculative against plain sampling, many times over, and a test that tells them apart.

Every sample goes through the rule that decode.py uses, or a broken one (fastllm/analysis/faults.py); some faults
change one thing *around* the rule.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from fastllm.analysis.faults import FAULTS, Fault
from fastllm.config import Settings
from fastllm.drafters.base import Drafter
from fastllm.drafters.tree import without
from fastllm.sampling import draw, one_hot
from fastllm.targets.base import TargetSession
from fastllm.targets.int8 import rounded
from fastllm.trees import prefixes

Text = tuple[int, ...]

# A cell of the test needs this many samples expected of it (Cochran 1954); rarer ones are counted together.
MIN_EXPECTED = 5.0
# A right rule is wrongly called wrong once in so many tests.
LEVEL = 0.001


@dataclass(frozen=True)
class Chain:
    """What both samplers draw from: next-token distributions after a text, computed once for each text.

    Attributes:
        p: text -> shape (vocabulary,), the target's distribution, after temperature and top-p.
        q: text -> shape (vocabulary,), what the drafter samples from; None where it proposes nothing.
        eos_ids: tokens that end a text.
        together: text -> shape (len(text) + 1, vocabulary), the target's distributions after every beginning of it,
            scored in one call; None where that makes no difference, as with a target that is what it should be.
    """

    p: Callable[[Text], torch.Tensor]
    q: Callable[[Text], torch.Tensor | None]
    eos_ids: tuple[int, ...] = ()
    together: Callable[[Text], torch.Tensor] | None = None
    _known: dict = field(default_factory=dict, repr=False, compare=False)

    def _once(self, name: str, text: Text) -> torch.Tensor | None:
        key = (name, text)
        if key not in self._known:
            self._known[key] = getattr(self, name)(text)
        return self._known[key]

    def target(self, text: Text) -> torch.Tensor:
        """p after `text`, shape (V,)."""
        found = self._once("p", text)
        assert found is not None
        return found

    def drafter(self, text: Text) -> torch.Tensor | None:
        """q after `text`, shape (V,); None where the drafter gives none."""
        return self._once("q", text)

    def scored(self, text: Text, draft: Sequence[int], bonus: bool = True) -> torch.Tensor:
        """p after `text` and after each beginning of `draft`, as one call over all of it gives them, (k + 1, V).

        Args:
            bonus: whether the last row is looked at; where it is not, any row stands for it and none is computed.
        """
        if self.together is not None:
            found = self._once("together", (*text, *draft))
            assert found is not None
            return found[len(text) :]
        rows = [self.target((*text, *draft[:i])) for i in range(len(draft) + bonus)]
        return torch.stack(rows if bonus else [*rows, rows[-1]])


def fixed_chain(p: Sequence[float], q: Sequence[float]) -> Chain:
    """The same p and q at every position: a tiny vocabulary, weights normalised to 1.

    Raises:
        ValueError: lengths differ, fewer than two words, a negative or infinite weight, or all weights zero; in a
            sentence fit for the page.
    """
    if len(p) != len(q):
        raise ValueError(f"p has {len(p)} weights and q has {len(q)}: give one for each word in both.")
    if len(p) < 2:
        raise ValueError("Give weights for at least two words.")
    rows = []
    for name, weights in (("p", p), ("q", q)):
        row = torch.tensor(list(weights), dtype=torch.float64)
        if not bool(torch.isfinite(row).all()) or bool((row < 0).any()):
            raise ValueError(f"A weight of {name} is negative or no finite number: give numbers of 0 or more.")
        if not float(row.max()) > 0:
            raise ValueError(f"All weights of {name} are 0: give at least one word a weight above 0.")
        row = row / row.max()  # the sum of great weights would overflow
        rows.append((row / row.sum()).float())
    return Chain(lambda _: rows[0], lambda _: rows[1])


# How large the one activation is that nothing reads, after each word of the tiny vocabulary in turn.
_OUTLIERS = (0.0, 160.0, 40.0)


def int8_chain(chain: Chain) -> Chain:
    """A tiny target that multiplies in int8: logits = [ln p, outlier] W, where W reads ln p only.

    In float32 that is `chain`'s own p. In int8 the row is rounded to multiples of max|x| / 127 over all rows scored
    together, and the outlier, which depends on the row's last word, makes the others' ln p coarse: what large language
    models do with a few features of their own (Dettmers et al. 2022, "LLM.int8()", section 4).
    """

    def together(text: Text) -> torch.Tensor:
        p = torch.stack([chain.target(text[:i]) for i in range(len(text) + 1)])
        outliers = torch.tensor([0.0, *(_OUTLIERS[t % len(_OUTLIERS)] for t in text)])[:, None]
        logits = p.log().masked_fill(p == 0, 0.0)
        whole, scale = rounded(torch.cat([logits, outliers], 1))
        return (whole[:, :-1] * scale).masked_fill(p == 0, -torch.inf).softmax(-1)

    def alone(text: Text) -> torch.Tensor:
        return together(text)[-1]

    return Chain(alone, chain.q, chain.eos_ids, together)


def model_chain(session: TargetSession, drafter: Drafter, settings: Settings, together: bool = False) -> Chain:
    """p and q of real models after an article: what decode.py would sample from at each text.

    Args:
        together: whether what is scored beside a row is to have its effect; then every row is computed anew for each
            text that it stands in, so that nothing depends on what the session was asked before.

    Raises:
        ValueError: temperature 0, where every sample is the same text.
    """
    if settings.sampling.greedy:
        raise ValueError("At temperature 0 every sample is the same text: choose a temperature above 0.")
    sampler = session.target.sampler(settings)
    drafting = drafter.open(session.source, sampler)

    @torch.inference_mode()
    def p(text: Text) -> torch.Tensor:
        return sampler.distribution(session.score(text), text)[0]

    @torch.inference_mode()
    def beside(text: Text) -> torch.Tensor:
        return sampler.distribution(session.score((), text), (), text)

    def last(text: Text) -> torch.Tensor:
        return beside(text)[-1]

    @torch.inference_mode()
    def q(text: Text) -> torch.Tensor | None:
        draft = drafting.propose(text, 1)
        if not draft.ids:
            return None
        # A draft without q was chosen with certainty: one-hot.
        return draft.q[0] if draft.q is not None else one_hot(draft.ids[:1], drafter.vocab_size)[0]

    return Chain(last, q, session.target.eos_ids, beside) if together else Chain(p, q, session.target.eos_ids)


@dataclass(frozen=True)
class Alone:
    """p after the same text, scored alone and with a draft behind it.

    Attributes:
        tried: drafts.
        unequal: of those, with how many p was not bit for bit the same.
        largest: the largest difference of one token's probability.
    """

    tried: int
    unequal: int
    largest: float


def alone(chain: Chain, gamma: int, tries: int, seed: int = 0) -> Alone:
    """Score the first place of a text alone, and again with each of `tries` drafts of `gamma` tokens behind it."""
    uniform, p = Uniforms(seed), chain.target(())
    found = []
    for _ in range(tries):
        draft: list[int] = []
        while len(draft) < gamma and (not draft or draft[-1] not in chain.eos_ids):
            row = chain.drafter(tuple(draft))
            draft.append(draw(chain.target(tuple(draft)) if row is None else row, uniform()))
        found.append(chain.scored((), draft)[0])
    unequal = [row for row in found if not torch.equal(row, p)]
    return Alone(tries, len(unequal), max((float((row - p).abs().max()) for row in unequal), default=0.0))


class Uniforms:
    """Uniform draws in [0, 1) from one seeded generator; ``stuck`` repeats one number until :meth:`restart`."""

    def __init__(self, seed: int, stuck: bool = False) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._stuck = stuck
        self._block: list[float] = []
        self._last = self._fresh()

    def _fresh(self) -> float:
        if not self._block:
            self._block = torch.rand(4096, generator=self._generator, dtype=torch.float64).tolist()
        return self._block.pop()

    def restart(self) -> None:
        """The next step begins: a stuck generator moves on to its next number."""
        self._last = self._fresh()

    def __call__(self) -> float:
        return self._last if self._stuck else self._fresh()


def sample_plain(chain: Chain, length: int, uniform: Uniforms) -> Text:
    """Up to `length` tokens drawn from p one by one."""
    text: Text = ()
    while len(text) < length and (not text or text[-1] not in chain.eos_ids):
        text = (*text, draw(chain.target(text), uniform()))
    return text


def sample_speculative(chain: Chain, gamma: int, length: int, uniform: Uniforms, fault: str = "none") -> Text:
    """The first `length` tokens of speculative sampling with drafts of up to `gamma` tokens.

    A draft is cut where it would pass `length`: every rule is exact for drafts of any length.

    Args:
        fault: the rule, or how it is broken: a key of FAULTS.
    """
    judge, width = FAULTS[fault].judge, FAULTS[fault].width
    text: Text = ()
    while len(text) < length and (not text or text[-1] not in chain.eos_ids):
        uniform.restart()
        if width > 1:
            text = (*text, *_branching(chain, text, gamma, length, uniform, FAULTS[fault]))
            continue
        draft: list[int] = []
        qs: list[torch.Tensor] = []
        while len(draft) < min(gamma, length - len(text)):
            q = chain.drafter((*text, *draft))
            if q is None:
                break
            qs.append(q)
            draft.append(int(q.argmax()) if fault == "argmax" else draw(q, uniform()))
            if draft[-1] in chain.eos_ids:
                break
        k = len(draft)
        # The bonus token of a draft that fills the text lies behind its end.
        p = chain.scored(text, draft, len(text) + k < length and not (draft and draft[-1] in chain.eos_ids))
        verdict = judge(draft, p, torch.stack(qs) if qs else None, _draws(uniform, k + 1), chain.eos_ids)
        token = verdict.token
        if fault == "no-residual" and verdict.kind == "resampled":
            token = draw(p[verdict.accepted], uniform())
        text = (*text, *draft[: verdict.accepted], *(() if token is None else (token,)))
    return text[:length]


def _branching(chain: Chain, text: Text, gamma: int, length: int, uniform: Uniforms, fault: Fault) -> Text:
    """One step with a draft tree: at each depth some siblings, the first of which goes on."""
    ids: list[int] = []
    parents: list[int] = []
    qs: list[torch.Tensor] = []
    parent, line = -1, text
    for _ in range(min(gamma, length - len(text))):
        q = chain.drafter(line)
        if q is None:
            break
        first = len(ids)
        for _ in range(min(fault.width, int((q > 0).sum()))):
            qs.append(q)
            ids.append(draw(q, uniform()))
            parents.append(parent)
            q = without(q, ids[-1])
        parent, line = first, (*line, ids[first])
        if ids[first] in chain.eos_ids:
            break
    lines = [tuple(one) for one in prefixes(text, ids, parents)]
    # What would follow the end of the text is not looked at: any row serves.
    p = torch.stack([chain.target(one if len(one) < length else one[:-1]) for one in lines])
    rows, u = torch.stack(qs) if qs else None, _draws(uniform, len(ids) + 1)
    verdict = fault.judge(ids, p, rows, u, chain.eos_ids, parents)
    kept = [ids[i] for i in verdict.order[: verdict.accepted]] if verdict.order else []
    return (*kept, *(() if verdict.token is None else (verdict.token,)))


def _draws(uniform: Uniforms, n: int) -> list[float]:
    return [uniform() for _ in range(n)]


@dataclass(frozen=True)
class Tally:
    """How often each text came out, of `samples` by each sampler."""

    samples: int
    speculative: Mapping[Text, int]
    plain: Mapping[Text, int]


def tallies(
    chain: Chain, gamma: int, length: int, samples: int, seed: int, fault: str = "none", batch: int = 100
) -> Iterator[Tally]:
    """Sample both ways, `batch` texts at a time, and give the counts so far after each batch.

    Both samplers have generators of their own, so that neither disturbs the other.

    Raises:
        ValueError: gamma, length, samples or batch below 1, or an unknown fault.
    """
    if min(gamma, length, samples, batch) < 1:
        raise ValueError("gamma, length, samples and batch must be at least 1")
    if fault not in FAULTS:
        raise ValueError(f"There is no fault {fault!r}: give one of {', '.join(FAULTS)}.")
    ours, theirs = Uniforms(2 * seed, stuck=fault == "same-seed"), Uniforms(2 * seed + 1)
    speculative: Counter[Text] = Counter()
    plain: Counter[Text] = Counter()
    done = 0
    while done < samples:
        for _ in range(min(batch, samples - done)):
            speculative[sample_speculative(chain, gamma, length, ours, fault)] += 1
            plain[sample_plain(chain, length, theirs)] += 1
            done += 1
        yield Tally(done, dict(speculative), dict(plain))


def repeated(
    chain: Chain, gamma: int, length: int, samples: int, seeds: Sequence[int], fault: str = "none", batch: int = 100
) -> Iterator[tuple[int, Tally]]:
    """:func:`tallies` for each of `seeds`, one after the other: which of them, from 0, and its counts so far."""
    for i, seed in enumerate(seeds):
        for tally in tallies(chain, gamma, length, samples, seed, fault, batch):
            yield i, tally


@dataclass(frozen=True)
class GTest:
    """A G-test. `cells` counts those compared, the pooled one included; with one cell nothing can differ: p_value 1."""

    g: float
    df: int
    p_value: float
    cells: int

    @property
    def differs(self) -> bool:
        """Whether a difference this large comes by chance less often than LEVEL."""
        return self.p_value < LEVEL


def chi2_tail(x: float, df: int) -> float:
    """P(chi-square with `df` degrees of freedom > x): the regularised upper incomplete gamma function Q(df/2, x/2)."""
    if df < 1:
        return 1.0
    return float(torch.special.gammaincc(torch.tensor(df / 2, dtype=torch.float64), torch.tensor(x / 2).double()))


def _g_sum(observed: Iterable[float], expected: Iterable[float]) -> float:
    """G = 2 sum O ln(O / E) (Sokal & Rohlf 1981, section 17.2); a cell with O = 0 adds nothing."""
    o, e = torch.tensor(list(observed)).double(), torch.tensor(list(expected)).double()
    return max(0.0, 2 * float(torch.special.xlogy(o, o / e).sum()))


def compare(tally: Tally) -> GTest:
    """G-test of homogeneity: do both samples come from one distribution? Nothing of p or q is used.

    Both samples have the same size, so a text's expected count is half of its count in both. Texts with fewer than
    MIN_EXPECTED are pooled into one cell, which joins the rarest other cell if it stays too small.
    """
    total = {t: tally.speculative.get(t, 0) + tally.plain.get(t, 0) for t in {*tally.speculative, *tally.plain}}
    cells = _pool({t: n / 2 for t, n in total.items()})
    rows = [(sum(tally.speculative.get(t, 0) for t in c), sum(tally.plain.get(t, 0) for t in c)) for c in cells]
    rows = [r for r in rows if sum(r)]
    df = max(0, len(rows) - 1)
    half = [sum(r) / 2 for r in rows]
    g = _g_sum([r[0] for r in rows], half) + _g_sum([r[1] for r in rows], half)
    return GTest(g, df, chi2_tail(g, df), len(rows))


def fit(counts: Mapping[Text, int], probabilities: Mapping[Text, float]) -> GTest:
    """G-test of goodness of fit: were the samples drawn with these probabilities?

    Texts of expected count under MIN_EXPECTED are pooled with all that `probabilities` leaves out. A sample where the
    probability is zero settles it: p_value 0.
    """
    n = sum(counts.values())
    missing = 1 - sum(probabilities.values())
    missing = missing if missing > 1e-6 else 0.0  # float32 rows sum to 1 only so far
    cells = _pool({t: n * x for t, x in probabilities.items() if x > 0}, rest=n * missing)
    listed = {t for c in cells for t in c}
    expected = [n * sum(probabilities[t] for t in c) for c in cells]
    observed = [sum(counts.get(t, 0) for t in c) for c in cells]
    outside = sum(v for t, v in counts.items() if t not in listed)
    if cells:
        expected[-1] += n * missing
        observed[-1] += outside
    if outside and not missing:
        return GTest(float("inf"), max(1, len(cells)), 0.0, len(cells) + 1)
    df = max(0, len(cells) - 1)
    g = _g_sum(observed, expected)
    return GTest(g, df, chi2_tail(g, df), len(cells))


def _pool(expected: Mapping[Text, float], rest: float = 0.0) -> list[tuple[Text, ...]]:
    """Cells of the test: each text of its own, the rare ones together at the end.

    `rest` is expected of texts that are not listed, and counts for the last cell.
    """
    ordered = sorted(expected, key=lambda t: (-expected[t], t))
    common = [t for t in ordered if expected[t] >= MIN_EXPECTED]
    rare = [t for t in ordered if expected[t] < MIN_EXPECTED]
    cells: list[tuple[Text, ...]] = [(t,) for t in common]
    pooled = rest + sum(expected[t] for t in rare)
    if pooled >= MIN_EXPECTED or not cells:
        return [*cells, tuple(rare)] if pooled > 0 else cells
    return [*cells[:-1], (*cells[-1], *rare)]


def exact(chain: Chain, length: int, at_least: float) -> dict[Text, float]:
    """The target's own probability of each text of up to `length` tokens that has at least `at_least`.

    Only texts above it are looked into, so at most length / at_least distributions are computed.
    """
    found: dict[Text, float] = {}
    open_: dict[Text, float] = {(): 1.0}
    for size in range(1, length + 1):
        deeper: dict[Text, float] = {}
        for text, probability in open_.items():
            row = chain.target(text).double() * probability
            for token in (row >= at_least).nonzero().flatten().tolist():
                longer = (*text, token)
                ends = size == length or token in chain.eos_ids
                (found if ends else deeper)[longer] = float(row[token])
        open_ = deeper
    return found


def largest_excess(tally: Tally) -> tuple[Text, int, int] | None:
    """The text that speculative sampling gave most too often, with its counts (speculative, plain); None if none."""
    texts = itertools.chain(tally.speculative, tally.plain)
    best = max(texts, key=lambda t: tally.speculative.get(t, 0) - tally.plain.get(t, 0), default=None)
    if best is None or tally.speculative.get(best, 0) <= tally.plain.get(best, 0):
        return None
    return best, tally.speculative[best], tally.plain.get(best, 0)
