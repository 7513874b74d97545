"""What a visitor may take: the clock, the line, the lent GPU, and what the page does at each limit."""

from __future__ import annotations

import asyncio
import pickle
import re

import pytest

import app
from fastllm.ui import limits, models
from fastllm.ui.targets import Targets
from fastllm.ui.theme import launch_options
from fastllm.ui.watch import handlers
from tests.test_app import COMPARE, NOTICES, STATUS, TEXT, arguments, last_frame, told


@pytest.fixture
def line(monkeypatch):
    """A line with one turn at a time and room for two."""
    short = limits.Line(1, 2)
    monkeypatch.setattr(limits, "line", short)
    return short


def test_turns_go_in_the_order_of_arrival(line):
    """One has a turn, two wait with their numbers, a fourth is turned away; whoever leaves lets the next one in."""
    for ticket in "abc":
        line.enter(ticket)
    assert [line.place(t) for t in "abc"] == [0, 1, 2]
    with pytest.raises(limits.LineFull, match="2 visitors are waiting for their turn already"):
        line.enter("d")
    line.leave("a")
    line.leave("a")
    assert [line.place(t) for t in "bc"] == [0, 1]


def test_a_waiting_visitor_is_told_the_place_and_served_in_turn(line):
    """The second run waits while the first has its turn; its frames come after, and the line is empty at the end."""

    async def frames(name):
        for i in range(3):
            await asyncio.sleep(0.15)
            yield (name, i)

    async def visit(name):
        return [f async for f in limits.in_turn(frames(name), lambda s: (s,), lambda: False)]

    async def both():
        return await asyncio.gather(visit("a"), visit("b"))

    first, second = asyncio.run(both())
    assert first == [("a", 0), ("a", 1), ("a", 2)]
    assert second == [("Waiting for a turn: number 1 in line, 1 runs are under way.",), ("b", 0), ("b", 1), ("b", 2)]
    line.enter("c")
    assert line.place("c") == 0


def test_stop_in_line_ends_the_wait(line, tiny, article):
    """Stop before the turn came: said so, nothing computed, the place given back."""
    line.enter("somebody")
    live = handlers.Live()
    values = arguments(article)
    values.pop("api_name")

    async def drive():
        shown = []
        async for frame in handlers.make_run(Targets(tiny))(*values.values(), live):
            shown.append(frame)
            handlers.stop(live)
        return shown

    waited, stopped = asyncio.run(drive())
    assert "number 1 in line" in waited[STATUS]
    assert "Stopped before the run began." in stopped[STATUS]
    line.leave("somebody")
    line.enter("c")
    assert line.place("c") == 0


def test_a_full_line_is_told_in_a_sentence(line, tiny, article):
    """No room to wait: an error on the page, nothing lost."""
    for ticket in "abc":
        line.enter(ticket)
    last = last_frame(tiny, **arguments(article))
    assert "2 visitors are waiting for their turn already: try again in a minute." in last[NOTICES]
    assert 'role="alert"' in last[NOTICES]


def test_the_time_limit_ends_a_run_and_keeps_what_there_is(tiny, article, monkeypatch):
    """After the first burst the time is over: the steps so far stay, and a sentence says what to do."""
    monkeypatch.setattr(handlers, "BURST", 0.0)
    monkeypatch.setenv("MAX_SECONDS", "1")
    slow = models.burst

    def burst(steps, at_most):
        limits.time.sleep(1.1)
        return slow(steps, at_most)

    monkeypatch.setattr(models, "burst", burst)
    last = last_frame(tiny, **arguments(article))
    assert "Ended after 1 s, the limit of one run" in last[NOTICES]
    assert "in 1 target call, and 0 tokens of plain decoding done" in last[NOTICES]
    assert len(told(last)["steps"]) == 1
    assert "nothing to compare" in last[COMPARE]
    monkeypatch.undo()
    monkeypatch.setenv("MAX_SECONDS", "60")
    assert "limit" not in last_frame(tiny, **arguments(article))[NOTICES]


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan"])
def test_a_limit_that_is_no_number_is_refused_at_the_start(value, monkeypatch, capsys):
    """The program ends with one sentence before anything is loaded."""
    monkeypatch.setenv("MAX_SECONDS", value)
    monkeypatch.setattr(app, "get_target", lambda _: pytest.fail("loaded a target"))
    assert app.main([]) == 2
    assert capsys.readouterr().err == f"fastllm: MAX_SECONDS must be a number of seconds above 0, not '{value}'.\n"


def test_a_lent_gpu_gets_plain_data_and_gives_the_same_run(tiny, article, monkeypatch):
    """As on ZeroGPU: every argument and every step crosses a process border, and no model is used outside the lease."""
    here = {"lease": False, "used": 0}
    real = tiny.open

    def opened(text):
        assert here["lease"], "the target was used outside the lease"
        here["used"] += 1
        return real(text)

    def gpu(task):
        def wrapped(*arguments):
            here["lease"] = True
            try:
                for step in task(*pickle.loads(pickle.dumps(arguments))):
                    yield pickle.loads(pickle.dumps(step))
            finally:
                here["lease"] = False

        return wrapped

    alone = last_frame(tiny, **arguments(article, temperature=1, seed=5))
    monkeypatch.setattr(models, "get_target", lambda name: tiny)
    monkeypatch.setattr(tiny, "open", opened, raising=False)
    try:
        assert models.lend(gpu)
        assert models.leased()
        lent = last_frame(tiny, **arguments(article, temperature=1, seed=5))
        empty = last_frame(tiny, **arguments("\u200b"))
    finally:
        models.lend(lambda task: task)
    assert not models.leased()
    assert here["used"] == 2
    assert (lent[TEXT], "Finished" in lent[STATUS]) == (alone[TEXT], True)
    assert "fl-is-done" in empty[STATUS] or "empty" in empty[NOTICES]


def test_nothing_that_visitors_paste_is_kept():
    """No run history in the browser or elsewhere, no log of articles, uploads bounded, few sessions in memory."""
    options = launch_options()
    assert options["run_history"] is False
    assert options["max_file_size"] == 8_000_000
    assert options["state_session_capacity"] == limits.SESSIONS


def test_a_failing_run_leaves_no_article_in_the_log(tiny, article, monkeypatch, caplog):
    """The traceback of a fault goes to the log, the pasted text does not."""

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(models, "open_session", fail)
    last_frame(tiny, **arguments("A secret of the harbour master. " * 9))
    assert "out of memory" in caplog.text
    assert not re.search("secret|harbour", caplog.text)
