"""The lab's tab: what it says, what it draws, and what a visitor gets from a running page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client

from fastllm.analysis import lab
from fastllm.analysis.faults import FAULTS
from fastllm.ui import limits, models, stage
from fastllm.ui.lab import tab as lab_tab
from fastllm.ui.lab import view as lab_view
from fastllm.ui.targets import Targets
from fastllm.ui.watch import handlers

P, Q = lab_tab.P, lab_tab.Q


def names(text):
    return " ".join("abcdef"[t] for t in text)


def frames(
    fault="none", gamma=2, length=1, samples=1500, seed=0, words="a, b, c, d, e, f", p=P, q=Q, live=None
) -> list[tuple]:
    async def drive():
        values = (fault, gamma, length, samples, seed, words, p, q, live or handlers.Live())
        return [f async for f in lab_tab.run_tiny_lab(*values)]

    return asyncio.run(drive())


@pytest.mark.parametrize(
    ("fault", "word"), [(f.key, "No difference found" if f.right else "They differ") for f in FAULTS.values()]
)
def test_each_position_of_the_switch_ends_in_its_verdict(fault, word):
    """The right rule passes; each fault fails with the sentence that says why and a text that came out too often."""
    *_, (html, _, _) = frames(fault, length=FAULTS[fault].least)
    assert word in html
    assert FAULTS[fault].why.split(":")[0].split("(")[0] in html.replace("&#x27;", "'")
    assert ("came out" in html) != FAULTS[fault].right
    assert ("Bit by bit" in html) == FAULTS[fault].int8


@pytest.mark.parametrize(("fault", "gamma"), [("block-weight", 2), ("block-first", 2), ("block-first", 1)])
def test_a_fault_that_needs_more_tokens_says_so(fault, gamma):
    """Of one token, a block is judged as the token rule judges it."""
    *_, (html, _, _) = frames(fault, gamma=gamma)
    assert "No difference found" in html
    assert "It needs drafts and texts of 2 tokens or more." in html


def test_the_walkthrough_quotes_what_the_lab_says():
    """docs/walkthrough.md's figures are those of the tab's own first settings."""
    guide = (Path(__file__).resolve().parent.parent / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    first, broken = (frames(f, samples=3000, words=lab_tab.WORDS)[-1][0] for f in ("none", "no-residual"))
    assert "p-value 0.21" in first
    assert "p-value 0.21" in guide
    assert "London&#x27; came out 982 times, and 726 times" in broken
    assert "'London', which the drafter likes too much, comes out 982 times" in guide
    assert "726 times" in guide


def test_the_histograms_grow(monkeypatch):
    """Several frames, each with more samples than the one before; bars are shares in percent of both samplers."""
    # A frame after every piece of work, however fast the machine is.
    monkeypatch.setattr(lab_tab, "FRAME", 0.005)
    monkeypatch.setattr(lab_tab, "BURST", 0.0)
    shown = [f for f in frames(samples=3000) if isinstance(f[1], dict) is False and hasattr(f[1], "data")]
    sizes = [f[2].data[0].x[-1] for f in shown]
    assert len(sizes) > 2
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == 3000
    for bars in shown[-1][1].data[:2]:
        assert sum(bars.y) == pytest.approx(100)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"p": "1, x, 2, 3, 4, 5"}, "p should be numbers separated by commas; &#x27;x&#x27; is none."),
        ({"q": "1"}, "p has 6 weights and q has 1"),
        ({"words": "a, b"}, "There are 2 words and 6 weights"),
        ({"words": ",".join("abcdefghijklmnopq")}, "There are 17 words and the limit is 16"),
        ({"p": "0 0 0 0 0 0"}, "All weights of p are 0"),
        ({"samples": None}, "Samples by each is empty: give a number."),
        ({"samples": 10**9}, "Samples by each"),
        ({"gamma": 2.5}, "The draft length"),
        ({"seed": -1}, "Seed"),
        ({"fault": "<b>"}, "There is no fault"),
    ],
)
def test_bad_input_gets_one_sentence(changes, sentence):
    """An inline error; the histograms of an earlier run are left as they are."""
    html, bars, curve = frames(**changes)[-1]
    assert sentence in html or sentence in html.replace("'", "&#x27;")
    assert 'role="alert"' in html
    assert "<b>" not in html
    assert bars == curve == gr.skip()


def test_the_path_has_a_point_for_each_hundredth_of_the_samples():
    """However few frames a fast machine shows: the path grows by every batch."""
    *_, (_, _, curve) = frames(samples=1000)
    assert list(curve.data[0].x) == list(range(10, 1001, 10))


def again(fault="none", samples=300, seed=0, live=None) -> list[tuple]:
    async def drive():
        values = (fault, 2, 1, samples, seed, "a, b, c, d, e, f", P, Q, live or handlers.Live())
        return [f async for f in lab_tab.again_tiny_lab(*values)]

    return asyncio.run(drive())


@pytest.mark.parametrize("fault", ["none", "no-residual"])
def test_twenty_new_seeds_spread_for_the_right_rule_and_heap_up_for_a_broken_one(fault):
    """Twenty paths, twenty p-values in ten bins, and the sentence that counts them; a caption says which seeds."""
    *_, (html, paths, spread) = again(fault, samples=500 if fault == "none" else 1200)
    assert len(paths.data) == 21  # an empty first line for the experiment that is not there
    assert sum(spread.data[0].y) == 20
    assert spread.layout.shapes[0].y0 == 2
    assert "seeds 1 to 20" in html
    assert f"{FAULTS[fault].title}" in html
    values = [p.y[-1] for p in paths.data if len(p.x)]
    differ = sum(v < lab.LEVEL for v in values)
    assert f"{differ} of 20 experiments differ" in html
    assert (spread.data[0].y[0] >= 15) == (fault != "none")
    assert ("fl-different" in html) == (fault != "none")


def test_the_seeds_are_new_and_their_results_the_same_each_time():
    """Experiment i of seed s is that of seed s + 1 + i alone; the last seeds wrap around."""
    *_, (_, first, _) = again()
    *_, alone = frames(samples=300, seed=3)
    assert [p for p in first.data if len(p.x)][2].y[-1] == pytest.approx(alone[2].data[0].y[-1])
    assert "seeds 0 to 19" in again(samples=100, seed=2**31 - 1)[-1][0]


def test_a_stop_keeps_the_experiments_that_are_done(monkeypatch):
    """Pressed before the first is over: none, in a sentence, and the next run is not stopped."""
    live = handlers.Live()
    whole = lab.repeated

    def pressed(*arguments):
        for i, tally in whole(*arguments):
            live.stop = i >= 3
            yield i, tally

    monkeypatch.setattr(lab, "repeated", pressed)
    monkeypatch.setattr(lab_tab.again, "BURST", 0.0)
    html, _, spread = again(live=live)[-1]
    assert "Stopped after 3 of 20 experiments" in html
    assert sum(spread.data[0].y) == 3
    assert live.stop is False


def test_a_run_of_watch_becomes_the_labs():
    """Article, drafter with its order, gamma, temperature, top-p; what has no place here is told, a forgery too."""
    menu = [models.Choice("ngram@distilled", "N-gram", True), models.Choice("lstm@distilled", "LSTM", False)]
    run = {"article": "So it was.", "drafter": "ngram:3@distilled", "gamma": 9, "temperature": 0.7, "top_p": 0.9}
    *values, _, html = lab_tab.of_run(run, menu)
    assert values == ["So it was.", "ngram@distilled", 3, 5, 0.7, 0.9]
    assert "The article and the settings of your run" in html
    assert lab_tab.of_run(run | {"drafter": "ngram:2"}, menu)[1:3] == ("ngram@distilled", 2)
    greedy = lab_tab.of_run(run | {"temperature": 0, "drafter": "<b>+lookup"}, menu)
    assert greedy[4] == 1
    assert "temperature is 1" in greedy[-1]
    assert "no drafter &lt;b&gt;+lookup" in greedy[-1]
    assert greedy[1] == gr.skip()
    for forged in (None, [], {"article": 3}, {"article": " "}):
        assert 'role="alert"' in lab_tab.of_run(forged, menu)[-1]
    assert lab_tab.of_run(run | {"gamma": "<b>", "top_p": True}, menu)[3:6] == (gr.skip(), 0.7, gr.skip())
    huge = run | {"gamma": 10**400, "temperature": float("nan"), "top_p": float("-inf")}
    assert lab_tab.of_run(huge, menu)[3:6] == (lab_tab.MOST_GAMMA, gr.skip(), 0.1)


def test_words_stay_text():
    """Markup in a word reaches neither the page nor plotly's labels as markup."""
    *_, (html, bars, _) = frames("argmax", words='a, <img src=x onerror="x">, c, d, e, f')
    assert "<img" not in html
    assert not any("<img" in tick for tick in bars.layout.xaxis.ticktext)


def test_the_time_limit_keeps_what_was_sampled(monkeypatch):
    """Over the limit: a verdict over fewer samples, and the sentence that says so."""
    monkeypatch.setattr(limits, "LAB_SECONDS", 1e-6)
    *_, (html, _, curve) = frames(samples=20_000)
    assert "the limit of one run" in html
    assert 0 < curve.data[0].x[-1] < 20_000


def test_stop_says_after_how_many_samples_and_keeps_them(monkeypatch):
    """Pressed while it samples: the sentence, a verdict over what there is, and the next experiment is not stopped."""
    live = handlers.Live()
    tallies = lab.tallies

    def pressed(*arguments, **named):
        for tally in tallies(*arguments, **named):
            live.stop = tally.samples >= 400
            yield tally

    monkeypatch.setattr(lab, "tallies", pressed)
    monkeypatch.setattr(lab_tab, "FRAME", 0.0)
    monkeypatch.setattr(lab_tab, "BURST", 0.0)
    *_, (html, bars, curve) = frames(samples=20_000, live=live)
    assert "Stopped after 400 of 20,000 samples by each" in html
    assert "fl-is-stopped" in html
    assert "fl-verdict" in html
    assert curve.data[0].x[-1] == 400
    assert sum(bars.data[0].y) == pytest.approx(100)
    assert live.stop is False


def test_the_article_mode_waits_in_the_line_of_the_models(tiny, article, monkeypatch):
    """Somebody has the only turn: the place is told, Stop ends the wait, and the place is given back; a full line is
    told in a sentence."""
    line = limits.Line(1, 1)
    monkeypatch.setattr(limits, "line", line)
    line.enter("somebody")
    live, asked = handlers.Live(), ("none", 2, 1, 100, 0, article, "lookup", 3, 1.0, 0.9, None)

    async def drive():
        shown = []
        async for frame in lab_tab.make_model_lab(Targets(tiny))(*asked, live):
            shown.append(frame[0])
            if "Waiting" in frame[0]:
                handlers.stop(live)
        return shown

    waited, stopped = asyncio.run(drive())
    assert "Waiting for a turn: number 1 in line" in waited
    assert "Stopped before the run began." in stopped
    assert "fl-is-stopped" in stopped
    line.enter("next")
    assert "1 visitors are waiting" in asyncio.run(drive())[0]
    line.leave("somebody")
    line.leave("next")
    assert "fl-verdict" in asyncio.run(drive())[-1]


def test_many_texts_are_drawn_as_the_commonest_and_the_rest():
    """36 pairs: 14 bars and one for all others; nothing is lost."""
    *_, tally = lab.tallies(lab.fixed_chain((4, 3, 2, 2, 1, 1), (1, 1, 1, 1, 1, 1)), 2, 2, 600, 0)
    figure = lab_view.histogram(tally, names)
    assert len(figure.data[0].y) == lab_view.MOST_BARS + 1
    assert figure.layout.xaxis.ticktext[-1].startswith("all ")
    assert sum(figure.data[0].y) == pytest.approx(100)


def test_a_verdict_says_when_there_is_nothing_to_test_or_the_fault_does_not_show():
    """One cell, and a fault that this p and q hide: neither is called a proof."""
    one = lab.Tally(50, {(0,): 50}, {(0,): 50})
    assert lab_view.verdict(one, lab.compare(one), "none", names)[0].startswith("Nothing to compare")
    alike = lab.Tally(200, {(0,): 100, (1,): 100}, {(0,): 101, (1,): 99})
    head, why = lab_view.verdict(alike, lab.compare(alike), "no-residual", names)
    assert head.startswith("No difference found")
    assert why.startswith("The rule is broken all the same")
    far = lab.Tally(200, {(0,): 150, (1,): 50}, {(0,): 50, (1,): 150})
    assert "choose another seed" in lab_view.verdict(far, lab.compare(far), "none", names)[1]


def test_a_visitor_samples_with_the_models(tiny, article):
    """Over a real server: the article's next tokens, both ways; an empty article is told in a sentence."""
    with gr.Blocks(analytics_enabled=False) as page:
        lab_tab.build(stage.build(Targets(tiny)))
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, run_history=False, ssr_mode=False)
    try:
        client = Client(url, verbose=False, analytics_enabled=False)
        values = ["none", 2, 2, 200, 0, article, "lookup", 3, 1.5, 0.9, tiny.preset.asked]
        html, bars, _ = client.predict(*values, api_name="/lab_article")
        assert "fl-verdict" in html
        assert bars["type"] == "plotly"
        values[5] = " "
        assert "The article is empty" in client.predict(*values, api_name="/lab_article")[0]
        tiny_values = ["same-seed", 2, 1, 600, 0, lab_tab.WORDS, P, Q]
        assert "They differ" in client.predict(*tiny_values, api_name="/lab")[0]
    finally:
        page.close()
