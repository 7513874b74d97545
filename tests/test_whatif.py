"""What-if at one position: the bounds hold the truth, the verdict is the rule's, and what is unknown is called so."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fastllm import decode
from fastllm.analysis.whatif import Interval, WhatIfError, forbidden, places, sentence, what_if
from fastllm.config import Sampling, Settings
from fastllm.drafters.lookup import LookupDrafter
from fastllm.sampling import RepeatBlocker, distribution
from fastllm.trace import Article, Candidate, DraftToken, Emitted, Step, Trace
from fastllm.ui.watch import recordings
from tests.conftest import ARTICLE
from tests.drafters import TargetAsDrafter

V, TOP = 60, 5
PREFIX = (7, 8, 9, 7, 8)  # with 3-grams blocked, 9 may not follow


def candidates(logits: torch.Tensor, probs: torch.Tensor, other: torch.Tensor, top: int = TOP) -> tuple[Candidate, ...]:
    raw = logits.softmax(-1)
    order = raw.argsort(descending=True)[:top].tolist()
    return tuple(Candidate(i, f" {i}", *(float(f"{x[i]:.7g}") for x in (raw, probs, other))) for i in order)


def as_of_version_3(trace: Trace) -> Trace:
    """The same run without what version 4 records."""

    def older(token: DraftToken) -> DraftToken:
        tops = [tuple(dataclasses.replace(c, other=None) for c in top) for top in (token.p_top, token.q_top)]
        return dataclasses.replace(token, p_top=tops[0], q_top=tops[1], p_rank=None, q_rank=None, tempered=None)

    steps = [dataclasses.replace(s, draft=tuple(older(t) for t in s.draft)) for s in trace.steps]
    return dataclasses.replace(trace, steps=tuple(steps))


def blocked(logits: torch.Tensor, n: int) -> torch.Tensor:
    out = logits.clone()
    if n:
        out[RepeatBlocker(n, 0).blocked(PREFIX)] = -torch.inf
    return out


def recorded(seed: int, settings: Sampling, token: int, u: float = 0.5) -> tuple[Trace, torch.Tensor, torch.Tensor]:
    """A trace whose second step tests one token, and the logits of target and drafter there."""
    generator = torch.Generator().manual_seed(seed)
    logits = [2.5 * torch.randn(V, generator=generator) for _ in range(2)]
    p, q = (distribution(blocked(x, settings.no_repeat_ngram_size), settings) for x in logits)
    drawn = settings.temperature > 0
    accepted = u * float(q[token]) < float(p[token])
    draft = DraftToken(
        token, f" {token}", "accepted" if accepted else "rejected", float(p[token]), float(q[token]),
        u if drawn else None, float(torch.minimum(p, q).sum()), candidates(logits[0], p, q),
        candidates(logits[1], q, p),
        p_rank=1 + int((logits[0] > logits[0][token]).sum()), q_rank=1 + int((logits[1] > logits[1][token]).sum()),
    )  # fmt: skip
    first = tuple(DraftToken(t, f" {t}", "accepted", 0.5, 0.5) for t in PREFIX[:-1])
    steps = (
        Step(0, 0, first, Emitted(PREFIX[-1], " 8", "bonus", 0.5), 0.0, 0.0, 0.0),
        Step(1, len(PREFIX), (draft,), Emitted(3, " 3", "bonus" if accepted else "resampled", 0.5), 0.0, 0.0, 0.0),
    )
    trace = Trace(
        "speculative", "mini", "ngram:3", 4, float(settings.temperature), settings.top_k, float(settings.top_p),
        settings.no_repeat_ngram_size, 0, 96, Article("x", 1, 0), steps,
    )  # fmt: skip
    return trace, logits[0], logits[1]


def holds(interval: Interval, value: float) -> bool:
    return interval.low - 1e-5 - 1e-4 * value <= value <= interval.high + 1e-5 + 1e-4 * value


@pytest.mark.parametrize(
    "run", [(0.0, 1.0, 3), (0.7, 1.0, 3), (1.0, 1.0, 0), (1.3, 1.0, 3), (1.0, 0.8, 3), (0.7, 0.6, 0)]
)
@pytest.mark.parametrize("asked", [(0.5, 1.0), (1.0, 1.0), (1.5, 1.0), (1.0, 0.7), (0.4, 0.9), (2.0, 0.5)])
def test_the_interval_holds_the_truth(run, asked):
    """Against the full distributions, for tokens inside and outside the top-k: p', q' and the verdict."""
    settings, wanted = Sampling(run[0], 0, run[1], run[2]), Sampling(asked[0], 0, asked[1], run[2])
    settled = 0
    for seed in range(12):
        _, p_logits, q_logits = recorded(seed, settings, 0)
        likely = [x.argsort(descending=True)[:3].tolist() for x in (q_logits, p_logits)]
        for token in {*likely[0], *likely[1], 9, 31}:
            trace, p_logits, q_logits = recorded(seed, settings, token)
            if trace.steps[1].draft[0].q == 0 and settings.temperature > 0:
                continue  # such a token is never drafted
            p, q = (distribution(blocked(x, run[2]), wanted)[token] for x in (p_logits, q_logits))
            blind, answer = what_if(trace, 1, 0, *asked), what_if(trace, 1, 0, *asked, vocabulary=V)
            older = what_if(as_of_version_3(trace), 1, 0, *asked, vocabulary=V)
            for name in ("p", "q"):
                new, old = getattr(answer, name), getattr(older, name)
                assert holds(old, new.low)
                assert holds(old, new.high)
            assert holds(blind.p, float(p)), (seed, token, blind.p, float(p))
            assert holds(blind.q, float(q)), (seed, token, blind.q, float(q))
            assert holds(answer.p, float(p)), (seed, token, answer.p, float(p))
            assert holds(answer.q, float(q)), (seed, token, answer.q, float(q))
            if float(q) == 0 and settings.temperature > 0:
                assert answer.verdict == "not proposed" or not answer.proposable
            elif answer.verdict in ("accepted", "rejected") and settings.temperature > 0:
                settled += 1
                assert (0.5 * float(q) < float(p)) == (answer.verdict == "accepted")
                assert holds(answer.chance, min(1.0, float(p) / float(q)))
            if answer.verdict == "not proposed":
                assert float(q) == 0
    assert settled > 2 or settings.temperature == 0


def test_inside_the_list_and_untouched_the_answer_is_exact():
    """Temperature 1 and no top-p: the mass outside is known, so p' of a listed token is one number."""
    trace, p_logits, _ = recorded(1, Sampling(0.7, 0, 1.0, 0), 0)
    best = int(p_logits.argmax())
    trace, p_logits, _ = recorded(1, Sampling(0.7, 0, 1.0, 0), best)
    answer = what_if(trace, 1, 0, 1.0, 1.0)
    assert answer.p.exact
    assert answer.p.high == pytest.approx(float(p_logits.softmax(-1)[best]), rel=1e-4)


@pytest.mark.parametrize("u", [0.05, 0.5, 0.95])
def test_the_runs_own_settings_give_the_runs_own_verdict(u):
    """Nothing moved: recorded p, q and status come back as they are."""
    _, _, logits = recorded(2, Sampling(0.9, 0, 0.95, 3), 0)
    for token in logits.argsort(descending=True)[:6].tolist():
        trace, *_ = recorded(2, Sampling(0.9, 0, 0.95, 3), token, u)
        draft = trace.steps[1].draft[0]
        if not draft.q:
            continue
        answer = what_if(trace, 1, 0, 0.9, 0.95)
        assert (answer.verdict, answer.p.low, answer.q.high) == (draft.status, draft.p, draft.q)
        assert sentence(answer, 1.0).startswith("The same")


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("name", ["noisy", "lookup"])
def test_at_the_traces_temperatures_every_figure_is_a_number(tiny, monkeypatch, temperature, name):
    """A run on the tiny model, against the full logits in float64: p', q', min(1, p'/q'), beta' and the residual of the
    listed tokens, at each temperature, to float32; without the sums the same question has intervals around them."""
    drafter = LookupDrafter(tiny.vocab_size) if name == "lookup" else TargetAsDrafter(tiny, ARTICLE, noise=2.0)
    settings = Settings(4, Sampling(temperature, no_repeat_ngram_size=3), seed=3, max_new_tokens=12)
    seen: dict[tuple[int, ...], list[torch.Tensor]] = {}
    inspect = decode.inspect

    def noted(target, sampler, settings, prefix, draft, logits, *rest):
        for i in range(len(draft.ids)):
            both = [logits[i], *([] if draft.logits is None else [draft.logits[i]])]
            seen[(*prefix, *draft.ids[:i])] = [row.clone() for row in both]
        return inspect(target, sampler, settings, prefix, draft, logits, *rest)

    monkeypatch.setattr(decode, "inspect", noted)
    trace, sampler = decode.run(tiny, drafter, ARTICLE, settings), tiny.sampler(settings)
    older = dataclasses.replace(as_of_version_3(trace), temperatures=())
    refused = 0
    for place in places(trace):
        step = trace.steps[place.step]
        text = [*trace.tokens[: step.position], *(t.id for t in step.draft[: place.offset])]
        token = step.draft[place.offset]
        allowed = [sampler.masked(row[None], text)[0].double() for row in seen[tuple(text)]]
        for asked in trace.temperatures:
            p, *q = [(row / asked).softmax(-1) for row in allowed]
            q = q[0] if q else torch.eye(len(p), dtype=p.dtype)[token.id]
            near = {"rel": 4e-6 / min(1.0, asked), "abs": 1e-9}
            answer = what_if(trace, place.step, place.offset, asked, 1.0)
            assert answer.p.low == pytest.approx(float(p[token.id]), **near)
            assert answer.p.high == pytest.approx(float(p[token.id]), **near)
            assert answer.q.high == pytest.approx(float(q[token.id]), **near)
            wanted, twice = min(1.0, float(p[token.id] / q[token.id])), near | {"rel": 2 * near["rel"]}
            assert answer.chance.low == pytest.approx(wanted, **twice)
            assert answer.chance.high == pytest.approx(wanted, **twice)
            assert answer.verdict != "unknown"
            beta = float(torch.minimum(p, q).sum())
            assert answer.beta == pytest.approx(beta, **near)
            rest = (p - q).clamp(min=0)
            listed = {c.id for c in (*token.p_top, *token.q_top) if rest[c.id] > 1e-6}
            assert listed <= {s.id for s in answer.residual} or 1 - beta < 2e-5
            for share in answer.residual:
                refused += 1
                wanted = float(rest[share.id]) / (1 - beta)
                assert share.chance == pytest.approx(wanted, rel=1e-5, abs=4e-6 / (1 - beta))
            if asked != temperature and tiny.start_id not in {c.id for c in token.p_top}:
                blind = what_if(older, place.step, place.offset, asked, 1.0, vocabulary=tiny.vocab_size)
                assert holds(blind.p, answer.p.high)
                assert (blind.beta, blind.residual) == (None, ())
    assert refused > 20


def test_what_the_start_token_forbids_is_no_candidate(tiny):
    """Of 1-grams the decoder's start token is the first: no text says so, and it is no part of the residual."""
    settings = Settings(4, Sampling(1.0, no_repeat_ngram_size=1), seed=3, max_new_tokens=8)
    trace = decode.run(tiny, TargetAsDrafter(tiny, ARTICLE, noise=2.0), ARTICLE, settings)
    listed = 0
    for place in places(trace):
        token = trace.steps[place.step].draft[place.offset]
        listed += any(c.id == tiny.start_id for c in token.p_top)
        answer = what_if(trace, place.step, place.offset, 0.7, 1.0)
        assert answer.residual
        assert tiny.start_id not in {s.id for s in answer.residual}
        assert sum(s.chance for s in answer.residual) <= 1 + 1e-4
    assert listed


def test_lenience_divides_q():
    """Appendix A.5: accept while u < p / (l q); no candidates are needed for it."""
    trace, *_ = recorded(3, Sampling(1.0), 4, u=0.9)
    draft = dataclasses.replace(trace.steps[1].draft[0], p=0.2, q=0.5, status="rejected", p_top=(), q_top=())
    trace = dataclasses.replace(trace, steps=(trace.steps[0], dataclasses.replace(trace.steps[1], draft=(draft,))))
    assert what_if(trace, 1, 0, 1.0, 1.0, 0.5).verdict == "rejected"
    assert what_if(trace, 1, 0, 1.0, 1.0, 0.5).chance.high == pytest.approx(0.8)
    lenient = what_if(trace, 1, 0, 1.0, 1.0, 0.4)
    assert (lenient.verdict, lenient.chance.high) == ("accepted", 1.0)
    assert "later path would differ" in sentence(lenient, 0.4)
    assert "no longer exactly the target's" in sentence(lenient, 0.4)
    with pytest.raises(WhatIfError, match="holds no candidates"):
        what_if(trace, 1, 0, 0.5, 1.0)


def test_lenience_when_greedy_compares_with_the_favourite():
    """Appendix A.5 at temperature 0: the second choice passes once l is at most its share of the first."""
    _, logits, _ = recorded(4, Sampling(0.0), 0)
    raw = logits.softmax(-1)
    first, second = raw.argsort(descending=True)[:2].tolist()
    trace, *_ = recorded(4, Sampling(0.0), second)
    share = float(raw[second] / raw[first])
    assert what_if(trace, 1, 0, 0.0, 1.0).verdict == "rejected"
    assert what_if(trace, 1, 0, 0.0, 1.0, share * 1.01).verdict == "rejected"
    assert what_if(trace, 1, 0, 0.0, 1.0, share * 0.99).verdict == "accepted"


def test_a_sampled_run_asked_about_greedy():
    """Temperature 0 in a sampled run: only the target's favourite would pass; a forbidden favourite is none."""
    for seed in range(8):
        settings = Sampling(1.0, 0, 1.0, 3)
        _, logits, _ = recorded(seed, settings, 0)
        best = int(blocked(logits, 3).argmax())
        for token in (best, (best + 1) % V):
            trace, *_ = recorded(seed, settings, token)
            assert what_if(trace, 1, 0, 0.0, 1.0).verdict == ("accepted" if token == best else "rejected")


def test_a_greedy_run_asked_about_sampling_gives_a_chance():
    """No u was drawn: the chance, not a verdict, and the words that say so."""
    trace, logits, _ = recorded(5, Sampling(0.0), 0)
    second = int(logits.argsort(descending=True)[1])
    trace, *_ = recorded(5, Sampling(0.0), second)
    answer = what_if(trace, 1, 0, 1.0, 1.0)
    assert answer.verdict in ("no draw", "accepted")
    assert answer.u is None
    assert "drew no number" in sentence(dataclasses.replace(answer, verdict="no draw"), 1.0)


def test_what_the_top_k_leaves_open_is_called_unknown():
    """One recorded candidate and a token outside it: the verdict stays open, and the mass outside is named."""
    trace, *_ = recorded(6, Sampling(1.0, 0, 0.3, 0), 0)
    draft = trace.steps[1].draft[0]
    draft = dataclasses.replace(draft, id=59, p=0.0, q=0.2, u=0.5, p_top=draft.p_top[:1], q_top=())
    trace = dataclasses.replace(trace, steps=(trace.steps[0], dataclasses.replace(trace.steps[1], draft=(draft,))))
    answer = what_if(trace, 1, 0, 1.0, 1.0)
    assert answer.verdict == "unknown"
    assert f"{answer.outside:.0%} of the target" in sentence(answer, 1.0)


def test_a_token_that_the_target_cuts_off_is_rejected_whether_or_not_the_drafter_can_propose_it():
    """p' is 0 for certain and q' 0 or more: if it is proposed, it is refused, and the words say `if`."""
    trace, *_ = recorded(6, Sampling(1.0), 0)
    draft = trace.steps[1].draft[0]
    sure = tuple(dataclasses.replace(c, id=50 + i, raw=x, prob=x) for i, (c, x) in
                 enumerate(zip(draft.p_top, (0.9, 0.05, 0.02, 0.01, 0.005), strict=True)))  # fmt: skip
    flat = tuple(dataclasses.replace(c, id=40 + i, raw=0.02, prob=0.02) for i, c in enumerate(draft.q_top))
    draft = dataclasses.replace(draft, id=3, p=1e-4, q=0.01, u=0.5, status="rejected", p_top=sure, q_top=flat)
    trace = dataclasses.replace(trace, steps=(trace.steps[0], dataclasses.replace(trace.steps[1], draft=(draft,))))
    answer = what_if(as_of_version_3(trace), 1, 0, 1.0, 0.9, vocabulary=V)
    assert (answer.p.high, answer.q.low, answer.verdict, answer.proposable) == (0.0, 0.0, "rejected", False)
    assert answer.q.high > 0
    assert "leaves open whether the drafter could have proposed" in sentence(answer, 1.0)


def test_the_rank_settles_what_top_p_keeps():
    """0.2 in five tokens, the draft token 0.01 and sixth: what stands before it is known, so top-p 0.9 keeps it, and
    after it comes enough that 0.15 does not. Without the rank both are open."""
    trace, *_ = recorded(6, Sampling(1.0), 0)
    flat = tuple(Candidate(40 + i, f" {i}", 0.04, 0.04) for i in range(5))
    draft = dataclasses.replace(trace.steps[1].draft[0], id=3, p=0.01, q=0.01, p_top=flat, q_top=flat, q_rank=6)
    trace = dataclasses.replace(trace, steps=(trace.steps[0], dataclasses.replace(trace.steps[1], draft=(draft,))))
    sure = what_if(trace, 1, 0, 1.0, 0.9, vocabulary=V)
    assert (sure.proposable, sure.q.low > 0) == (True, True)
    older = what_if(as_of_version_3(trace), 1, 0, 1.0, 0.9, vocabulary=V)
    assert (older.proposable, older.q.low) == (False, 0.0)
    assert what_if(trace, 1, 0, 1.0, 0.15, vocabulary=V).verdict == "not proposed"


def test_the_other_models_list_narrows_what_lies_outside():
    """What p gives the drafter's candidates is known too: a hotter question has a narrower answer, never a wider."""
    shares = []
    for seed in range(30):
        trace, *_ = recorded(seed, Sampling(0.7), 0)
        best = trace.steps[1].draft[0].p_top[0].id
        trace, *_ = recorded(seed, Sampling(0.7), best)
        new, old = (what_if(t, 1, 0, 1.5, 1.0, vocabulary=V).p for t in (trace, as_of_version_3(trace)))
        shares.append((new.high - new.low) / (old.high - old.low))
    assert max(shares) <= 1 + 1e-9
    assert sum(shares) / len(shares) < 0.95


@pytest.mark.parametrize("asked", [(1.0, 0.9), (1.3, 0.8), (1.0, 1.0)])
def test_what_top_p_kept_is_kept_by_a_larger_one_and_at_a_higher_temperature(asked):
    """The run drew this token, so under milder settings the drafter can propose it for certain."""
    settings = Sampling(0.8, 0, 0.8)
    for seed in range(8):
        _, _, q_logits = recorded(seed, settings, 0)
        q = distribution(q_logits, settings)
        for token in q.nonzero().flatten().tolist():
            trace, *_ = recorded(seed, settings, token)
            answer = what_if(trace, 1, 0, *asked, vocabulary=V)
            assert answer.q.low > 0, (seed, token)
            assert answer.proposable


def test_lookup_stays_certain():
    """A drafter without a distribution keeps q = 1 at every temperature."""
    trace, *_ = recorded(7, Sampling(1.0), 3)
    draft = dataclasses.replace(trace.steps[1].draft[0], q=1.0, q_top=())
    trace = dataclasses.replace(trace, steps=(trace.steps[0], dataclasses.replace(trace.steps[1], draft=(draft,))))
    assert what_if(trace, 1, 0, 0.3, 0.5).q == Interval(1.0, 1.0)


def test_the_forbidden_tokens_are_the_samplers():
    """The same n-gram blocking as in the run, without its index."""
    generator = torch.Generator().manual_seed(0)
    for n in (0, 1, 2, 3):
        for length in range(1, 30):
            text = torch.randint(1, 6, (length,), generator=generator).tolist()
            ours = forbidden(text, n)
            assert ours | {0} == set(RepeatBlocker(n, 0).blocked(text)) | {0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((9, 0, 1.0, 1.0), "no place 1 in the draft of step 10"),
        ((1, 3, 1.0, 1.0), "no place 4 in the draft of step 2"),
        ((1, 0, -1.0, 1.0), "Temperature must be between"),
        ((1, 0, 1.0, 0.0), "Top-p must be"),
        ((1, 0, 1.0, 1.0, 0.0), "Lenience must be"),
    ],
)
def test_a_question_without_an_answer_is_refused(arguments, words):
    """One sentence each."""
    trace, *_ = recorded(8, Sampling(1.0), 3)
    with pytest.raises(WhatIfError, match=words):
        what_if(trace, *arguments)


def test_places_lists_what_was_tested():
    """Accepted and rejected draft tokens with their place in the summary; an ignored one cannot be asked about."""
    trace, *_ = recorded(9, Sampling(1.0), 3)
    draft = (*trace.steps[1].draft[:1], DraftToken(4, " x", "ignored", 0.1, 0.2))
    draft = (dataclasses.replace(draft[0], status="rejected"), draft[1])
    trace = dataclasses.replace(trace, steps=(trace.steps[0], dataclasses.replace(trace.steps[1], draft=draft)))
    assert [(p.step, p.offset, p.position) for p in places(trace)] == [(0, i, i) for i in range(4)] + [(1, 0, 5)]
    with pytest.raises(WhatIfError, match="never tested"):
        what_if(trace, 1, 1, 1.0, 1.0)


@pytest.mark.parametrize("temperature", [1e-320, 1e-300, 1e-5])
def test_a_temperature_near_zero_is_nearly_greedy(temperature):
    """r^(1 / T) is 0 for every token, and their sum was divided by: in units of the likeliest it is 1 for that one."""
    trace = recordings.load("science-sampled")
    for place in places(trace):
        cold, greedy = (what_if(trace, place.step, place.offset, t, 1.0) for t in (temperature, 0.0))
        if greedy.verdict in ("accepted", "rejected") and cold.verdict in ("accepted", "rejected"):
            assert cold.p.high <= 1.0
            assert cold.verdict == greedy.verdict
    assert what_if(dataclasses.replace(trace, temperature=temperature), 0, 0, 1.0, 1.0)
