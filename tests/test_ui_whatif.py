"""The what-if tab without a browser: recorded runs, hostile uploads, answers as sentences."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import gradio as gr
import pytest
from gradio_client import Client

from fastllm import decode
from fastllm.analysis.whatif import places
from fastllm.config import Sampling, Settings
from fastllm.trace import TraceError, to_json
from fastllm.ui import stage, uploads
from fastllm.ui.targets import Targets
from fastllm.ui.whatif import tab as whatif_tab
from tests.conftest import ARTICLE
from tests.drafters import TargetAsDrafter
from tests.test_whatif import as_of_version_3
from tests.traces import trace_of

MARKUP = "<img src=x onerror=alert(1)>"


def opened(tmp_path, text: str | bytes) -> tuple:
    file = tmp_path / "trace.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    outputs = whatif_tab.open_upload(str(file))
    assert not file.exists()
    return outputs


def test_the_packaged_runs_open_and_every_token_has_an_answer():
    """Each tested token of each run, under other settings: a table and a sentence, no error."""
    assert len(whatif_tab.offered()) >= 3
    for name in [r.name for r in whatif_tab.offered()]:
        trace, place, temperature, top_p, lenience, html = whatif_tab.open_packaged(name)
        assert "rejected" in html
        assert (temperature.value, top_p, lenience) == (trace.temperature, trace.top_p, 1)
        assert (f"{trace.temperature:g}", trace.temperature) in temperature.choices
        assert len(place.choices) == len(places(trace))
        for _, where in place.choices[::5]:
            answer = whatif_tab.answer_for(trace, where, 0.7, 0.9, 0.5)
            assert "fl-whatif" in answer
            assert 'role="status"' in answer


def test_moving_lenience_turns_a_rejection_and_says_that_the_path_would_differ():
    """u 0.5, p 0.1, q 0.5: rejected at l = 1, accepted at l = 0.3."""
    trace = trace_of(([" a", "~ b"], " c"), ([], "</s>"))
    assert "The same: rejected" in whatif_tab.answer_for(trace, "0:1", 1.0, 1.0, 1)
    turned = whatif_tab.answer_for(trace, "0:1", 1.0, 1.0, 0.3)
    assert "Now accepted; in the run it was rejected" in turned
    assert "later path would differ" in turned
    assert "replaced by &#x27;c&#x27;" in turned


def test_a_new_run_is_answered_in_numbers_and_an_older_one_says_why_not(tiny):
    """At every temperature that is offered: no range, beta, and what takes the token's place; without the sums one
    sentence says what is missing."""
    settings = Settings(4, Sampling(4.0), seed=3, max_new_tokens=24)
    trace = decode.run(tiny, TargetAsDrafter(tiny, ARTICLE, noise=4.0), ARTICLE, settings)
    said, found = 0, [f"{p.step}:{p.offset}" for p in places(trace)]
    for where, (_, asked) in itertools.product(found, whatif_tab.temperatures(4.0)):
        html = whatif_tab.answer_for(trace, where, asked, 1.0, 1)
        assert not re.search(r"\d to \d", html)
        assert "version 6" not in html
        said += "draws in its place: " in html
    assert said
    assert "not recorded" not in whatif_tab.answer_for(trace, found[0], 1.5, 1.0, 1)
    older = dataclasses.replace(as_of_version_3(trace), temperatures=())
    assert "since version 6" in whatif_tab.answer_for(older, found[0], 1.5, 1.0, 1)


def test_the_walkthrough_names_a_token_that_lenience_turns():
    """docs/walkthrough.md, minute 5: the token that is chosen first passes at lenience 0.05, and not before 0.1."""
    trace, place, *_ = whatif_tab.open_packaged("science-sampled")
    assert "Now accepted" in whatif_tab.answer_for(trace, place.value, 1.0, 1.0, 0.05)
    assert "The same: rejected" in whatif_tab.answer_for(trace, place.value, 1.0, 1.0, 0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("[1]", "should be a JSON object"),
        (json.dumps({"version": 2}), "is missing"),
        (" " * 8_000_001, "too large"),
        (to_json(trace_of(([], " a"), ([], "</s>"))), "no tested draft token"),
        (to_json(trace_of(([" a", "~ b"], " c"), rule="bild")), "judged by the rule &#x27;bild&#x27;"),
    ],
)
def test_a_forged_upload_gets_one_sentence_and_is_deleted(tmp_path, text, words):
    """The session keeps what it had; the file is gone from the server."""
    *kept, html = opened(tmp_path, text)
    assert kept == [gr.skip()] * 5
    assert words in html
    assert 'role="alert"' in html
    with pytest.raises(TraceError, match="did not arrive"):
        uploads.read_trace(str(tmp_path / "gone.json"))


def test_a_hostile_trace_stays_text_and_loses_its_article(tmp_path):
    """Markup in tokens, names and settings; the session keeps neither article nor summary."""
    trace = trace_of(([f" {MARKUP}", f"~ {MARKUP}"], "\u202e<script>"), article="secret", drafter=MARKUP, target=MARKUP)
    kept, place, *_, html = opened(tmp_path, to_json(dataclasses.replace(trace, text="secret")))
    assert "<img" not in html
    assert "<script" not in html
    assert "\u202e" not in html + str(place.choices)
    assert "secret" not in to_json(kept)


def test_the_inspector_opens_its_own_run_and_token():
    """From the browser's own trace; a place that is none of it, or no trace at all, is not an error of ours."""
    text = to_json(trace_of(([" a", "~ b"], " c"), (["~ d"], " e"), article="secret"))
    trace, place, temperature, top_p, lenience, html = whatif_tab.open_asked({"text": text, "step": 1, "offset": 0})
    assert (place.value, temperature.value, top_p, lenience) == ("1:0", 1, 1, 1)
    assert "<b>&#x27;d&#x27;</b> rejected" in html
    assert "secret" not in to_json(trace)
    assert whatif_tab.open_asked({"text": text, "step": "<b>", "offset": None})[1].value == "0:1"
    for forged in (None, [], {"text": 1}, {"text": "{"}):
        assert 'role="alert"' in whatif_tab.open_asked(forged)[-1]


@pytest.mark.parametrize(
    ("where", "settings", "words"),
    [
        ("9:9", (1.0, 1.0, 1.0), "no such token"),
        ("0:1", (None, 1.0, 1.0), "A setting is empty"),
        ("0:1", (1.0, 1.0, 7.0), "Lenience must be"),
        ("0:1", (0.5, 1.0, 1.0), "holds no candidates"),
    ],
)
def test_a_question_without_an_answer_is_a_sentence(where, settings, words):
    """Shown in the answer's place."""
    trace = trace_of(([" a", "~ b"], " c"), ([], "</s>"))
    assert words in whatif_tab.answer_for(trace, where, *settings)
    assert "Choose a recorded run" in whatif_tab.answer_for(None, None, *settings)


def test_the_tab_builds_and_serves(tiny):
    """Over a real server the page has its components and no public endpoint of its own."""
    with gr.Blocks(analytics_enabled=False) as page:
        whatif_tab.build(stage.build(Targets(tiny)))
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, run_history=False, ssr_mode=False)
    try:
        assert Client(url, verbose=False).view_api(return_format="dict")["named_endpoints"] == {}
    finally:
        page.close()
