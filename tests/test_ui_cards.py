"""The drafter picker and the lessons: what a card says, and settings that exist."""

from __future__ import annotations

import re

import gradio as gr
import pytest

from fastllm.config import PRESETS
from fastllm.drafters import DRAFTERS, DrafterInfo
from fastllm.ui import models
from fastllm.ui.examples import load_examples
from fastllm.ui.targets import Targets
from fastllm.ui.watch import handlers
from fastllm.ui.watch.cards import Card, Cards, cards_html, cards_of, deal
from fastllm.ui.watch.expected import recorded
from fastllm.ui.watch.lessons import LESSONS, lessons_for, start_of, told
from fastllm.ui.watch.links import MAX_GAMMA, MAX_ORDER
from tests.test_ui_expected import BENCHMARK, INFO, ROW

INFOS = [
    DrafterInfo("lookup", "lookup", "Lookup", 0),
    *(DrafterInfo(f"ngram:{n}@distilled", "ngram", "x", 9, "distilled") for n in range(1, 6)),
    INFO,
    DrafterInfo("lstm@baseline", "lstm", "LSTM (baseline)", 9, "baseline"),
]


def test_a_family_is_one_card_whatever_it_was_taught_by():
    """Name, phrase and recorded share of its first line; none where nothing was recorded for these weights."""
    rows = [{**ROW, "accepted_tested": 0.9}, {**ROW, "drafter": "ngram:3@distilled", "accepted_tested": 0.25}]
    cards = cards_of(models.choices(INFOS), {**BENCHMARK, "rows": rows}, "abc")
    assert [(c.name, c.share) for c in cards] == [("N-gram", 0.25), ("Lookup", None), ("LSTM", 0.9)]
    assert cards[2].keys == ("lstm@distilled", "lstm@baseline")
    assert all(c.share is None for c in cards_of(models.choices(INFOS), {**BENCHMARK, "rows": rows}, "other"))


def test_every_family_has_a_name_and_a_phrase():
    """A drafter without them would be a card that says nothing."""
    assert all(kind.short and kind.phrase for kind in DRAFTERS.values())


def test_the_bar_is_in_words_too_and_the_chosen_card_is_checked():
    """One radio button a card; the share as text; nothing hostile becomes markup."""
    cards = [Card(("a@x", "a@y"), "<b>A</b>", '" onload=x', 0.256), Card(("b",), "B", "phrase")]
    html = cards_html(cards, "a@y")
    assert html.count('type="radio"') == 2
    assert re.findall(r'value="([^"]*)" data-keys="([^"]*)"( checked)?', html) == [
        ("a@x", "a@x a@y", " checked"),
        ("b", "b", ""),
    ]
    assert "26%" in html
    assert "<b>" not in html
    assert '" onload' not in html


def test_the_picker_can_be_dealt_anew():
    """Gradio makes a component anew at each update from what it was made of: other cards and value are taken."""
    update = deal([Card(("b",), "B", "phrase")], "b")
    made = Cards(value=update["value"], markup=update["markup"], elem_id="drafter")
    assert made.value == "b"
    assert made.props["markup"] == update["markup"]


def components(kind: type) -> list[type]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in components(sub))]


def test_no_named_parameter_of_a_component_is_quoted_in_its_script(tiny):
    """Gradio takes every quoted word of a script for an event: a parameter of that name would be sent as a function,
    which costs seconds at each load of the page, and breaks updates."""
    import inspect

    from fastllm.ui.layout import build

    made = [b for b in build(tiny).blocks.values() if isinstance(b, gr.HTML) and b.js_on_load]
    assert {type(b).__name__ for b in made} >= {"Cards", "Player"}
    for block in made:
        named = {n for kind in type(block).__mro__[:-1] for n in inspect.signature(kind.__init__).parameters}
        own = named - set(inspect.signature(gr.HTML.__init__).parameters) | set(block.props)
        quoted = {n for n in own if re.search(rf"""['"`]{re.escape(n)}['"`]""", block.js_on_load)}
        assert not quoted, f"{type(block).__name__}: {quoted}"


@pytest.mark.parametrize("target", LESSONS)
def test_lessons_name_what_is_there(target):
    """Presets, examples, families, and numbers within the controls' range; two, the second with another drafter."""
    assert target in PRESETS
    topics = [e.topic for e in load_examples()]
    for lesson in LESSONS[target]:
        assert lesson.example in topics
        assert lesson.drafter.partition("@")[0] in DRAFTERS
        assert 1 <= lesson.gamma <= MAX_GAMMA
        assert 1 <= lesson.n <= MAX_ORDER
    good, bad = LESSONS[target]
    assert good.drafter != bad.drafter


def test_a_lesson_whose_drafter_is_missing_is_left_out():
    """The page then begins with a drafter that is there."""
    assert [lesson.key for lesson in lessons_for("mini", ["lookup", "ngram@distilled"])] == ["bad"]
    assert lessons_for("nobody", ["lookup"]) == ()
    assert start_of("mini", ["ngram@distilled", "lstm@distilled"]).drafter == "lstm@distilled"
    assert start_of("nobody", ["ngram@distilled", "lookup"]).drafter == "lookup"
    assert start_of("nobody", ["t5"]).drafter == "t5"


def test_a_lesson_sets_everything_that_changes_its_outcome(monkeypatch, tiny):
    """Article, drafter, order, gamma, temperature, top-p, seed, methods, and its sentence; nothing where the target
    that is shown has no such lesson."""
    bad = LESSONS["mini"][1]
    take = handlers.make_lesson(Targets(tiny), "bad")
    assert take() == (gr.skip(),) * 11
    monkeypatch.setattr(handlers, "_lessons", lambda target: LESSONS["mini"])
    article, drafter, n, gamma, temperature, top_p, seed, way, rule, lengths, sentence = take()
    assert article == next(e.text for e in load_examples() if e.topic == bad.example)
    assert (drafter, n, gamma, temperature, top_p, seed) == ("ngram@distilled", 1, 4, 0, 1, 0)
    assert (way, rule, lengths) == ("", "token", "constant")
    assert bad.sentence in sentence


@pytest.mark.parametrize(
    ("speed", "interval", "words"),
    [
        (0.89, [0.83, 0.93], "slower than without a drafter (0.89 times as fast over 24 articles)"),
        (3.6, [3.3, 3.9], "faster than without a drafter (3.60 times"),
        (1.0, [0.9, 1.1], "about as fast as without a drafter (1.00 times"),
    ],
)
def test_a_lesson_says_how_fast_it_was_recorded_to_be(speed, interval, words):
    """What it says of speed follows from the record's interval, whichever lesson it is; nothing where there is none."""
    for lesson in LESSONS["mini"]:
        assert words in told(lesson, {**ROW, "measured_speedup": speed, "speedup_interval": interval})
        assert told(lesson, None) == told(lesson, {**ROW, "speedup_interval": None}) == lesson.sentence
        assert not re.search("slower|faster", lesson.sentence)


def test_the_records_bear_the_lessons_out():
    """With the embedded target, the first lesson's drafter was faster than plain and not perfect, at the draft length
    at which it was fastest of those up to it; the second's slower and nearly always refused: over the whole interval of
    the recorded speedup."""
    good, bad = LESSONS["mini"]
    rows = recorded()["rows"]

    def row(spec: str, gamma: int) -> dict:
        return next(r for r in rows if (r["drafter"], r["gamma"], r["temperature"]) == (spec, gamma, 0))

    kept, refused = row(good.drafter, good.gamma), row(bad.drafter.replace("@", f":{bad.n}@"), bad.gamma)
    assert kept["speedup_interval"][0] > 1.5
    others = [r for r in rows if r["drafter"] == good.drafter and r["temperature"] == 0 and r["gamma"] <= good.gamma]
    assert max(others, key=lambda r: r["measured_speedup"])["gamma"] == good.gamma
    assert start_of("mini", [good.drafter]).gamma == good.gamma >= 8
    assert 0.8 < kept["accepted_tested"] < 0.99
    assert refused["speedup_interval"][1] < 1
    assert refused["accepted_tested"] < 0.1
