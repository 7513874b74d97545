"""The player's Python side: its script, its exports."""

from __future__ import annotations

import asyncio
import csv
import io
import re

from fastllm.trace import to_json
from fastllm.ui.watch import player
from fastllm.ui.watch.player import EXPORTS, FOLDER, SCRIPTS, export_run, script
from tests.test_trace import example


def test_every_file_of_the_folder_is_used():
    """A script that is not in the list would silently do nothing."""
    assert {f.stem for f in FOLDER.glob("*.js")} == set(SCRIPTS)


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
    """Page, tokens and rejections; a forged trace and an unknown form are refused in a sentence."""
    assert exported("page", to_json(example()))["text"].lower().startswith("<!doctype html>")
    assert "\r\n" in exported("tokens", to_json(example()))["text"]
    answer = exported("rejections", to_json(example()))
    rows = list(csv.DictReader(io.StringIO(answer["text"])))
    assert [row["step_from_1"] for row in rows] == ["1"]
    assert exported("rejections", '{"version": 2}')["error"].startswith("trace.")
    assert "no such form" in exported("page<b>", to_json(example()))["error"]
    assert "no such form" in exported("rejections", None)["error"]
    assert "no such form" in asyncio.run(export_run(["page"]))["error"]
    assert len({e.key for e in EXPORTS}) == len(EXPORTS)
