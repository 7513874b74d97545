"""The menus of methods: what they offer is what the tables hold, and every line of them can be run."""

from __future__ import annotations

import dataclasses

import pytest

from fastllm.decode import run
from fastllm.drafters import COMPOSITES, load_drafter, split_pair
from fastllm.export import to_html
from fastllm.lengths import LENGTHS, lengths_named
from fastllm.rules import RULES, lossless
from fastllm.ui import models
from fastllm.ui.render import agreement_html
from fastllm.ui.watch import handlers
from fastllm.ui.watch.methods import KNOBS, LOSSY, MENUS, SOFT, about_html, goes_with, shows, usual
from tests.traces import trace_of

WAY, RULE, LENGTH = MENUS


def settings(tiny, temperature=0.0, **more):
    return handlers.settings_of(tiny, 4, temperature, 1, 0, 12, **more)


def test_each_menu_offers_its_table_and_begins_with_what_the_engine_begins_with(tiny):
    """No line is forgotten; each explains itself in two sentences or one; the usual values are those of Settings."""
    assert list(WAY.lines) == ["", *COMPOSITES]
    assert list(RULE.lines) == list(RULES)
    assert list(LENGTH.lines) == list(LENGTHS)
    for menu in MENUS:
        assert menu.usual in menu.lines
        for value, line in menu.lines.items():
            assert line.title in [words for words, _ in menu.choices]
            assert 0 < line.about.count(". ") + line.about.endswith(".") <= 4, value
    assert (settings(tiny).rule, settings(tiny).lengths) == (RULE.usual, LENGTH.usual)
    assert usual(way=None, rule="token", lengths="constant")
    assert not usual(way="+", rule="token", lengths="constant")


@pytest.mark.parametrize("rule", RULES)
def test_a_lossy_rule_bears_the_badge_and_a_lossless_one_does_not(tiny, rule):
    """Under the menu, by the table's word; and the threshold that the page gives a soft rule makes it lossy indeed."""
    chosen = settings(tiny, rule=rule)
    assert (LOSSY in about_html(RULE, rule).replace("&#x27;", "'")) is not RULES[rule].lossless
    assert lossless(chosen.rule, chosen.rollback) is RULES[rule].lossless


@pytest.mark.parametrize("way", COMPOSITES)
@pytest.mark.parametrize("drafter", ["t5@baseline", "lookup", "lstm"])
def test_a_way_joins_any_drafter_into_one_name(way, drafter):
    """The name divides into the drafter that was chosen, the way, and the other; so do an n-gram's with its order."""
    first, found, second = split_pair(models.spec_of(drafter, 3, way))
    assert found == way
    assert drafter in (first, second)
    assert "ngram:2@baseline" in split_pair(models.spec_of("ngram@baseline", 2, way))


def test_an_unknown_way_is_refused_in_a_sentence():
    """So are an unknown rule and policy, and a soft rule with sampling."""
    assert models.spec_of("ngram@baseline", 2) == "ngram:2@baseline"
    for way in ("or", "-", "lookup"):
        with pytest.raises(ValueError, match="no way"):
            models.spec_of("lookup", 1, way)


@pytest.mark.parametrize(
    ("temperature", "more", "words"),
    [
        (0, {"rule": "generous"}, "no acceptance rule"),
        (0, {"lengths": "long"}, "no draft length policy"),
        (0.7, {"rule": "bild"}, "greedy decoding only"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_run(tiny, temperature, more, words):
    """In the sentence of the table."""
    with pytest.raises(ValueError, match=words):
        settings(tiny, temperature, **more)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_every_line_of_the_lengths_can_be_run_and_is_recorded(tiny, article, lengths):
    """The page's settings reach the trace; under a lossless rule the text is the same for each."""
    lengths_named(lengths, 4)
    drafter = load_drafter(tiny, models.spec_of("lookup", 1, "-then-"))
    trace = run(tiny, drafter, article, settings(tiny, lengths=lengths, rule="block"))
    assert (trace.lengths, trace.rule, trace.drafter) == (lengths, "block", "lookup-then-lookup")
    assert trace.tokens == run(tiny, None, article, settings(tiny)).tokens


def test_the_export_and_the_verdict_say_what_is_lossy():
    """A lossy run says so in its page, and a text of its own is no fault; a lossless one that differs is."""
    trace = dataclasses.replace(trace_of(([" a", "~b"], " c")), temperature=0.0)
    other = dataclasses.replace(trace_of(([" a"], " d")), temperature=0.0)
    lossy = dataclasses.replace(trace, rule="bild", rollback=2.0, lengths="bild")
    assert "<b>Lossy:</b>" in to_html(lossy)
    assert "bild, rollback 2" in to_html(lossy)
    assert "Lossy" not in to_html(trace)
    assert "as they may" in agreement_html(lossy, other)
    assert "two tokens can tie" in agreement_html(trace, other)
    assert "this is a fault" in agreement_html(dataclasses.replace(trace, to_the_last_bit=True), other)
    for temperature in (0.0, 1.0):
        same = dataclasses.replace(lossy, temperature=temperature)
        html = agreement_html(same, dataclasses.replace(trace, temperature=temperature))
        assert "need not be" in html
        assert "Identical" not in html
        assert "same distribution" not in html
    assert "as they may" not in agreement_html(dataclasses.replace(lossy, rollback=0.0), other)


def test_thresholds_reach_the_settings_where_the_line_has_one(tiny):
    """A policy and a rule without one ignore the sliders, and a carried threshold is not asked for."""
    threshold, rollback, nodes, width = KNOBS
    assert settings(tiny, lengths="bild", rule="bild", threshold=0.3, rollback=3).lengths == "bild:0.3"
    assert settings(tiny, lengths="bild", rule="bild", threshold=0.3, rollback=3).rollback == 3
    assert settings(tiny, rule="bild", rollback=0).rollback == 0
    assert (settings(tiny, threshold=0.3).lengths, settings(tiny, rollback=5).rollback) == ("constant", 0)
    assert settings(tiny, lengths="exit", threshold=0.3).lengths == "exit"
    tree = settings(tiny, rule="follow", nodes=12, width=3)
    assert (tree.nodes, tree.width) == (12, 3)
    assert (settings(tiny, nodes=12, width=3), settings(tiny, rule="follow").nodes) == (settings(tiny), 8)
    for name in ("threshold", "rollback", "nodes", "width"):
        with pytest.raises(ValueError, match=f"{name.capitalize()} must be a finite number"):
            settings(tiny, **{name: "much"})
    assert [shows(threshold)(x)["visible"] for x in ("bild", "exit", "constant", None)] == [True, False, False, False]
    assert [shows(rollback)(x)["visible"] for x in RULES] == [RULES[x].soft for x in RULES]
    assert (threshold.value("confidence"), threshold.value("constant"), rollback.value("bild")) == (0.4, 0.6, 2.0)
    for knob in (nodes, width):
        assert [shows(knob)(x)["visible"] for x in RULES] == [RULES[x].tree for x in RULES]
        assert knob.kind is int
    for knob in KNOBS:
        assert all(knob.low <= value <= knob.high for value in knob.usual.values())


def test_a_rule_brings_the_lengths_that_it_was_published_with():
    """Big Little Decoder's fallback; others leave what is chosen. What may change a text is known to the page."""
    assert [goes_with(x, "entropy") for x in ("bild", "token", None)] == ["bild", "entropy", "entropy"]
    assert set(SOFT) == {k for k, r in RULES.items() if not r.lossless}
