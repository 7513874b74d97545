"""What people paste gets a sensible answer."""

from __future__ import annotations

import pytest

from fastllm.ui.article import MAX_CHARACTERS, ArticleError, check, clean, looks_english

ENGLISH = (
    "The ferry ran aground on a sandbank in thick fog on Friday, and all of the people who were on board were brought "
    "to land by fishing boats within an hour, the coast guard said. It was the second accident of the year."
)
GERMAN = (
    "Die Fähre lief am Freitag in dichtem Nebel auf eine Sandbank, und alle Menschen an Bord wurden von Fischerbooten "
    "binnen einer Stunde an Land gebracht, teilte die Küstenwache mit. Es war der zweite Unfall in diesem Jahr dort."
)
SPANISH = (
    "El barco encalló el viernes en un banco de arena entre la niebla, y todas las personas que iban a bordo fueron "
    "llevadas a tierra por barcos de pesca en menos de una hora, según la guardia costera. Nadie resultó herido ayer."
)
CHINESE = "周五，渡轮在浓雾中搁浅，船上所有人员在一小时内被渔船送到岸上，海岸警卫队说。这是今年的第二次事故。"


def test_a_plain_article_gets_no_remark():
    """Nothing is said where there is nothing to say."""
    assert check(ENGLISH).notices == ()


@pytest.mark.parametrize("text", [None, "", "  \n\t ", "\x00"])
def test_nothing_is_refused_in_one_sentence(text):
    """Empty, white space, and what is left of a null character."""
    with pytest.raises(ArticleError, match=r"^The article is empty: [^.]+\.$"):
        check(text)


def test_the_limit_of_characters_is_exact():
    """At the limit it runs; one over it is refused, and the visitor is told both numbers and that nothing is lost."""
    assert check("a " * (MAX_CHARACTERS // 2 - 1) + "ab").text
    with pytest.raises(ArticleError, match=r"100,001 characters .* 100,000.* still in"):
        check("a" * (MAX_CHARACTERS + 1))


def test_a_short_text_runs_with_a_remark():
    """One sentence is accepted, and the visitor is told what to expect."""
    (notice,) = check("The ferry was late.").notices
    assert notice.startswith("Only 4 words")
    assert check("ferry").notices[0].startswith("Only 1 word:")


@pytest.mark.parametrize("text", [GERMAN, SPANISH, CHINESE])
def test_another_language_runs_with_a_remark(text):
    """Non-English prose is told from English by its function words, Chinese by its letters."""
    assert any("English" in n for n in check(text).notices)


def test_english_of_every_kind_counts_as_english():
    """A headline without function words, numbers, and quotations are no reason to doubt."""
    assert looks_english("Ferry aground")
    assert looks_english("12 34 56")
    assert looks_english(ENGLISH.upper())


def test_html_and_emoji_run_with_a_remark_and_unchanged():
    """Markup and emoji are told of and kept: the target reads what was pasted."""
    text = ENGLISH + " <b>bold</b>"
    assert any("HTML" in n for n in check(text).notices)
    assert check(text).text == text
    assert any("emoji" in n for n in check(ENGLISH + " 🚢").notices)
    assert check(ENGLISH + " 3 < 4 and 5 > 4").notices == ()


def test_what_breaks_tokenizers_is_taken_out():
    """A lone surrogate, as a forged request may hold, becomes a character that encodes."""
    assert clean("a\ud800b\x00c").encode("utf-8") == b"a?bc"
