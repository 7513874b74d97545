"""The grid of what a target leaves out to draft for itself, as it was recorded."""

from __future__ import annotations

import json
import re

import gradio as gr
import pytest

from fastllm.config import CHECKPOINTS
from fastllm.ui.study import records, skip_tab, skip_view


@pytest.mark.parametrize("name", ["mini", "smollm2"])
def test_the_grid_shows_each_sublayer_and_which_are_left_out(name):
    """As many hollow cells as skip.json names; a cell for every one that was measured; the figures are the record's."""
    folder = CHECKPOINTS / name / "self"
    found = skip_view.recorded(folder)
    record = json.loads((folder / "record.json").read_text())
    html = skip_view.grid_html(found)
    skip = json.loads((folder / "skip.json").read_text())["skip"]
    assert html.count("fl-left-out") == sum(map(len, skip.values())) == record["skipped"]
    assert len(re.findall(r"\d%", html)) == record["sublayers"] == sum(map(len, record["agreement_alone"].values()))
    assert html.count("must stay") == (name == "mini")
    assert f"{record['predicted_speedup']:.2f}×" in skip_view.words(found)


def test_what_is_not_whole_is_not_shown(tmp_path, tiny):
    """No file, a damaged one, a record of another set: nothing is drawn."""
    source = CHECKPOINTS / "mini" / "self"
    assert skip_view.recorded(tmp_path) == skip_view.recorded(None) == {}
    (tmp_path / "skip.json").write_text((source / "skip.json").read_text())
    assert skip_view.recorded(tmp_path) == {}
    record = json.loads((source / "record.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps({**record, "target_sha256": "0" * 64}))
    assert skip_view.recorded(tmp_path) == {}
    here = records.Records(tiny.preset, tiny.sha256, tmp_path / "study.json", tmp_path / "benchmark.json")
    with gr.Blocks() as page:
        skip_tab.build(here, tmp_path)
        assert not page.blocks.keys() - {page._id}
        skip_tab.build(here, source)
    said = " ".join(str(c.value) for c in page.blocks.values() if isinstance(c, gr.HTML))
    assert "other weights of this target" in said
    assert "layer 6" in said
