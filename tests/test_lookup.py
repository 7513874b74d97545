"""The lookup drafter: longest match first, article before summary, never what blocking forbids."""

from __future__ import annotations

from fastllm.config import Sampling
from fastllm.drafters.lookup import LookupDrafter
from fastllm.sampling import Sampler
from fastllm.source import Source

ARTICLE = (10, 11, 12, 13, 20, 12, 13, 14, 30, 31)


def session(blocked: int = 0):
    sampler = Sampler(Sampling(no_repeat_ngram_size=blocked), vocab_size=64, eos_ids=(1,), start_id=0)
    return LookupDrafter(64).open(Source(ARTICLE, (5, *ARTICLE, 1)), sampler)


def test_the_first_draft_is_the_articles_opening():
    """Nothing said yet: news summaries begin like their article."""
    assert session().propose([], 3).ids == (10, 11, 12)


def test_the_longest_match_wins():
    """After 12 13 both 20 and 14 have followed: 20 12 13 picks the second place."""
    assert session().propose([12, 13], 2).ids == (20, 12)
    assert session().propose([20, 12, 13], 2).ids == (14, 30)


def test_it_falls_back_to_shorter_matches():
    """An unknown pair falls back to its last token."""
    assert session().propose([99, 30], 3).ids == (31,)


def test_it_copies_from_the_summary_where_the_article_has_nothing():
    """A name coined in the summary is copied from there, most recent occurrence first."""
    assert session().propose([40, 41, 42, 43, 40], 2).ids == (41, 42)
    assert session().propose([40, 41, 7, 40, 42, 8, 40], 1).ids == (42,)


def test_without_a_match_it_drafts_nothing():
    """An honest empty draft beats a guess."""
    assert session().propose([99], 4).ids == ()
    assert session().propose([31], 4).ids == ()


def test_its_q_is_one_hot():
    """Deterministic: no distribution, no logits, whatever the temperature."""
    draft = session().propose([10], 4)
    assert draft.ids == (11, 12, 13, 20)
    assert draft.q is None
    assert draft.logits is None


def test_it_stops_before_a_blocked_token():
    """A token that would repeat a trigram has p = 0: drafting it would be waste."""
    assert session(3).propose([12, 13, 20, 5, 12, 13], 4).ids == ()
    assert session(0).propose([12, 13, 20, 5, 12, 13], 4).ids == (20, 12, 13, 14)
