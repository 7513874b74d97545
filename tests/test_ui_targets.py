"""The Target menu: what is here is offered, what is not says how to be had."""

from __future__ import annotations

import dataclasses
import json
import re
from html import unescape
from types import SimpleNamespace

import gradio as gr
import pytest

from fastllm.config import preset_for
from fastllm.targets import sources
from fastllm.targets.load import load_target
from fastllm.ui import models, stage, targets
from fastllm.ui.watch import handlers
from tests.tiny_models import make_causal


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without hub files and without the package."""
    monkeypatch.setenv("FASTLLM_CACHE", str(tmp_path))
    monkeypatch.setattr(sources, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(sources, "package_file", lambda _: None)
    loaded = {}
    monkeypatch.setattr(models, "get_target", lambda name: loaded.setdefault(name, load_target(name)))
    return tmp_path


def test_only_what_is_here_is_offered(bare):
    """`mini` lies in the repository; everything else says what to do."""
    assert [o.name for o in targets.offers(preset_for("mini")) if o.here] == ["mini"]
    rest = {o.name: o.how for o in targets.offers(preset_for("mini")) if not o.here}
    assert "make lm" in rest["smollm2"]
    assert all("hub" in how for how in rest.values())


def test_a_model_that_comes_while_the_page_is_up_is_offered(bare):
    """`make demo` fetches it in the background."""
    make_causal(bare / "models" / "smollm2")
    assert [o.name for o in targets.offers(preset_for("mini")) if o.here] == ["mini", "smollm2"]


def test_the_target_that_the_page_was_started_with_comes_first(bare):
    """A folder, too."""
    folder = make_causal(bare / "own")
    assert [o.name for o in targets.offers(preset_for(str(folder))) if o.here] == [str(folder), "mini"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("smollm2", "make lm"), ("t5-base", "hub"), ("x", "no target 'x'"), (7, "no target")],
)
def test_what_is_not_in_the_menu_is_refused_in_a_sentence(bare, tiny, name, words):
    """A link or a call of the API may name anything; the menu goes back to what it showed."""
    page = targets.Targets(tiny)
    with pytest.raises(ValueError, match=words):
        page.of(name)
    menu, shown, said = list(stage.chosen(page, name, page.name))[-1]
    assert menu["value"] == page.name
    assert shown == gr.skip()
    assert re.search(words, unescape(said))


def test_a_chosen_target_is_loaded_once_and_shown(bare, tiny):
    """While it loads the page says so; the second choice finds it there; no value means the first one."""
    make_causal(bare / "models" / "smollm2")
    page = targets.Targets(tiny)
    frames = list(stage.chosen(page, "smollm2", page.name))
    assert "being loaded" in frames[0][2]
    assert frames[-1][1:] == ("smollm2", "")
    assert [f[1] for f in stage.chosen(page, "smollm2", page.name)] == ["smollm2"]
    assert page.of("smollm2") is page.of("smollm2")
    assert page.of(None) is tiny


def test_what_a_target_leaves_out_is_told_on_the_page(bare, tiny):
    """Its notes stand under the menu once it is loaded."""
    folder = make_causal(bare / "models" / "smollm2")
    (folder / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.8}))
    said = list(stage.chosen(targets.Targets(tiny), "smollm2", "x"))[-1][2]
    assert "repetition_penalty" in said
    assert 'role="note"' in said


def test_the_page_follows_the_target(bare, tiny):
    """Its drafters, and its length limit unless the visitor has set one."""
    make_causal(bare / "models" / "smollm2")
    follow = handlers.make_follow(targets.Targets(tiny), ["good", "bad"])
    usual = tiny.preset.max_new_tokens
    drafter, _, _, length, now, good, bad = follow("smollm2", "no such drafter", usual, usual)
    assert f'value="{drafter["value"]}"' in drafter["markup"]
    # Its lessons, where it has their drafters.
    assert (good["visible"], bad["visible"]) == (True, True)
    assert length == now == targets.Targets(tiny).of("smollm2").preset.max_new_tokens
    kept = follow("smollm2", drafter["value"], 40, usual)
    assert kept[0]["value"] == drafter["value"]
    assert kept[3] == gr.skip()


@pytest.mark.parametrize(("named", "kept"), [({"length": "24"}, True), ({}, False)])
def test_a_links_length_limit_outlives_the_target_that_it_names(bare, tiny, named, kept):
    """Though it is the one that the page began with; where the link names none, the new target's own comes."""
    make_causal(bare / "models" / "smollm2")
    first = tiny.with_preset(dataclasses.replace(tiny.preset, max_new_tokens=24))
    page = targets.Targets(first)
    request = SimpleNamespace(query_params={"target": "smollm2", **named})
    target, *_, before, _, _ = handlers.make_restore(page)(request)
    usual = first.preset.max_new_tokens if before == gr.skip() else before
    length = handlers.make_follow(page, [])(target, "ngram", 24, usual)[3]
    assert length == (gr.skip() if kept else page.of("smollm2").preset.max_new_tokens)
    assert page.of("smollm2").preset.max_new_tokens != 24


def test_a_link_to_a_target_that_cannot_be_loaded_leaves_the_page_at_work(bare, monkeypatch):
    """Its weights are damaged: the link's other settings hold, the reason is told, and Run can be pressed."""
    make_causal(bare / "models" / "smollm2")
    (bare / "models" / "smollm2" / "model.safetensors").write_bytes(b"")
    page = targets.Targets(load_target("mini"))
    request = SimpleNamespace(query_params={"target": "smollm2", "gamma": "7"})
    target, *values, notices, run = handlers.make_restore(page)(request)
    assert target == gr.skip()
    assert 7 in [v for v in values if isinstance(v, int)]
    assert "is empty: fetch it again" in notices
    assert run["interactive"] is True
