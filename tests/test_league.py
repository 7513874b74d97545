"""The league: every drafter at every position of one text of the target."""

from __future__ import annotations

import pytest

from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive
from fastllm.drafters.lookup import LookupDrafter
from fastllm.league import along
from tests.conftest import ARTICLE
from tests.drafters import ScriptedDrafter, TargetAsDrafter


def text_of(target, settings) -> list[int]:
    return [t for step in autoregressive(target.open(ARTICLE), settings) for t in step.tokens]


def test_the_target_itself_is_accepted_everywhere(tiny):
    """Greedy: beta 1 at every token, and the guesses are the text's own tokens."""
    settings = Settings(sampling=Sampling(no_repeat_ngram_size=3), max_new_tokens=16)
    tokens = text_of(tiny, settings)
    found = along(tiny.open(ARTICLE), TargetAsDrafter(tiny, ARTICLE), settings, tokens)
    assert found.betas == (1.0,) * len(tokens)
    assert found.guesses == tuple(tiny.piece(t) for t in tokens)
    assert found.mean_beta == 1.0
    assert found.seconds_token > 0


def test_greedy_betas_say_where_the_guess_was_right(tiny):
    """A script that is right at some positions gets 1 there and 0 elsewhere; where it has nothing, 0 and no guess."""
    settings = Settings(sampling=Sampling(), max_new_tokens=8)
    tokens = text_of(tiny, settings)
    script = [*tokens[:3], tokens[3] ^ 1, *tokens[4:6]]
    found = along(tiny.open(ARTICLE), ScriptedDrafter(tiny.vocab_size, script), settings, tokens)
    assert found.betas == (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    assert found.guesses[6:] == ("", "")


def test_sampling_gives_the_overlap_of_p_and_q(tiny):
    """Sampling, the same model overlaps wholly, a noisy one in part, lookup by p of its guess."""
    settings = Settings(sampling=Sampling(4.0), seed=3, max_new_tokens=8)
    tokens, session = text_of(tiny, settings), tiny.open(ARTICLE)
    same = along(session, TargetAsDrafter(tiny, ARTICLE), settings, tokens)
    noisy = along(session, TargetAsDrafter(tiny, ARTICLE, noise=8.0), settings, tokens)
    copied = along(session, LookupDrafter(tiny.vocab_size), settings, tokens)
    assert same.betas == pytest.approx([1.0] * len(tokens), abs=1e-4)
    assert 0.05 < noisy.mean_beta < 0.95
    p = tiny.sampler(settings).distribution(session.score([]), [])[0]
    assert copied.betas[0] == pytest.approx(float(p[session.source.article_ids[0]]), rel=1e-4)


def test_an_empty_text_is_told(tiny):
    """Nothing to draft along."""
    with pytest.raises(ValueError, match="said nothing"):
        along(tiny.open(ARTICLE), LookupDrafter(tiny.vocab_size), Settings(), [])
