"""The player's Python side: its script, its exports."""

from __future__ import annotations

import asyncio
import base64
import csv
import dataclasses
import hashlib
import io
import json
import re
import zlib
from dataclasses import fields

import pytest

from fastllm.analysis.timing import compare_runs
from fastllm.trace import Step, Trace, to_json
from fastllm.ui.watch import messages, player
from fastllm.ui.watch.player import EXPORTS, FOLDER, export_rows, export_run, script
from tests.browser import stage
from tests.test_export import OURS, Tags, hostile
from tests.test_trace import example
from tests.traces import trace_of

FIELDS = json.loads((FOLDER / "fields.json").read_text(encoding="utf-8"))


def test_the_scripts_never_parse_data_as_html():
    """The one use of innerHTML takes our own markup; nothing else can make elements of a text."""
    source = script()
    assert re.findall(r"innerHTML[^;]*", source) == ["innerHTML = SKELETON"]
    assert not re.search(r"outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setHTML", source)


def test_the_events_that_the_page_listens_to_are_in_the_script():
    """Gradio knows a custom event by its quoted name in the script."""
    made = player.Player()
    assert callable(made.open_trace)
    assert callable(made.open_recording)
    assert "${value}" not in made.html_template


def exported(key, text) -> dict:
    return asyncio.run(export_run({"key": key, "text": text}))


def test_an_export_is_made_of_a_trace_that_was_checked():
    """Page and tokens; a forged trace and an unknown form are refused in a sentence."""
    assert exported("page", to_json(example()))["text"].lower().startswith("<!doctype html>")
    assert "\r\n" in exported("tokens", to_json(example()))["text"]
    assert exported("tokens", '{"version": 2}')["error"].startswith("trace.")
    assert "no such form" in exported("page<b>", to_json(example()))["error"]
    assert "no such form" in exported("tokens", None)["error"]
    assert "no such form" in asyncio.run(export_run(["page"]))["error"]
    assert len({e.key for e in EXPORTS}) == len(EXPORTS)


def test_the_page_that_plays_runs_our_script_and_no_other():
    """Its policy names the script's hash; no text of the trace is in script or data, no address anywhere."""
    page = player.to_page(hostile())
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, flags=re.DOTALL)
    assert [kind for kind, _ in scripts] == [' type="application/json" id="run"', ""]
    made = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert f"{policy}; script-src 'sha256-{made}'\"" in page
    assert "<" not in scripts[0][1]
    assert '"alone": true' in scripts[1][1]
    assert not re.search(r"https?:|@import|src=|owned", "".join(text for _, text in scripts))
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert set(Tags(outside).names) <= OURS


def test_the_csv_of_rejections_holds_the_rows_that_were_asked_for_in_their_order():
    """Filtered and sorted in the browser, written here; what is no row of the run is left out, no trace is told."""

    def saved(text, rows) -> dict:
        return asyncio.run(export_rows({"text": text, "rows": rows}))

    text = to_json(trace_of(([" a", "~ b"], " c"), (["~ d"], " e"), (["~ f"], " g")))
    answer = saved(text, [[2, 0], [0, 1], [0, 0], [9, 9], "x", [1], [None, 0]])
    rows = list(csv.DictReader(io.StringIO(answer["text"])))
    assert [(row["step_from_1"], row["token"], row["chance"], row["rule"]) for row in rows] == [
        ("3", " f", "0.2", "token"),
        ("1", " b", "0.2", "token"),
    ]
    assert len(saved(text, [])["text"].splitlines()) == 1
    assert saved("{}", [])["error"].startswith("This trace has version")
    assert "no such table" in saved(None, [])["error"]
    assert "no such table" in asyncio.run(export_rows([]))["error"]


def test_the_race_is_sent_the_times_of_the_comparison():
    """A time for each call, of both ways of decoding, whose sums the comparison prints; nothing without plain
    decoding."""
    run = stage.trace(6)
    steps = tuple(dataclasses.replace(s, seconds_target=0.008 + 0.001 * s.index) for s in run.steps)
    run = dataclasses.replace(run, steps=steps)
    sent, made = messages.timing_of(run), compare_runs(run, run.baseline)
    assert (len(sent["ours"]), len(sent["plain"])) == (6, 18)
    assert (sum(sent["ours"]), sum(sent["plain"])) == (pytest.approx(made.seconds), pytest.approx(made.plain_seconds))
    assert (sent["speedup"], sent["interval"], sent["trouble"]) == (made.speedup, made.interval, "")
    assert messages.timing_of(dataclasses.replace(run, plain=None)) is None


def test_python_sends_the_fields_that_are_written_down():
    """assets/player/fields.json: no message has another field, and each is in some message."""
    trace = trace_of(([" a", "~ b"], " c"), ([], "</s>"))
    sender = messages.Sender(trace.eos_ids)
    sent = [json.loads(sender.first(messages.head_of(trace))), json.loads(sender.news())]
    last = json.loads(messages.replay(trace.compared_with(trace_of(([], " a"), mode="autoregressive"))))
    whole = json.loads(zlib.decompress(base64.b64decode(last["packed"])))
    assert set().union(*sent, last, whole) == set(FIELDS["message"])
    assert set(whole["head"]) - {f.name for f in fields(Trace)} == set(FIELDS["head"])
    assert whole["steps"]
    assert all(set(step) - {f.name for f in fields(Step)} == set(FIELDS["step"]) for step in whole["steps"])
    assert whole["rejections"]
    assert all(list(row) == FIELDS["rejection"] for row in whole["rejections"])
