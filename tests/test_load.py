"""Several visitors at once over a real server: the fast form of tests/load/clients.py, which sends twenty."""

from __future__ import annotations

import time

import pytest

from fastllm.targets.base import TargetSession
from fastllm.ui import limits
from fastllm.ui.layout import build
from fastllm.ui.theme import launch_options
from tests.load.clients import Visit, report, visits


@pytest.fixture
def page(tiny, monkeypatch):
    """The running page; two visitors have a turn at once, and no turn is over before the last visitor has come."""
    monkeypatch.setattr(limits, "line", limits.Line(2, 2))
    score = TargetSession.score
    monkeypatch.setattr(TargetSession, "score", lambda *a: (time.sleep(0.06), score(*a))[1])
    blocks = build(tiny)
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    blocks.close()


def test_everybody_is_served_and_sees_only_their_own(page, capfd):
    """Four at once, two turns: all finish, two were told a place, no frame holds another's word, no log any."""
    found = visits(page, 4, drafter="lookup", gamma=4, length=16)
    assert [v.ended for v in found] == ["Finished"] * 4, found
    assert all(v.own and not v.others for v in found)
    assert sum(bool(v.places) for v in found) == 2
    assert "4 finished" in report(found)
    assert not [v.word for v in found if v.word in "".join(capfd.readouterr())]


def test_who_finds_no_room_is_told_so(page):
    """Six at once, two turns and two places in line: four finish and two read why not."""
    found = visits(page, 6, drafter="lookup", gamma=4, length=16)
    assert sorted(v.ended for v in found) == ["Finished"] * 4 + ["waiting"] * 2
    assert not any(v.others for v in found)


def test_the_report_counts_a_leak_and_a_failure():
    """A frame with another's word and a run that broke off are not called served."""
    good = Visit("Abernyte", "Finished", 9, 0.1, 1.0, (), True, (), "x")
    leak = Visit("Brackwell", "Finished", 9, 0.1, 1.0, (1,), True, ("Abernyte",), "x")
    lost = Visit("Lathom", "ConnectError", 0, 0.0, 2.0, (), False, (), "")
    said = report([good, leak, lost])
    assert "3 clients at once: 2 finished, 0 told why not, 1 neither" in said
    assert "another's word in somebody's frames: 1 clients" in said
