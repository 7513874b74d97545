"""The figures of the recorded benchmark: every number from the rows, nothing invented where there are none."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import gradio as gr

from fastllm.config import ASSETS, PRESETS
from fastllm.ui.study import benchmark_view as view
from fastllm.ui.study import records, tab
from fastllm.ui.study.looks import look_of


def row(drafter: str, gamma: int, temperature: float = 0.0, speed: float = 1.5) -> dict:
    return {
        "drafter": drafter, "gamma": gamma, "temperature": temperature, "articles": 50, "tau": 2.0,
        "measured_speedup": speed, "predicted_speedup": speed + gamma, "speedup_interval": [speed - 0.2, speed + 0.1],
        "positions": [
            {"position": i + 1, "drafted": 30, "tested": 23 - i, "accepted": max(0, 4 - i)} for i in range(gamma)
        ],
    }  # fmt: skip


BENCHMARK = {
    "finished": "2026-11-23T20:00:00", "machine": "2 cores", "commit": "abcdef0123456",
    "rows": [row("lookup", 4, speed=2.5), row("lookup", 2, speed=3.5), row("ngram:3@distilled", 2, speed=0.8),
             row("ngram:3@baseline", 2, speed=0.7), row("lookup", 2, 1.0)],
}  # fmt: skip


def test_a_series_is_one_drafter_by_gamma():
    """Only the temperature asked for, only the variant asked for, and what nothing trained in every variant."""
    found = view.series(BENCHMARK, 0.0, "baseline")
    assert {n: [(r["drafter"], r["gamma"]) for r in rows] for n, rows in found.items()} == {
        "lookup": [("lookup", 2), ("lookup", 4)],
        "ngram:3@baseline": [("ngram:3@baseline", 2)],
    }
    assert view.temperatures(BENCHMARK) == [0.0, 1.0]
    assert view.variants(BENCHMARK) == ["distilled", "baseline"]


def test_a_series_leaves_out_other_rules_and_keeps_made_up_drafters():
    """A lossy or block-judged row would stand for the usual one; drafters of two are shown by their spec."""
    rows = [{**row("lookup", 2, speed=9.0), "rule": "bild"}, row("t5+lookup", 2), row("ngram:2@distilled", 2)]
    found = view.series({"rows": [*BENCHMARK["rows"], *rows]}, 0.0, "distilled")
    assert list(found) == ["lookup", "ngram:3@distilled", "t5+lookup"]
    assert max(r["measured_speedup"] for r in found["lookup"]) == 3.5


def test_a_drafter_has_one_name_and_one_colour():
    """Whatever it was taught by and however the file spells it; families differ in colour."""
    assert look_of("lstm") == look_of("lstm@distilled")
    assert look_of("lstm@baseline").name == "LSTM (baseline)"
    assert look_of("ngram:3").name == look_of("ngram:3@distilled").name == "N-gram, N = 3"
    assert look_of("<b>").name == "<b>"
    families = ["lookup", "lstm", "cnn", "t5", "self", "ngram:1", "ngram:3", "ngram:5"]
    assert len({look_of(f).colour for f in families}) == len(families)
    assert sorted(sorted(families), key=lambda f: look_of(f).order) == families


def panels(html: str) -> list[str]:
    return html.split("<figure")[1:]


def test_the_speed_panels_draw_the_rows():
    """A panel a drafter: measured with its interval, predicted dotted; the same in a table; all to one scale."""
    html = view.speed_html(view.series(BENCHMARK, 0.0, "distilled"))
    lookup, ngram = panels(html)
    assert "<b>Lookup</b><small>3.50× at γ = 2</small>" in lookup
    assert "γ = 2: measured 3.50× (3.30 to 3.60), predicted 5.50×" in lookup
    (ranges,) = re.findall(r'class="range" d="(.*?)"', lookup)
    assert ranges.count("M") == 2
    assert lookup.count('class="beside"') == ngram.count('class="beside"') == 1
    heights = [float(y) for y in re.findall(r'class="point" cx="[\d.]+" cy="([\d.]+)"', html)]
    # From the top: 3.5, 2.5 and 0.8 times on an axis from 0 to 8 over 118 units.
    assert heights == [round(8 + 118 * (1 - x / 8)) for x in (3.5, 2.5, 0.8)]
    assert "<td>3.5× (3.3 to 3.6)</td><td>2.5× (2.3 to 2.6)</td>" in html
    assert "<td>0.8× (0.6 to 0.9)</td><td>–</td>" in html


def test_the_panels_by_place_draw_the_longest_drafts():
    """Refused / tested of the highest gamma with its interval, as the study does; hollow where few were tested."""
    long = {**BENCHMARK, "rows": [*BENCHMARK["rows"], row("lookup", 6)]}
    html = view.position_html(view.series(long, 0.0, "distilled"))
    lookup = panels(html)[0]
    assert "place 1: 19 refused of 23 (83%, 95 % interval" in lookup
    assert lookup.count('class="point"') == 6
    assert 'class="few"' not in lookup
    few = {**row("lookup", 2), "positions": [{"position": 1, "drafted": 3, "tested": 3, "accepted": 1}]}
    assert 'class="few"' in view.position_html({"lookup": [few]})


def test_a_hostile_name_stays_text():
    """In a panel, its label and the table."""
    html = view.speed_html({"<script>": [row("<script>", 2)]})
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 3


def test_the_records_of_each_target_are_found_by_its_name(tmp_path):
    """mini's have no ending, others' end in the name; where there is nothing at all, the page's target is alone."""
    for name in ("benchmark.json", "study-smollm2.json"):
        (tmp_path / name).write_text("{}")
    mini = SimpleNamespace(preset=PRESETS["mini"], sha256="abc")
    found = records.of(mini, tmp_path)
    assert [(r.preset.name, r.sha256, r.there) for r in found] == [("mini", "abc", True), ("smollm2", "", True)]
    assert found[1].benchmark == tmp_path / "benchmark-smollm2.json"
    base = SimpleNamespace(preset=PRESETS["t5-base"], sha256="x")
    assert [r.preset.name for r in records.of(base, tmp_path)] == ["mini", "smollm2"]
    assert [r.preset.name for r in records.of(base, tmp_path / "none")] == ["t5-base"]


def test_the_tab_offers_a_choice_where_figures_of_several_targets_exist(tmp_path, monkeypatch):
    """Both halves of the page's target are there, those of the other are not before it is chosen (tests/browser), and
    share no id with them."""
    text = (ASSETS / "benchmark.json").read_text()
    for name in ("benchmark.json", "benchmark-smollm2.json"):
        (tmp_path / name).write_text(text)
    mini = SimpleNamespace(preset=PRESETS["mini"], sha256="another")
    monkeypatch.setattr(records, "of", lambda target, of=records.of: of(target, tmp_path))
    with gr.Blocks() as page:
        tab.build(SimpleNamespace(targets=SimpleNamespace(first=mini), loaded=gr.State("mini")))
    ids = [b.elem_id for b in page.blocks.values() if getattr(b, "elem_id", None)]
    assert {"bench-speed", "study-target"} <= set(ids)
    assert not any(i.endswith("-smollm2") for i in ids)
    said = str([b.value for b in page.blocks.values() if isinstance(b, gr.HTML)])
    assert "Nothing was recorded with this page" not in said
    with gr.Blocks() as other:
        tab.halves(records.of(mini)[1], "-smollm2")
    more = [b.elem_id for b in other.blocks.values() if getattr(b, "elem_id", None)]
    assert "bench-speed-smollm2" in more
    assert len(ids + more) == len({*ids, *more})


def test_the_words_name_the_fastest_and_the_slow():
    """What was measured against what the theorem would choose."""
    text = view.words(view.series(BENCHMARK, 0.0, "distilled"))
    assert text == (
        "Fastest: Lookup at γ = 2, 3.50× plain decoding; Theorem 3.8 would choose γ = 4, which is 2.50×. "
        "Slower than plain decoding at every γ: N-gram, N = 3."
    )


def test_nothing_recorded_is_said():
    """No traceback and no empty figure without a word."""
    for words in (view.words({}), view.speed_html({}), view.position_html({})):
        assert "Nothing was recorded for this choice." in words


def test_the_packaged_benchmark_has_every_figure():
    """Whatever temperature and variant a visitor chooses, there is a line to see, and an escaped header."""
    benchmark = json.loads((ASSETS / "benchmark.json").read_text())
    for temperature in view.temperatures(benchmark):
        for variant in view.variants(benchmark):
            found = view.series(benchmark, temperature, variant)
            assert "lookup" in found
            assert 2 <= len(panels(view.speed_html(found))) <= len(found)
            assert len(panels(view.position_html(found))) == len(found)
    assert "<script>" not in view.header_html({**benchmark, "machine": "<script>"})
