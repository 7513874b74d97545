"""The stream of steps: greedy equality with the target's own decoding, limits, end of text, timing fields."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from fastllm import decode
from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, ending_of, make_trace, speculative
from fastllm.drafters.base import Draft
from fastllm.drafters.cnn import CnnDrafter, CnnModel
from fastllm.drafters.copying import CopyConfig
from fastllm.drafters.lookup import LookupDrafter
from fastllm.drafters.lstm import LstmDrafter, LstmModel
from fastllm.drafters.relay import RelayDrafter
from fastllm.drafters.staged import StagedDrafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.rules import RULES
from fastllm.trace import from_json, to_json
from tests.conftest import ARTICLE, TEXTS
from tests.drafters import ScriptedDrafter, TargetAsDrafter
from tests.test_verify import g_test


def drafter_named(name: str, target, article: str):
    return {
        "always": lambda: TargetAsDrafter(target, article),
        "sometimes": lambda: TargetAsDrafter(target, article, noise=2.0),
        "never": lambda: TargetAsDrafter(target, article, shift=1),
        "lookup": lambda: LookupDrafter(target.vocab_size),
        "empty": lambda: ScriptedDrafter(target.vocab_size, ()),
        "lstm": lambda: LstmDrafter(copying(LstmModel, target.vocab_size)),
        "cnn": lambda: CnnDrafter(copying(CnnModel, target.vocab_size, layers=2, kernel=3)),
        "t5": lambda: T5Drafter(target.engine, target.vocab_size),
    }[name]()


def copying(kind, vocab_size: int, **sizes):
    """A random LSTM or CNN that copies what it has begun to copy, so that some drafts are accepted."""
    torch.manual_seed(0)
    model = kind(CopyConfig(vocab_size, d_model=8, d_state=8, **sizes))
    with torch.no_grad():
        model.match_score.copy_(3.0 * torch.arange(len(model.match_score)))
    return model


def run(target, article, drafter, settings):
    session = target.open(article)
    steps = speculative(session, drafter, settings) if drafter else autoregressive(session, settings)
    return make_trace(session, drafter, settings, list(steps))


@pytest.mark.parametrize("blocked", [0, 3])
@pytest.mark.parametrize("gamma", [1, 2, 5, 10])
@pytest.mark.parametrize("name", ["always", "sometimes", "never", "lookup", "empty", "lstm", "cnn", "t5"])
def test_greedy_equals_plain_decoding(tiny, name, gamma, blocked):
    """Token for token the target's own greedy text: every drafter, gamma and article, with and without blocking."""
    settings = Settings(gamma, Sampling(no_repeat_ngram_size=blocked), max_new_tokens=24)
    for text in TEXTS[:3]:
        plain = run(tiny, text, None, settings)
        fast = run(tiny, text, drafter_named(name, tiny, text), settings)
        assert fast.tokens == plain.tokens
        assert fast.ending == plain.ending
        assert fast.text == plain.text


@pytest.mark.parametrize("blocked", [0, 2, 3])
def test_plain_decoding_equals_generate(tiny, blocked):
    """Our cached session gives what transformers' generate gives, n-gram blocking included."""
    for text in TEXTS:
        settings = Settings(sampling=Sampling(no_repeat_ngram_size=blocked), max_new_tokens=30)
        ours = run(tiny, text, None, settings)
        ids = torch.tensor([tiny.open(text).source.prompt_ids])
        theirs = tiny.model.generate(ids, max_new_tokens=30, do_sample=False, num_beams=1, no_repeat_ngram_size=blocked)
        assert list(ours.tokens) == theirs[0, 1:].tolist()


@pytest.mark.parametrize("name", ["always", "sometimes", "never", "lookup", "lstm", "cnn", "t5"])
def test_sampling_emits_the_target_distribution(tiny, name):
    """The first token over many seeds is distributed as the target's p (G-test), whatever the drafter."""
    sampling, session = Sampling(4.0, top_k=6), tiny.open(ARTICLE)
    p = tiny.sampler(Settings(sampling=sampling)).distribution(session.score([]), [])[0]
    drafter, counts = drafter_named(name, tiny, ARTICLE), torch.zeros(len(p))
    for seed in range(400):
        step = next(speculative(session, drafter, Settings(2, sampling, seed=seed, top=0, max_new_tokens=4)))
        counts[step.tokens[0]] += 1
    assert g_test(counts, p) > 0.001


def test_the_same_seed_gives_the_same_run(tiny):
    """Two runs of one seed are equal in everything but time; another seed gives another text."""

    def tokens(seed):
        settings = Settings(3, Sampling(4.0), seed=seed, max_new_tokens=16)
        return run(tiny, ARTICLE, drafter_named("sometimes", tiny, ARTICLE), settings).tokens

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("name", ["always", "never"])
def test_the_length_limit_is_met_exactly(tiny, name, limit):
    """A limit inside a draft ends the text there; nothing past it is drafted or counted."""
    settings = Settings(5, Sampling(no_repeat_ngram_size=3), max_new_tokens=limit)
    trace = run(tiny, ARTICLE, drafter_named(name, tiny, ARTICLE), settings)
    assert len(trace.tokens) == limit
    assert trace.ending == "length"
    assert all(len(s.draft) + s.position < limit for s in trace.steps)


def end_after(target, monkeypatch, text: tuple[int, ...]):
    """Make the target's greedy text exactly `text`, then end-of-text, by steering its logits."""
    script = (*text, target.eos_id)

    def score(self, prefix, draft=()):
        rows = torch.zeros(len(draft) + 1, target.vocab_size)
        for i in range(len(draft) + 1):
            rows[i, script[min(len(prefix) + i, len(script) - 1)]] = 9.0
        return rows

    monkeypatch.setattr("fastllm.targets.base.TargetSession.score", score)
    return script


@pytest.mark.parametrize("gamma", [1, 2, 3, 4, 6])
def test_an_accepted_end_of_text_inside_a_draft_ends_the_run(tiny, monkeypatch, gamma):
    """With a drafter that knows the text, eos arrives inside a draft: no bonus token, nothing after it."""
    script = end_after(tiny, monkeypatch, (5, 6, 7, 8))
    trace = run(tiny, ARTICLE, ScriptedDrafter(tiny.vocab_size, script), Settings(gamma, max_new_tokens=20))
    assert trace.tokens == script
    assert trace.ending == "eos"
    last = trace.steps[-1]
    assert last.emitted is None or last.emitted.id == tiny.eos_id


def test_a_rejected_end_of_text_does_not_end_the_run(tiny, monkeypatch):
    """A drafter that says eos too early is corrected and the text goes on."""
    script = end_after(tiny, monkeypatch, (5, 6, 7, 8))
    early = ScriptedDrafter(tiny.vocab_size, (5, tiny.eos_id))
    trace = run(tiny, ARTICLE, early, Settings(4, max_new_tokens=20))
    assert trace.tokens == script
    assert [t.status for t in trace.steps[0].draft] == ["accepted", "rejected"]
    assert trace.steps[0].emitted.kind == "resampled"


def test_statuses_and_kinds(tiny, monkeypatch):
    """Accepted, rejected, ignored; then resampled, or bonus after a full draft; target where nothing was drafted."""
    end_after(tiny, monkeypatch, (5, 6, 7, 8, 9))
    steps = run(tiny, ARTICLE, ScriptedDrafter(tiny.vocab_size, (5, 99, 7)), Settings(3, max_new_tokens=20)).steps
    assert [t.status for t in steps[0].draft] == ["accepted", "rejected", "ignored"]
    assert steps[0].emitted.kind == "resampled"
    assert [s.emitted.kind for s in steps[1:]] == ["bonus", "target", "target"]
    assert steps[0].draft[2].beta is None
    assert steps[0].draft[0].beta == 1.0


def test_a_generator_may_be_closed_and_the_session_used_again(tiny):
    """Stopping a run leaves the session fit for the next: the cache follows the prefix."""
    session, settings = tiny.open(ARTICLE), Settings(4, Sampling(no_repeat_ngram_size=3), max_new_tokens=20)
    whole = [s.tokens for s in autoregressive(session, settings)]
    stream = speculative(session, drafter_named("sometimes", tiny, ARTICLE), settings)
    steps = [next(stream), next(stream)]
    stream.close()
    assert ending_of(session, settings, steps) == "stopped"
    assert [s.tokens for s in autoregressive(session, settings)] == whole


def test_two_interleaved_runs_do_not_disturb_each_other(tiny):
    """Two visitors, two sessions, one drafter object: each gets what it would have got alone."""
    settings, drafter = Settings(3, Sampling(no_repeat_ngram_size=3), max_new_tokens=16), LookupDrafter(tiny.vocab_size)
    alone = [run(tiny, text, drafter, settings).tokens for text in TEXTS[:2]]
    streams = [speculative(tiny.open(text), drafter, settings) for text in TEXTS[:2]]
    together: list[list[int]] = [[], []]
    live = [0, 1]
    while live:
        for i in list(live):
            step = next(streams[i], None)
            if step is None:
                live.remove(i)
            else:
                together[i] += step.tokens
    assert [tuple(t) for t in together] == alone


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_traces_go_to_json_and_back(tiny, temperature):
    """A real run survives JSON unchanged, inspection data included."""
    settings = Settings(4, Sampling(temperature, no_repeat_ngram_size=3), max_new_tokens=12, top=3)
    trace = run(tiny, ARTICLE, drafter_named("sometimes", tiny, ARTICLE), settings)
    assert from_json(to_json(trace)) == trace
    assert all(len(t.p_top) == len(t.q_top) == 3 for s in trace.steps for t in s.draft)


def test_inspection_shows_p_and_q_before_and_after(tiny):
    """Candidates carry raw probabilities (temperature 1, unmasked) and those the rule used; top = 0 keeps none."""
    session = tiny.open(ARTICLE)
    drafter = TargetAsDrafter(tiny, ARTICLE)
    step = next(speculative(session, drafter, Settings(2, Sampling(0.5), max_new_tokens=6, top=4)))
    best = step.draft[0].p_top
    raw = session.score([])[0, : tiny.legal_size].softmax(-1)
    assert [c.raw for c in best] == pytest.approx(raw.topk(4).values.tolist(), abs=1e-6)
    sharp = (session.score([])[0, : tiny.legal_size] / 0.5).softmax(-1)
    assert [c.prob for c in best] == pytest.approx([float(sharp[c.id]) for c in best], abs=1e-5)
    assert next(speculative(session, drafter, Settings(2, max_new_tokens=6, top=0))).draft[0].p_top == ()


def test_what_only_an_inspector_needs_is_in_no_timing(tiny, monkeypatch):
    """Collecting candidates made slow on purpose: the run takes longer, its steps do not say so."""
    plain = decode.inspect

    def slow(*args):
        time.sleep(0.05)
        return plain(*args)

    monkeypatch.setattr(decode, "inspect", slow)
    step = next(autoregressive(tiny.open(ARTICLE), Settings(2, max_new_tokens=6, top=4)))
    assert step.emitted.p_top
    assert step.seconds_other < 0.05


def test_what_only_watchers_need_is_on_no_clock(tiny, monkeypatch):
    """beta and inspection, each made to take 50 ms, add nothing to a step's times."""

    def slow(function):
        def slower(*args):
            time.sleep(0.05)
            return function(*args)

        return slower

    rule = RULES["token"]
    monkeypatch.setitem(RULES, "token", replace(rule, overlaps=slow(rule.overlaps)))
    monkeypatch.setattr(decode, "inspect", slow(decode.inspect))
    drafter, settings = drafter_named("lstm", tiny, ARTICLE), Settings(3, Sampling(temperature=1.0), max_new_tokens=12)
    steps = run(tiny, ARTICLE, drafter, settings).steps
    assert any(t.beta is not None for s in steps for t in s.draft)
    assert min(s.seconds for s in steps) < 0.05


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("rule", ["token", "block", "follow", "siblings"])
def test_no_decoder_looks_at_a_drafters_own_view(tiny, monkeypatch, rule, temperature):
    """A run that nobody inspects makes no draft's logits, whatever drafts and whatever judges."""

    def looked(draft):
        raise AssertionError("logits were made")

    monkeypatch.setattr(Draft, "logits", property(looked))
    settings = Settings(3, Sampling(temperature=temperature), max_new_tokens=12, top=0, rule=rule)
    lstm, t5 = (drafter_named(name, tiny, ARTICLE) for name in ("lstm", "t5"))
    for drafter in (lstm, t5, RelayDrafter(drafter_named("lookup", tiny, ARTICLE), lstm), StagedDrafter(t5, lstm)):
        steps = run(tiny, ARTICLE, drafter, settings).steps
        assert any(s.draft for s in steps)
    with pytest.raises(AssertionError, match="logits were made"):
        run(tiny, ARTICLE, lstm, replace(settings, top=5))
