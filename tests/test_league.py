"""The league: every drafter at every position of one text of the target."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from fastllm.analysis.league import Along, along
from fastllm.analysis.metrics import summarise
from fastllm.analysis.timing import BUSY, compare_runs
from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive
from fastllm.drafters import DrafterInfo
from fastllm.drafters.lookup import LookupDrafter
from fastllm.ui.league.view import Row, table_html
from tests.conftest import ARTICLE
from tests.drafters import ScriptedDrafter, TargetAsDrafter
from tests.traces import trace_of


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


def league_row(title: str, kept: int, plain_ms: float) -> Row:
    """Ten calls of 9.4 ms that keep `kept` draft tokens each, beside plain calls of `plain_ms`."""
    trace = trace_of(*[([" a"] * kept + ["~ b"], " c")] * 10, temperature=0.0)
    plain = trace_of(*[([], " a")] * 10 * (kept + 1), temperature=0.0)
    slow = [replace(s, seconds_draft=0.0, seconds_target=plain_ms / 1e3, seconds_other=0.0) for s in plain.steps]
    info = DrafterInfo(title.lower(), title.lower(), title, 1000, "distilled")
    along = Along(title, (1.0,), (" a",), 0.001)
    return Row(info, along, summarise(trace), compare_runs(trace, replace(plain, steps=tuple(slow))))


def test_the_table_is_in_the_order_of_tau_and_shows_no_impossible_speedup():
    """A drafter timed on a busy machine keeps its place: its calls are exact, and its speedup is no number."""
    rows = [league_row("Unigram", 0, 9.4), league_row("LSTM", 3, 0.9), league_row("CNN", 2, 40.0)]
    html = table_html(rows, 4)
    assert re.findall(r'<th scope="row">(.*?)</th>', html) == ["LSTM", "CNN", "Unigram"]
    assert html.count(BUSY) == 1
    assert "12.77×" not in html
    assert "1.00× <small>1.00 to 1.00</small>" in html
