"""Every rule and every way to make drafts, on both engines: greedy over real text, and sampled over all places."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fastllm import verify
from fastllm.config import ASSETS, Sampling, Settings
from fastllm.decode import run
from fastllm.drafters import COMPOSITES, load_drafter
from fastllm.drafters.tree import TrieDrafter
from fastllm.rules import RULES
from fastllm.targets.load import load_target
from tests.conftest import ARTICLE
from tests.surprise import z_score
from tests.test_decode import drafter_named
from tests.tiny_models import make_causal

ENGINES = ["onnx", "torch"]
# Drafter and rule: every drafter that comes with mini, every rule, every way to make one drafter of two.
METHODS = [
    *((name, "token") for name in ("lookup", "ngram:3", "lstm", "cnn", "t5", "self")),
    *(("lstm", rule) for rule in RULES if rule != "token"),
    *((c.offered.format("t5"), "follow" if c.way == "-and-" else "token") for c in COMPOSITES.values()),
    ("self+lookup", "block"),
]


@pytest.fixture(scope="module", params=ENGINES)
def mini(request):
    """The packaged target on either engine, and our own articles (on torch one) with its greedy texts."""
    target = load_target("mini", engine=request.param)
    names = ("sport", "accident")[: 1 + (request.param == "onnx")]
    texts = [json.loads((ASSETS / "examples" / f"{n}.json").read_text())["text"] for n in names]
    settings = Settings(sampling=Sampling(no_repeat_ngram_size=3), max_new_tokens=12, top=0)
    return target, [(text, run(target, None, text, settings).tokens) for text in texts]


@pytest.mark.parametrize(("name", "rule"), METHODS)
def test_greedy_equals_plain_decoding_on_real_text(mini, name, rule):
    """Token for token, the packaged models, short and long drafts."""
    target, plain = mini
    drafter = load_drafter(target, name)
    kept = 0
    for (text, wanted), gamma in zip(plain, (4, 9), strict=False):
        settings = Settings(gamma, Sampling(no_repeat_ngram_size=3), max_new_tokens=12, top=0, rule=rule)
        trace = run(target, drafter, text, settings)
        assert trace.tokens == wanted
        kept += sum(s.accepted for s in trace.steps)
    assert kept > 0


@pytest.fixture(scope="module")
def tinies(tiny_folder, tmp_path_factory):
    """T5 and Llama on both engines."""
    llama = str(make_causal(tmp_path_factory.mktemp("methods") / "llama"))
    return {
        (kind, engine): load_target(where, engine=engine)
        for kind, where in (("t5", str(tiny_folder)), ("llama", llama))
        for engine in ENGINES
    }


def sampled(target, drafter, rule: str, seeds: int = 4) -> float:
    """The z-score of texts of 10 tokens at a temperature where every place has several likely ones."""
    sampling, texts = Sampling(1.5, no_repeat_ngram_size=3), []
    for seed in range(seeds):
        settings = Settings(3, sampling, seed, 10, 0, rule=rule, nodes=6)
        texts.append(run(target, drafter, ARTICLE, settings).tokens)
    return z_score(target.open(ARTICLE), settings, texts)


LOSSLESS = [rule.key for rule in RULES.values() if rule.lossless]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_sampled_texts_surprise_the_target_as_much_as_its_own_do(tinies, kind, engine):
    """Every lossless rule, over all places of the texts, with a drafter that is wrong and one that is sometimes right,
    and both at once: |z| below 4."""
    target = tinies[kind, engine]
    names = [("sometimes", rule) for rule in LOSSLESS] + [("never", "token"), ("never", "siblings")]
    for name, rule in names[:: 1 if kind == "t5" else 3]:
        assert abs(sampled(target, drafter_named(name, target, ARTICLE), rule)) < 4, (name, rule)
    both = TrieDrafter(drafter_named("never", target, ARTICLE), drafter_named("sometimes", target, ARTICLE))
    assert abs(sampled(target, both, "follow", 2)) < 4


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rule_that_keeps_too_much_surprises_too_much(tinies, engine, monkeypatch):
    """The same test, of a token rule that keeps every draft token which the target would not call impossible."""
    target = tinies["t5", engine]
    right = verify.verify

    def keeps_all(draft, p, q, u, eos_ids=(), certain=None):
        return right(draft, p, q, [0.0] * len(draft) + [u[-1]], eos_ids, certain)

    monkeypatch.setitem(RULES, "token", replace(RULES["token"], judge=keeps_all))
    assert sampled(target, drafter_named("never", target, ARTICLE), "token", 3) > 6
