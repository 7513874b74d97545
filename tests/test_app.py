"""The page as `gradio_client` drives it: a real server, a tiny target, and every answer that a visitor may get."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from fastllm.config import Sampling, Settings
from fastllm.decode import autoregressive
from fastllm.drafters import DrafterInfo
from fastllm.ui import handlers, models
from fastllm.ui.layout import build

ROOT = Path(__file__).resolve().parent.parent
NOTICES, STATUS, STREAM, TEXT, FIGURES, COMPARE, CHART = range(7)


@pytest.fixture(scope="module")
def page(tiny):
    """The running page's address."""
    blocks = build(tiny)
    _, url, _ = blocks.launch(server_port=None, prevent_thread_lock=True, quiet=True, run_history=False, ssr_mode=False)
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
        "pace": 0,
    }
    return values | changes | {"api_name": "/run"}


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html)).strip()


def statuses(html: str) -> list[str]:
    return re.findall(r'class="fl-tok fl-(\w+)" role', html)


def test_a_greedy_run_gives_the_targets_own_text(client, tiny, article):
    """The summary is what plain decoding writes; the page certifies it and shows every kind of figure."""
    settings = Settings(4, Sampling(0.0, 0, 1.0, tiny.preset.no_repeat_ngram_size), 0, 24, top=0)
    ids = [t for step in autoregressive(tiny.open(article), settings) for t in step.tokens]
    *_, last = frames = list(client.submit(**arguments(article)))
    assert last[TEXT] == tiny.text(ids)
    assert "Finished:" in last[STATUS]
    assert f"all {len(ids)} tokens are the same" in last[COMPARE]
    assert re.search(r"<b>\d+\.\d\d×</b>", last[COMPARE])
    kept = [s for s in statuses(last[STREAM]) if s not in ("rejected", "ignored")]
    assert len(kept) == len(ids)
    calls = re.search(r"(\d+) target calls?;", last[STATUS])[1]
    assert f"Target calls {calls} plain decoding needs {len(ids)}" in plain(last[FIGURES])
    assert last[CHART]["type"] == "plotly"
    assert len(frames) > 1


def test_a_paced_run_shows_every_step_and_the_pace_is_in_no_timing(client, article):
    """One more target call a frame; the measured time stays under half of the pauses alone."""
    frames = [f for f in client.submit(**arguments(article, pace=0.6, length=8)) if "Speculative decoding" in f[STATUS]]
    calls = [int(re.search(r"in (\d+) target", f[STATUS])[1]) for f in frames]
    assert calls == list(range(1, len(calls) + 1))
    assert len(calls) >= 3
    number, unit = re.search(r"([\d.]+) (ms|s) in all", plain(frames[-1][FIGURES])).groups()
    assert float(number) * (1e-3 if unit == "ms" else 1) < 0.3 * (len(calls) - 1)


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
    for kept in (STREAM, TEXT, FIGURES, COMPARE, CHART):
        assert last[kept]["__type__"] == "update"
        assert "value" not in last[kept]


@pytest.mark.parametrize(
    ("name", "value"), [("gamma", 99), ("temperature", -1), ("length", 100_000), ("seed", -5), ("drafter", "lstm")]
)
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
    assert not re.search(r"<script|<img|\x1b|\u202e", last[STREAM] + last[NOTICES] + last[COMPARE])


def test_stop_ends_a_paced_run_within_a_step_and_keeps_what_was_shown(tiny, article):
    """Stop during a long pause: the next frame is the last, says `stopped`, and holds the steps that were shown."""
    live = handlers.Live()
    values = arguments(article, pace=2.0)
    values.pop("api_name")

    async def drive() -> tuple[list[tuple], float]:
        shown, pressed = [], 0.0
        async for frame in handlers.make_run(tiny)(*values.values(), live):
            shown.append(frame)
            if len(shown) == 3:
                handlers.stop(live)
                pressed = time.perf_counter()
        return shown, time.perf_counter() - pressed

    shown, waited = asyncio.run(drive())
    assert len(shown) == 4
    assert waited < 1.5
    assert "Stopped:" in shown[-1][STATUS]
    assert "fl-is-stopped" in shown[-1][STATUS]
    assert statuses(shown[-1][STREAM]) == statuses(shown[-2][STREAM]) != []
    assert shown[-1][TEXT] == shown[-2][TEXT]
    assert "nothing to compare" in shown[-1][COMPARE]
    assert not live.stop


def test_a_closed_run_leaves_the_model_free(tiny, article):
    """A visitor who leaves in the middle: the lock is open and the next run gives the whole text."""
    values = arguments(article)
    values.pop("api_name")

    async def leave() -> None:
        run = handlers.make_run(tiny)(*values.values(), handlers.Live())
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
        return [frame async for frame in handlers.make_run(tiny)(*values.values(), live or handlers.Live())][-1]

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
    jobs = [v.submit(**arguments((article, other)[i % 2], pace=0.05)) for i, v in enumerate(visitors)]
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


def test_only_the_run_is_offered_as_an_api(client):
    """Nothing else of the page is callable by name, and the session's state is no parameter."""
    info = client.view_api(return_format="dict", print_info=False)
    assert list(info["named_endpoints"]) == ["/run"]
    names = [p["parameter_name"] for p in info["named_endpoints"]["/run"]["parameters"]]
    assert names == ["article", "drafter", "n", "gamma", "temperature", "top_p", "seed", "length", "pace"]


def test_the_session_holds_nothing_that_was_pasted():
    """What lives on the server between two clicks is one flag."""
    assert list(vars(handlers.Live())) == ["stop"]


def test_the_word_count_tells_how_much_is_read(tiny, article):
    """A short article is read whole; of a long one the count is the session's own."""
    count = handlers.make_count(tiny)
    assert "reads all of it" in count(article[:100])
    long = (article + " ") * 20
    first, rest = re.search(r"reads the first (\d+), .*; ([\d,]+) are not", plain(count(long))).groups()
    session = tiny.open(long.strip())
    assert (int(first), int(rest.replace(",", ""))) == (session.article.tokens, session.article.cut)
    assert "No words" in count("  ")
    assert "over the limit" in count("a" * 100_001)


def test_the_drafter_menu_groups_ngrams_by_what_they_were_trained_on():
    """Five orders of two kinds are two lines with a slider; the line and the slider name the drafter again."""
    infos = [DrafterInfo("lookup", "lookup", "Lookup", 0)]
    infos += [DrafterInfo(f"ngram:{n}@{v}", "ngram", "x", 9) for v in ("distilled", "baseline") for n in range(1, 6)]
    menu = models.choices(infos)
    assert [(c.key, c.has_order) for c in menu] == [
        ("ngram@distilled", True),
        ("ngram@baseline", True),
        ("lookup", False),
    ]
    assert models.spec_of("ngram@baseline", 4) == "ngram:4@baseline"
    assert models.spec_of("lookup", 4) == "lookup"


def test_the_command_line_takes_its_defaults_from_the_environment(monkeypatch):
    """TARGET and PORT as `make demo` sets them; on a Space the page listens on every address."""
    for name in ("TARGET", "PORT", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert vars(app.parse([])) == {"target": "mini", "port": 7860, "host": "127.0.0.1"}
    monkeypatch.setenv("TARGET", "t5-base")
    monkeypatch.setenv("PORT", "8123")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert vars(app.parse([])) == {"target": "t5-base", "port": 8123, "host": "0.0.0.0"}
    assert app.parse(["--target", "x", "--port", "1"]).target == "x"


def test_a_target_that_cannot_be_loaded_ends_in_one_sentence(tmp_path):
    """Exit status 2, one line on standard error, no traceback."""
    done = subprocess.run(
        [sys.executable, ROOT / "app.py", "--target", "no such target"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert done.stderr.startswith("fastllm: There is no target 'no such target'")
