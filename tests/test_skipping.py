"""The target as its own drafter, sublayers left out: exact on both engines, and the target does not notice."""

from __future__ import annotations

import json
import random

import pytest
import torch

from fastllm.config import Sampling, Settings, TargetPreset
from fastllm.drafters import available, load_drafter, sha256_of
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.lookup import LookupDrafter
from fastllm.drafters.skipping import SkippingDrafter, SkipSet
from fastllm.drafters.staged import StagedDrafter
from fastllm.sampling import Sampler
from fastllm.source import Source
from fastllm.targets import onnx_engine
from fastllm.targets.load import load_target
from fastllm.targets.sublayers import FAMILIES, family_of
from fastllm.trace import from_json, to_json
from fastllm.verify import verify
from tests.conftest import ARTICLE, TEXTS, make_t5
from tests.test_decode import run
from tests.test_verify import g_test
from tests.tiny_models import make_causal

MODELS = ["t5-onnx", "t5-torch", "llama-onnx", "llama-torch", "qwen3-torch"]


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Tiny targets by family and engine, made when they are first asked for."""
    place, made = tmp_path_factory.mktemp("self"), {}

    def target(name: str):
        family, engine = name.split("-")
        folder = place / family
        if not folder.exists():
            (make_t5 if family == "t5" else make_causal)(folder)
        if name not in made:
            made[name] = load_target(str(folder), engine=engine)
        return made[name]

    return target


def sublayers(target):
    config = target.checkpoint.config
    return family_of(config).all(config)


def random_skip(target, seed: int):
    every, rng = sublayers(target), random.Random(seed)
    return rng.sample(every, rng.randint(1, len(every) - 1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_skipped_is_always_accepted(targets, name, temperature):
    """beta >= 1 - 1e-4 at every tested position, end of text and length limit included (papers.md 4, test 1)."""
    target = targets(name)
    drafter = SkippingDrafter(target, ())
    for gamma in (1, 4, 7):
        for text in TEXTS[:2]:
            trace = run(target, text, drafter, Settings(gamma, Sampling(temperature), 5, 18))
            betas = [t.beta for s in trace.steps for t in s.draft if t.beta is not None]
            assert betas
            assert min(betas) >= 1 - 1e-4
            assert from_json(to_json(trace)) == trace


@pytest.mark.parametrize("name", MODELS)
def test_greedy_equals_plain_decoding_for_random_sets(targets, name):
    """Whatever is left out, alone and staged with lookup (test 2)."""
    target = targets(name)
    for seed in range(4):
        drafter = SkippingDrafter(target, random_skip(target, seed))
        settings = Settings(1 + 3 * seed, Sampling(no_repeat_ngram_size=3), max_new_tokens=16)
        plain = run(target, TEXTS[seed], None, settings)
        for one in (drafter, StagedDrafter(drafter, LookupDrafter(target.vocab_size))):
            assert run(target, TEXTS[seed], one, settings).tokens == plain.tokens


@pytest.mark.parametrize("name", MODELS)
def test_the_target_does_not_notice(targets, name):
    """Its logits are the same to the bit before and after two visitors drafted with two sets by turns (test 4), and
    every parameter of a skipped torch model is the target's own."""
    target = targets(name)
    text = [7, 9, 11, 5, 30, 8]
    before = target.open(ARTICLE).score(text[:3], text[3:])
    drafters = [SkippingDrafter(target, random_skip(target, seed)) for seed in (1, 2)]
    sessions = [target.open(t) for t in TEXTS[:2]]
    drafting = [d.open(s.source, target.sampler(Settings())) for d, s in zip(drafters, sessions, strict=True)]
    alone = [d.open(s.source, target.sampler(Settings())).score(text) for d, s in zip(drafters, sessions, strict=True)]
    for i in range(1, len(text)):
        for session, draft in zip(sessions, drafting, strict=True):
            draft.propose(text[:i], 3)
            session.score(text[:i])
    for draft, wanted in zip(drafting, alone, strict=True):
        torch.testing.assert_close(draft.score(text), wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(target.open(ARTICLE).score(text[:3], text[3:]), before)
    if name.endswith("torch"):
        own = {id(p) for p in target.engine.model.parameters()}
        assert all({id(p) for p in d.engine.model.parameters()} <= own for d in drafters)


@pytest.mark.parametrize("name", ["t5", "llama"])
def test_both_engines_leave_out_the_same(targets, name):
    """The cut graph gives what the torch model without these sublayers gives, in one call and token by token."""
    both = [targets(f"{name}-{engine}") for engine in ("onnx", "torch")]
    text = [7, 9, 11, 5, 30, 8, 12]
    for seed in range(4):
        at_once, by_token = [], []
        for target in both:
            drafter, source = SkippingDrafter(target, random_skip(target, seed)), target.open(ARTICLE).source
            at_once.append(drafter.open(source, target.sampler(Settings())).score([], text))
            session = drafter.open(source, target.sampler(Settings()))
            by_token.append(torch.cat([session.score(text[:i]) for i in range(len(text) + 1)]))
        torch.testing.assert_close(at_once[0], at_once[1], atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(by_token[0], at_once[0], atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(by_token[1], at_once[1], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["t5-onnx", "llama-onnx"])
def test_a_file_of_weights_that_is_too_large_to_be_packed_is_read_as_it_is(targets, name, monkeypatch):
    """The same logits from the file's own pages, one row at a time and several."""
    target, text = targets(name), [7, 9, 11, 5]
    found = []
    for most in (2**30, 0):
        monkeypatch.setattr(onnx_engine, "PACKED_AT_MOST", most)
        drafter = SkippingDrafter(target, random_skip(target, 1))
        session = drafter.open(target.open(ARTICLE).source, target.sampler(Settings()))
        found.append(torch.cat([session.score(text[:1]), session.score(text), session.score(text[:2], text[2:])]))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_without_a_session_the_prompt_is_read_by_the_whole_target(targets):
    """A source that nobody has read gives the same logits as one that the target has; so does the whole target."""
    for name in MODELS[:4]:
        target = targets(name)
        drafter, source = SkippingDrafter(target, random_skip(target, 3)), target.open(ARTICLE).source
        assert source.encoded is not None
        wanted = target.engine.open(source.prompt_ids).score([5, 9, 4])
        whole = target.engine.open(source.prompt_ids, source.encoded()).score([5, 9, 4])
        torch.testing.assert_close(whole, wanted, atol=1e-4, rtol=1e-4)
        bare = Source(source.article_ids, source.prompt_ids)
        a, b = (drafter.open(s, target.sampler(Settings())).score([5, 9, 4]) for s in (source, bare))
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["t5-onnx", "llama-onnx"])
@pytest.mark.parametrize("broken", [False, True])
def test_half_skipped_emits_the_target_distribution(targets, name, broken):
    """First tokens of many steps among four (G-test, test 3); the reference code's mistake, which drafts the argmax and
    divides by the softmax, fails it."""
    target, sampling = targets(name), Sampling(4.0, top_k=4)
    session, sampler = target.open(ARTICLE), Sampler(sampling, target.legal_size, (), 0, 5)
    drafting = SkippingDrafter(target, sublayers(target)[1::2]).open(session.source, sampler)
    counts, row = torch.zeros(target.vocab_size), sampler.distribution(session.score([]), [])
    for _ in range(800):
        draft = drafting.propose([], 1)
        token, q = draft.ids[0], draft.q
        assert q is not None
        if broken:
            token = int(q.argmax())
        verdict = verify([token], row.repeat(2, 1), q, sampler.uniform(2))
        counts[token if verdict.accepted else verdict.token] += 1
    kept = row[0] > 0
    assert 0.05 < float(row.max()) < 0.95
    assert (g_test(counts[kept], row[0][kept]) > 0.001) != broken


def write(folder, sha256: str, skip: dict) -> None:
    (folder / "self").mkdir(exist_ok=True, parents=True)
    (folder / "self" / "skip.json").write_text(json.dumps({"target_sha256": sha256, "skip": skip}))


def test_a_skip_file_is_loaded_by_name_and_checked(targets, tmp_path):
    """Listed where it is there, and under `self+lookup`; each wrong one is refused in a sentence with the target's
    hash (test 5)."""
    tiny = targets("t5-onnx")
    target = tiny.with_preset(TargetPreset("tiny", "tiny", "tiny", drafters=str(tmp_path)))
    with pytest.raises(DrafterError, match="run `python -m train skip`"):
        load_drafter(target, "self")
    assert "self" not in [i.spec for i in available(target)]
    write(tmp_path, tiny.sha256, {"feed": [1], "self": [1]})
    assert "self" in [i.spec for i in available(target)]
    drafter = load_drafter(target, "self")
    assert drafter.skip == {(1, "feed"), (1, "self")}
    assert SkipSet(tiny.sha256, tuple(sorted(drafter.skip))).as_dict()["skip"] == {"feed": [1], "self": [1]}
    assert drafter.sha256 == sha256_of(target.preset, "self") != ""
    assert load_drafter(target, "self+lookup").name == "self+lookup"
    hashed = tiny.sha256[:12]
    for sha, skip, said in (
        ("0" * 64, {"feed": [1]}, f"another target .hash 000000000000, not {hashed}"),
        (tiny.sha256, {"self": [0]}, f"{hashed}.: the self-attention of layer 1 cannot be left out: it alone holds"),
        (tiny.sha256, {"feed": [2]}, f"{hashed}.: the feed-forward of layer 3 is no part of this model, which has 2"),
        (tiny.sha256, {"head": [0]}, f"{hashed}.: the head of layer 1 is no part"),
    ):
        write(tmp_path, sha, skip)
        assert ("self" in [i.spec for i in available(target)]) == (sha == tiny.sha256)
        with pytest.raises(DrafterError, match=said):
            load_drafter(target, "self")
    for text in ("{", "[]", '{"target_sha256": "", "skip": {"feed": ["1"]}}'):
        (tmp_path / "self" / "skip.json").write_text(text)
        with pytest.raises(DrafterError, match="damaged"):
            load_drafter(target, "self")
    with pytest.raises(DrafterError, match="no parameter and no variant"):
        load_drafter(target, "self:3")


def test_what_cannot_be_left_out(targets):
    """All self-attentions of a Llama; every family has its torch modules."""
    llama = targets("llama-torch")
    with pytest.raises(ValueError, match="one self-attention must stay"):
        SkippingDrafter(llama, [(0, "self"), (1, "self")])
    # Layer 1's, however, may go: positions are given, not read from its cache.
    settings = Settings(3, max_new_tokens=10)
    drafter = SkippingDrafter(llama, [(0, "self")])
    assert run(llama, ARTICLE, drafter, settings).tokens == run(llama, ARTICLE, None, settings).tokens
    from fastllm.targets.torch_parts import _WITHOUT

    assert set(_WITHOUT) == set(FAMILIES)
