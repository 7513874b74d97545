"""The page as `gradio_client` drives it: a real server, a tiny target, and every answer that a visitor may get."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
import subprocess
import sys
import time
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive, speculative
from fastllm.drafters import DrafterInfo
from fastllm.trace import MAX_BYTES, from_json, to_json
from fastllm.ui import limits, models
from fastllm.ui.layout import build
from fastllm.ui.league import tab as league_tab
from fastllm.ui.targets import Targets
from fastllm.ui.theme import launch_options
from fastllm.ui.watch import handlers, recordings
from fastllm.ui.watch.methods import KNOBS, MENUS
from fastllm.ui.watch.player import FOLDER
from tests.test_trace import example

ROOT = Path(__file__).resolve().parent.parent
FIELDS = json.loads((FOLDER / "fields.json").read_text(encoding="utf-8"))
NOTICES, STATUS, PLAYER, TEXT, COMPARE = range(5)


@pytest.fixture(scope="module")
def page(tiny):
    """The running page's address."""
    blocks = build(tiny)
    _, url, _ = blocks.launch(server_port=None, prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    blocks.close()


@pytest.fixture
def client(page):
    """One visitor."""
    return Client(page, verbose=False, analytics_enabled=False)


def arguments(article: str, **changes) -> dict:
    values = {
        "article": article,
        "drafter": "lookup",
        "n": 3,
        "gamma": 4,
        "temperature": 0,
        "top_p": 1,
        "seed": 0,
        "length": 24,
        "target": None,
        "way": "",
        "rule": "token",
        "lengths": "constant",
        "threshold": 0.6,
        "rollback": 2,
        "nodes": 8,
        "width": 2,
    }
    return values | changes | {"api_name": "/run"}


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html)).strip()


def told(frame: tuple) -> dict:
    """What the player was told by a frame, unpacked."""
    if not isinstance(frame[PLAYER], str) or not frame[PLAYER]:
        return {}
    message = json.loads(frame[PLAYER])
    if "packed" in message:
        message |= json.loads(zlib.decompress(base64.b64decode(message["packed"])))
    return message


def statuses(message: dict) -> list[str]:
    """Of every token of a message, in order."""
    found = []
    for step in message.get("steps", []):
        found += [t["status"] for t in step["draft"]] + ([step["emitted"]["kind"]] if step["emitted"] else [])
    return found


def test_a_greedy_run_gives_the_targets_own_text(client, tiny, article):
    """The summary is what plain decoding writes; the page certifies it and shows every kind of figure."""
    settings = Settings(4, Sampling(0.0, 0, 1.0, tiny.preset.no_repeat_ngram_size), 0, 24, top=0)
    ids = [t for step in autoregressive(tiny.open(article), settings) for t in step.tokens]
    *_, last = frames = list(client.submit(**arguments(article)))
    assert last[TEXT] == tiny.text(ids)
    assert "Finished:" in last[STATUS]
    assert f"all {len(ids)} tokens are the same" in last[COMPARE]
    assert re.search(r"<b>\d+ target calls</b>, plain decoding needs \d+; τ = \d\.\d\d", last[COMPARE])
    assert re.search(r"<b>\d+\.\d\d×</b> measured|at most \d+\.\d\d×, which is τ", last[COMPARE])
    message = told(last)
    kept = [s for s in statuses(message) if s not in ("rejected", "ignored")]
    assert len(kept) == len(ids)
    calls = re.search(r"(\d+) target calls?;", last[STATUS])[1]
    assert message["steps"][-1]["figures"][2] == [calls, f"plain decoding needs {len(ids)}"]
    assert len(frames) > 1


def test_frames_carry_what_is_new_from_a_stated_step_on_and_the_last_carries_all(client, article):
    """Put end to end, the frames in the middle are the last one; no step is sent twice before it."""
    frames = [told(f) for f in client.submit(**arguments(article, temperature=1, seed=3))]
    frames = [m for m in frames if m]
    assert len({m["run"] for m in frames}) == 1
    assert frames[0]["head"]["article"]["text"] == article
    assert frames[0]["head"]["recorded"] is False
    for part, start in (("steps", "from"), ("plain", "plain_from")):
        seen = []
        for message in frames[1:-1]:
            assert message[start] == len(seen)
            seen += message[part]
        assert seen == frames[-1][part] != []
    assert frames[-1]["complete"] is True
    assert len(frames[-1]["rejections"]) == statuses(frames[-1]).count("rejected") > 0


def test_what_the_player_holds_is_a_trace_again(client, tiny, article):
    """The head and the steps without their sentences are what fastllm.trace reads, equal to the run."""
    message = told(client.predict(**arguments(article, temperature=1, seed=3)))
    trace = from_json(json.dumps(assembled(message)))
    assert trace.tokens
    assert trace.baseline.tokens
    assert trace.article.text == article
    assert all(len(t.p_top) == handlers.TOP for s in trace.steps for t in s.draft)
    session = tiny.open(article)
    sampling = Sampling(1.0, 0, 1.0, tiny.preset.no_repeat_ngram_size)
    again = speculative(session, models.get_drafter(tiny, "lookup"), Settings(4, sampling, 3, 24, top=handlers.TOP))
    for ours, theirs in zip(trace.steps, again, strict=True):
        assert (ours.draft, ours.emitted) == (theirs.draft, theirs.emitted)


def assembled(message: dict) -> dict:
    """A message as the player in the browser assembles it into a trace (assets/player/store.js)."""
    head = {k: v for k, v in message["head"].items() if k not in FIELDS["head"]}
    steps = [{k: v for k, v in s.items() if k not in FIELDS["step"]} for s in message["steps"]]
    return head | {"steps": steps, "plain": head["plain"] and head["plain"] | {"steps": message["plain"]}}


def test_a_sampled_run_repeats_with_its_seed_and_promises_no_equal_text(client, article):
    """The same seed gives the same text, another seed another one; the comparison speaks of distributions."""
    runs = [client.predict(**arguments(article, temperature=1, seed=seed)) for seed in (7, 7, 8)]
    assert runs[0][TEXT] == runs[1][TEXT] != runs[2][TEXT]
    assert "same distribution" in runs[0][COMPARE]
    assert "Identical" not in runs[0][COMPARE]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"article": "  \n "}, "The article is empty: paste some text, or choose an example."),
        ({"article": "word " * 20_001}, "The article has 100,004 characters and the limit is 100,000"),
        ({"seed": None}, "Seed is empty: give a number."),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing_else(client, article, changes, sentence):
    """An inline error; summary and stream of an earlier run are left as they are, and the article is no output."""
    last = client.predict(**arguments(article) | changes)
    assert sentence in last[NOTICES]
    assert 'role="alert"' in last[NOTICES]
    assert "fl-is-error" in last[STATUS]
    assert "Traceback" not in str(last)
    for kept in (PLAYER, TEXT, COMPARE):
        assert last[kept]["__type__"] == "update"
        assert "value" not in last[kept]


@pytest.mark.parametrize(("name", "value"), [("gamma", 99), ("temperature", -1), ("length", 100_000), ("seed", -5)])
def test_a_value_that_no_control_gives_is_refused_by_name(client, article, name, value):
    """A script that sends such a value is told which."""
    with pytest.raises(AppError, match=str(value)):
        client.predict(**arguments(article, **{name: value}))


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("ferry", "Only 1 word:"),
        (
            "<script>alert(1)</script><img src=x onerror=alert(1)> "
            + "The harbour is closed to all ferries today. " * 8,
            "HTML",
        ),
        ("周五，渡轮在浓雾中搁浅，船上所有人员在一小时内被渔船送到岸上。" * 3, "English"),
        ("🚢🌊🔥 " * 40, "emoji"),
        ("\u202eThe ferry \x00\x1b[31m is late. " * 12, ""),
    ],
)
def test_odd_input_runs_with_a_remark_and_stays_text(client, text, remark):
    """It runs to its end, says what to expect, and no tag of it reaches the page."""
    last = client.predict(**arguments(text, length=8))
    assert "Finished:" in last[STATUS]
    assert remark in last[NOTICES]
    said = "".join(sentence for step in told(last)["steps"] for sentence in step["say"])
    assert not re.search(r"<script|<img|\x1b|\u202e", last[NOTICES] + last[COMPARE])
    assert not re.search(r"\x1b|\u202e", said)


def test_stop_ends_a_run_after_its_burst_and_keeps_what_was_computed(tiny, article, monkeypatch):
    """Stop after the first steps: the next frame is the last, says `stopped`, and holds what was sent."""
    monkeypatch.setattr(handlers, "BURST", 0.0)  # one step a frame
    live = handlers.Live()
    values = arguments(article, length=24)
    values.pop("api_name")

    async def drive() -> list[tuple]:
        shown = []
        async for frame in handlers.make_run(Targets(tiny))(*values.values(), live):
            shown.append(frame)
            if len(told(frame).get("steps", [])) and not live.stop:
                handlers.stop(live)
        return shown

    shown = asyncio.run(drive())
    assert "Stopped: " in shown[-1][STATUS]
    assert "fl-is-stopped" in shown[-1][STATUS]
    assert len(told(shown[-2])["steps"]) == len(told(shown[-1])["steps"]) == 1
    assert told(shown[-1])["steps"] == told(shown[-2])["steps"]
    assert told(shown[-1])["head"]["ending"] == "stopped"
    assert told(shown[-1])["head"]["plain"] is None
    assert "nothing to compare" in shown[-1][COMPARE]
    assert not live.stop


class Event:
    """What a handler is given of an event of the page."""

    def __init__(self, **data) -> None:
        self._data = data


def test_a_saved_run_opens_again_without_a_model(client, article, monkeypatch):
    """Every view of the run comes back from its trace alone, and says that it is recorded."""
    last = client.predict(**arguments(article, temperature=1, seed=3))
    for name in ("burst", "open_session", "get_target", "get_drafter"):
        monkeypatch.setattr(models, name, lambda *_: pytest.fail("a model was called"))
    opened = asyncio.run(handlers.open_trace(Event(text=json.dumps(assembled(told(last))))))
    message = told(opened)
    assert message["head"]["recorded"] is True
    assert message["head"] | {"recorded": False} == told(last)["head"]
    for part in ("steps", "plain", "rejections"):
        assert message[part] == told(last)[part]
    assert opened[TEXT] == last[TEXT]
    assert "Recorded: whole run," in opened[STATUS]
    assert "as it was recorded" in opened[COMPARE]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"text": "{"}, "not valid JSON"),
        ({"text": ""}, "not valid JSON"),
        ({}, "not valid JSON"),
        ({"text": 7}, "not valid JSON"),
        ({"text": "x" * (MAX_BYTES + 1)}, "too large"),
        ({"text": "[" * 90_000}, "nested too deeply"),
        ({"text": to_json(example()).replace('"gamma":3', '"gamma":"<b>"')}, "trace.gamma should be a whole number"),
        ({"text": to_json(dataclasses.replace(example(), steps=(), plain=None))}, "holds no step"),
        ({"text": to_json(example().baseline)}, "plain decoding"),
    ],
)
def test_a_file_that_is_no_trace_gets_one_sentence_and_changes_nothing(data, sentence):
    """Truncated, forged, huge, deep or of another kind: told in place, with the field; the page stays as it was."""
    frame = asyncio.run(handlers.open_trace(Event(**data)))
    assert sentence in frame[NOTICES]
    assert 'role="alert"' in frame[NOTICES]
    assert "<b>" not in frame[NOTICES]
    assert "Traceback" not in str(frame)
    for kept in (PLAYER, TEXT, COMPARE):
        assert frame[kept] == gr.skip()


def test_a_recording_is_asked_for_by_name_only():
    """A name of the list opens; a path, nothing and a number do not."""
    for recording in recordings.listed():
        frame = asyncio.run(handlers.open_recording(Event(name=recording.name)))
        assert told(frame)["head"]["recorded"] is True
    for name in ("../../README", "index", None, 3):
        frame = asyncio.run(handlers.open_recording(Event(name=name)))
        assert "no recorded run of that name" in frame[NOTICES]


def test_a_run_taken_out_of_the_queue_gives_the_buttons_back():
    """The status says that nothing ran; Run can be pressed, Stop cannot."""
    live = handlers.Live(stop=True)
    status, run_button, stop_button = handlers.cancelled(live)
    assert "before the run began" in status
    assert (run_button["interactive"], stop_button["interactive"]) == (True, False)
    assert not live.stop


def test_a_closed_run_leaves_the_model_free(tiny, article):
    """A visitor who leaves in the middle: the lock is open and the next run gives the whole text."""
    values = arguments(article)
    values.pop("api_name")

    async def leave() -> None:
        run = handlers.make_run(Targets(tiny))(*values.values(), handlers.Live())
        for _ in range(2):
            await anext(run)
        await run.aclose()

    asyncio.run(leave())
    assert not models.MODEL.locked()
    assert "Finished:" in last_frame(tiny, **arguments(article))[STATUS]


def last_frame(tiny, live: handlers.Live | None = None, **values) -> tuple:
    """The last frame of a run without a server."""
    values.pop("api_name", None)

    async def drive() -> tuple:
        return [frame async for frame in handlers.make_run(Targets(tiny))(*values.values(), live or handlers.Live())][
            -1
        ]

    return asyncio.run(drive())


@pytest.mark.parametrize("drafter", ["ngram@distilled", "lstm", "<b>x</b>", None])
def test_a_drafter_that_does_not_load_is_told_in_its_own_sentence(tiny, article, drafter):
    """A missing file or an unknown name: no silent fallback to another drafter, no markup."""
    last = last_frame(tiny, **arguments(article, drafter=drafter))
    assert "drafter" in last[NOTICES]
    assert 'role="alert"' in last[NOTICES]
    assert "<b>" not in last[NOTICES]
    assert "fl-is-error" in last[STATUS]


def test_a_fault_in_the_model_is_told_in_a_sentence(tiny, article, monkeypatch):
    """Whatever goes wrong inside, the visitor reads a sentence without a traceback, and the button works again."""

    def fail(*_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(models, "open_session", fail)
    last = last_frame(tiny, **arguments(article))
    assert "still in the box" in last[NOTICES]
    assert "Failed." in last[STATUS]
    assert "secret" not in str(last)
    assert "Traceback" not in str(last)


def test_two_visitors_at_once_get_their_own_texts(page, article):
    """Runs that overlap give what each gives alone."""
    other = "The city of Varnholt will close its oldest bridge for eight months; buses will take another road. " * 3
    alone = [Client(page, verbose=False).predict(**arguments(text))[TEXT] for text in (article, other)]
    visitors = [Client(page, verbose=False) for _ in range(4)]
    jobs = [v.submit(**arguments((article, other)[i % 2])) for i, v in enumerate(visitors)]
    assert [j.result(timeout=120)[TEXT] for j in jobs] == alone * 2
    assert alone[0] != alone[1]


def test_model_work_of_two_visitors_never_overlaps():
    """Steps of two runs, pulled at once from many threads: one at a time is in the model."""
    inside, most = [], []

    def steps():
        for i in range(20):
            inside.append(i)
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()
            yield i

    def visit(run):
        while models.burst(run, 0.0):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(visit, [steps() for _ in range(4)]))
    assert len(most) == 80
    assert max(most) == 1


def test_a_burst_holds_what_fits_in_its_time_and_at_least_one_step():
    """No time: one step. Plenty of time: all. Nothing left: empty."""
    run = iter(range(5))
    assert models.burst(run, 0.0) == [0]
    assert models.burst(run, 60.0) == [1, 2, 3, 4]
    assert models.burst(run, 60.0) == []


def test_the_next_run_begins_with_the_threshold_that_the_last_one_left(client, article):
    """The status says both; a threshold of one's own is neither shown nor kept."""
    found = []
    for _ in range(2):
        last = client.predict(**arguments(article, drafter="lookup", lengths="exit"))
        found.append(re.search(r"threshold (\d\.\d\d) at first, now (\d\.\d\d)", last[STATUS]).groups())
    assert found[1][0] == found[0][1]
    assert "threshold" not in client.predict(**arguments(article, lengths="confidence", threshold=0.5))[STATUS]


def test_only_the_run_is_offered_as_an_api(client):
    """Nothing else of the page is callable by name, and the session's state is no parameter."""
    info = client.view_api(return_format="dict", print_info=False)
    assert list(info["named_endpoints"]) == ["/run", "/league", "/lab", "/lab_article"]
    names = [p["parameter_name"] for p in info["named_endpoints"]["/run"]["parameters"]]
    sliders = ["gamma", "temperature", "top_p", "seed", "length"]
    methods = [*(menu.key for menu in MENUS), *(knob.key for knob in KNOBS)]
    assert names == ["article", "drafter", "n", *sliders, "target", *methods]


def test_the_page_sends_less_than_200_kb_of_its_own(page):
    """Page, configuration and theme as they go over the wire, compressed; Gradio's own files are not counted."""
    sent = {}
    for path in ("", "config", "theme.css"):
        request = urllib.request.Request(page + path, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as answer:
            body = answer.read()
            assert answer.headers.get("Content-Encoding") == "gzip" or len(body) < 1000, path
            sent[path] = len(body)
    assert sum(sent.values()) < 200_000, sent
    with urllib.request.urlopen(page) as plain:
        assert b"window.gradio_config" in plain.read()


def test_the_session_holds_nothing_that_was_pasted():
    """What lives on the server between two clicks is one flag."""
    assert list(vars(handlers.Live())) == ["stop"]


def test_the_word_count_tells_how_much_is_read(tiny, article):
    """A short article is read whole; of a long one the count is the session's own."""
    count = handlers.make_count(Targets(tiny))
    assert "reads all of it" in count(article[:100])
    long = (article + " ") * 20
    first, all_ = re.search(r"reads the first (\d+) of ([\d,]+) tokens", plain(count(long))).groups()
    session = tiny.open(long.strip())
    assert (int(first), int(all_.replace(",", ""))) == (
        session.article.tokens,
        session.article.tokens + session.article.cut,
    )
    assert "No words" in count("  ")
    assert "over the limit" in count("a" * 100_001)


def test_the_drafter_menu_groups_ngrams_by_what_they_were_trained_on():
    """Five orders of two kinds are two lines with a slider; the line and the slider name the drafter again."""
    infos = [DrafterInfo("lookup", "lookup", "Lookup", 0)]
    infos += [DrafterInfo(f"ngram:{n}@{v}", "ngram", "x", 9, v) for v in ("distilled", "baseline") for n in range(1, 6)]
    menu = models.choices(infos)
    assert [(c.key, c.has_order) for c in menu] == [
        ("ngram@distilled", True),
        ("ngram@baseline", True),
        ("lookup", False),
    ]
    assert models.spec_of("ngram@baseline", 4) == "ngram:4@baseline"
    assert models.spec_of("lookup", 4) == "lookup"


def test_the_switch_goes_to_the_same_drafter_taught_the_other_way():
    """It follows the menu, moves it within a family, and rests where there is nothing to choose."""
    switch = handlers.VariantSwitch({"ngram@distilled": "distilled", "ngram@baseline": "baseline",
                                     "lstm@baseline": "baseline", "lookup": ""})  # fmt: skip
    assert switch.switched("ngram@distilled", "baseline") == "ngram@baseline"
    assert switch.switched("ngram@baseline", "distilled") == "ngram@distilled"
    assert switch.switched("lstm@baseline", "distilled") == "lstm@baseline"
    assert switch.switched("lookup", "baseline") == "lookup"
    assert switch.of_drafter("ngram@baseline") == gr.update(value="baseline", visible=True)
    assert switch.of_drafter("lstm@baseline") == gr.update(value="baseline", visible=False)
    assert switch.of_drafter("lookup") == gr.update(value=None, visible=False)


def league(target, *asked, live=None) -> list[tuple]:
    """All frames of a league."""

    async def frames():
        return [frame async for frame in league_tab.make_league(Targets(target))(*asked, None, live or handlers.Live())]

    return asyncio.run(frames())


def test_the_league_runs_every_drafter_on_one_text(tiny, article):
    """Greedy with the lookup drafter only (a tiny target has no other): table with a measured row, map of its betas."""
    frames = league(tiny, article, 3, 0, 0)
    status, table, figure = frames[-1]
    assert "1 of 1 drafters have run" in status
    assert "Measured just now" in table
    assert "Lookup" in table
    (heat,) = figure.data
    assert set(heat.z[0]) <= {0.0, 1.0}
    assert len(heat.x) == len(heat.z[0]) == len(figure.layout.xaxis.ticktext)


@pytest.mark.parametrize(
    ("asked", "words"),
    [(("", 3, 0, 0), "empty"), (("text " * 50, None, 0, 0), "Gamma is empty"), (("text " * 50, 3, -1, 0), "emperature"),
     (("text " * 50, 3, 0, -5), "seed")],
)  # fmt: skip
def test_a_league_that_cannot_run_says_why(tiny, asked, words):
    """A sentence, and table and map stay as they were."""
    status, *rest = league(tiny, *asked)[-1]
    assert words in status
    assert rest == [gr.skip(), gr.skip()]


def test_a_league_that_is_stopped_says_after_how_many_drafters(tiny, article, monkeypatch):
    """Stop is seen between two drafters; table and map keep those that have run."""
    live, row, infos = handlers.Live(), league_tab._row, league_tab.available(tiny)
    monkeypatch.setattr(league_tab, "available", lambda _: infos * 3)
    monkeypatch.setattr(league_tab, "_row", lambda *a: (handlers.stop(live), row(*a))[1])
    status, table, figure = league(tiny, article, 3, 0, 0, live=live)[-1]
    assert "Stopped after 1 of 3 drafters." in status
    assert table.count("<tr>") == 2
    assert len(figure.data[0].z) == 1
    assert live.stop is False


def test_the_league_waits_in_the_line_of_the_models(tiny, article, monkeypatch):
    """A full line is told in a sentence, and nothing is computed."""
    full = limits.Line(0, 0)
    monkeypatch.setattr(limits, "line", full)
    monkeypatch.setattr(league_tab, "_plain", lambda *_: pytest.fail("decoded without a turn"))
    assert "visitors are waiting" in league(tiny, article, 3, 0, 0)[-1][0]


def test_the_command_line_takes_its_defaults_from_the_environment(monkeypatch):
    """TARGET and PORT as `make demo` sets them; on a Space the page listens on every address."""
    for name in ("TARGET", "PORT", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert vars(app.parse([])) == {"target": "mini", "engine": None, "port": 7860, "host": "127.0.0.1"}
    monkeypatch.setenv("TARGET", "t5-base")
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert vars(app.parse([])) == {"target": "t5-base", "engine": None, "port": 8123, "host": "0.0.0.0"}
    assert app.parse(["--target", "x", "--port", "1"]).target == "x"


def test_a_target_that_cannot_be_loaded_ends_in_one_sentence(tmp_path):
    """Exit status 2, one line on standard error, no traceback."""
    done = subprocess.run(
        [sys.executable, ROOT / "app.py", "--target", "no such target", "--port", "7860"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert done.stderr.startswith("fastllm: There is no target 'no such target'")
