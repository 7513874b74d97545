"""Drafters made of two: staged and relay. Exact, and the usual mistake is caught."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from fastllm.config import Sampling, Settings
from fastllm.drafters import load_drafter, sha256_of, split_pair
from fastllm.drafters.base import Draft, DrafterSession, ScoringSession
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.relay import RelayDrafter, RelaySession
from fastllm.drafters.staged import StagedDrafter, StagedSession
from fastllm.sampling import Sampler
from fastllm.trace import from_json, to_json
from fastllm.verify import verify
from tests.conftest import ARTICLE, TEXTS
from tests.test_decode import drafter_named, run
from tests.test_verify import g_test

INNERS = ["lookup", "empty", "always", "never", "lstm"]


def staged(tiny, inner: str, text: str = ARTICLE) -> StagedDrafter:
    return StagedDrafter(drafter_named("t5", tiny, text), drafter_named(inner, tiny, text))


@pytest.mark.parametrize("inner", INNERS)
@pytest.mark.parametrize("gamma", [1, 2, 5, 16])
def test_staged_drafts_what_its_outer_drafts(tiny, inner, gamma):
    """Greedy: the same draft ids as the outer alone, and the target's own text."""
    settings = Settings(gamma, Sampling(no_repeat_ngram_size=3), max_new_tokens=20)
    alone = run(tiny, ARTICLE, drafter_named("t5", tiny, ARTICLE), settings)
    trace = run(tiny, ARTICLE, staged(tiny, inner), settings)
    assert trace.tokens == run(tiny, ARTICLE, None, settings).tokens
    assert [[t.id for t in s.draft] for s in trace.steps] == [[t.id for t in s.draft] for s in alone.steps]
    assert from_json(to_json(trace)) == trace


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_inner_that_proposes_nothing_changes_nothing(tiny, temperature):
    """Ids, q and logits of the outer alone, with the same seed."""
    settings = Settings(4, Sampling(temperature), 3, 20)
    source = tiny.open(ARTICLE).source
    drafts = [
        d.open(source, tiny.sampler(settings)).propose([5, 9], 4)
        for d in (staged(tiny, "empty"), drafter_named("t5", tiny, ARTICLE))
    ]
    assert drafts[0].ids == drafts[1].ids
    assert torch.allclose(drafts[0].logits, drafts[1].logits, atol=1e-4)
    assert (drafts[0].q is None) == (temperature == 0)


def test_an_inner_that_is_always_right_saves_calls(tiny):
    """ceil(k / (inner gamma + 1)) outer calls; never more than one a token; gamma 1 is one call."""

    outer = drafter_named("t5", tiny, ARTICLE)
    source, sampler = tiny.open(ARTICLE).source, tiny.sampler(Settings())
    for gamma in (1, 3, 5, 6, 16):
        draft = StagedDrafter(outer, drafter_named("t5", tiny, ARTICLE)).open(source, sampler)
        draft._inner = _Counted(draft._inner)
        made = draft.propose([], gamma)
        assert made.calls - draft._inner.calls == math.ceil(len(made.ids) / 5)


class _Counted(DrafterSession):
    def __init__(self, session) -> None:
        self._session, self.calls = session, 0

    def propose(self, prefix, gamma, lengths=None):
        draft = self._session.propose(prefix, gamma)
        self.calls += draft.calls
        return draft


P, Q, R = (torch.tensor(x) for x in ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.7, 0.2]))


class Fixed(ScoringSession):
    """One distribution at every place."""

    def __init__(self, sampler, row) -> None:
        super().__init__(sampler)
        self._row = row

    def score(self, prefix, draft=()):
        return self._row.log().repeat(len(draft) + 1, 1)


def counts(report_inner: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Of 900 staged drafts of 3: the second draft token, and the first token that the target emits."""
    sampler = Sampler(Sampling(1.0), 3, (), 0, seed=11)
    session = StagedSession(Fixed(sampler, Q), Fixed(sampler, R), ("outer", "inner"), sampler)
    drafted, emitted = torch.zeros(3), torch.zeros(3)
    for _ in range(900):
        draft = session.propose([], 3)
        q = draft.q
        assert q is not None
        if report_inner:
            q = torch.stack([R if by == "inner" else row for by, row in zip(draft.by, q, strict=True)])
        verdict = verify(draft.ids, P.repeat(4, 1), q, sampler.uniform(4))
        drafted[draft.ids[1]] += 1
        emitted[draft.ids[0] if verdict.accepted else verdict.token] += 1
    return drafted, emitted


def test_staged_tokens_are_distributed_as_the_outer_and_the_text_as_the_target():
    """G-tests of both claims."""
    drafted, emitted = counts()
    assert g_test(drafted, Q) > 0.001
    assert g_test(emitted, P) > 0.001


def test_reporting_the_inner_q_fails_the_same_test():
    """The draft was distributed as the outer's q, whoever guessed it."""
    assert g_test(counts(report_inner=True)[1], P) < 1e-4


@pytest.mark.parametrize(
    ("first", "then"), list(itertools.product(["lookup", "lstm", "empty", "sometimes"], ["lookup", "t5"]))
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_relay_is_lossless_and_says_who_drafted(tiny, first, then, temperature):
    """Greedy: the target's text. Sampling: q row by row of whoever drew, so rows sum to 1 and the trace is whole."""
    settings = Settings(5, Sampling(temperature, no_repeat_ngram_size=3), 1, 16)
    for text in TEXTS[:2]:
        drafter = RelayDrafter(drafter_named(first, tiny, text), drafter_named(then, tiny, text))
        trace = run(tiny, text, drafter, settings)
        assert from_json(to_json(trace)) == trace
        if not temperature:
            assert trace.tokens == run(tiny, text, None, settings).tokens
        assert {t.by for s in trace.steps for t in s.draft} <= {drafter.first.name, drafter.second.name}


class Gives(DrafterSession):
    """One token with certainty."""

    def propose(self, prefix, gamma, lengths=None):
        return Draft((1,) if gamma else ())


@pytest.mark.parametrize("broken", [False, True])
def test_a_relay_emits_the_target_distribution(broken):
    """Both places (G-test); with the second drafter's q in the row of a token that was proposed with certainty, the
    first fails it."""
    sampler = Sampler(Sampling(1.0), 3, (), 0, seed=3)
    session = RelaySession(Gives(), Fixed(sampler, Q), ("a", "b"), True, sampler)
    first, second = torch.zeros(3), torch.zeros(3)
    for _ in range(1500):
        draft = session.propose([], 2)
        q = draft.q
        assert q is not None
        assert draft.by == ("a", "b")
        if broken:
            q = Q.repeat(2, 1)
        verdict = verify(draft.ids, P.repeat(3, 1), q, sampler.uniform(3))
        first[draft.ids[0] if verdict.accepted else verdict.token] += 1
        if verdict.accepted:
            second[draft.ids[1] if verdict.accepted == 2 else verdict.token] += 1
    assert g_test(second, P) > 0.001
    assert (g_test(first, P) > 0.001) != broken


def test_names_of_drafters_made_of_two(tiny, tiny_folder):
    """Loaded by name, named as asked; a place may hold a +; what cannot be an outer is refused in a sentence."""
    assert split_pair("t5@baseline+lookup") == ("t5@baseline", "+", "lookup")
    assert split_pair("lookup-then-ngram:2") == ("lookup", "-then-", "ngram:2")
    assert split_pair("t5:some/a+b") is None
    assert split_pair("lookup+lookup+lookup") is None
    for spec in (f"t5:{tiny_folder}+lookup", f"lookup-then-t5:{tiny_folder}"):
        drafter = load_drafter(tiny, spec)
        assert drafter.name == spec
        assert drafter.sha256 == sha256_of(tiny.preset, spec) != ""
    with pytest.raises(DrafterError, match="drafts token by token, so nothing can draft for it"):
        load_drafter(tiny, "lookup+lookup")
    with pytest.raises(DrafterError, match="There is no drafter"):
        load_drafter(tiny, "lookup+magic")


def test_a_place_with_a_plus_of_its_own_is_still_a_place(tmp_path):
    """Split at the + that leaves a drafter's name on either side; a folder that is there as a whole is no pair."""
    folder = tmp_path / "a b@c+d" / "t5"
    folder.mkdir(parents=True)
    assert split_pair(f"t5:{folder}+lookup") == (f"t5:{folder}", "+", "lookup")
    assert split_pair(f"t5:{folder}") is None
    whole = tmp_path / "small+lookup"
    assert split_pair(f"t5:{whole}") == (f"t5:{tmp_path / 'small'}", "+", "lookup")
    whole.mkdir()
    assert split_pair(f"t5:{whole}") is None
    assert split_pair("lookup+lookup+lookup") is None
