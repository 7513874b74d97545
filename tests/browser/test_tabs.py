"""League, Lab, What if and Study in a real headless Chromium, and an exported page opened from disk."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import gradio as gr
import pytest

from fastllm.config import ASSETS, PRESETS
from fastllm.export import to_html
from fastllm.trace import Article, to_json
from fastllm.ui.study import records
from fastllm.ui.study import tab as study_tab
from fastllm.ui.theme import launch_options
from fastllm.ui.watch import recordings
from fastllm.ui.watch.player import to_page
from fastllm.ui.whatif import tab as whatif_tab
from tests.browser import stage
from tests.browser.contrast import CONTRAST, SETTLED
from tests.browser.test_page import set_number
from tests.test_export import hostile
from tests.traces import trace_of

pytestmark = pytest.mark.browser

TEXTS = (
    ".fl-lab-intro p, .fl-lab-intro small, .fl-recorded, .fl-verdict p, .fl-verdict-head, .fl-table th, .fl-table td, "
    ".fl-whatif p, .fl-chart-title, #study-words p, .fl-plot-title"
)


@pytest.fixture
def open_tab(open_page):
    """Opens a page at a tab."""

    def open_(name: str, *size: int):
        page = open_page(*size)
        page.click(f".fl-tabs button[role=tab]:has-text('{name}')")
        return page

    return open_


def sample(page) -> str:
    """Press Sample and read the verdict."""
    page.evaluate("document.querySelector('#lab-status .fl-verdict')?.remove()")
    page.click("#lab-run")
    page.wait_for_selector("#lab-status .fl-verdict")
    return page.inner_text("#lab-status")


def readable(page, selector: str = TEXTS, least: int = 3) -> None:
    """Every text has a contrast of 4.5:1, in light and in dark; the page is left as it was."""
    for theme in ("light", "dark"):
        found = page.evaluate(CONTRAST, selector)
        assert len(found) >= least
        assert [pair for pair in found if pair[1] < 4.5] == [], theme
        page.click(".fl-dark")
        page.wait_for_function(SETTLED)


def test_the_lab_passes_and_fails_as_the_switch_says(open_tab):
    """The rule as it is, then broken: two verdicts, bars drawn, the dashed level, readable text; then a weight that is
    no number: a sentence, and what was typed and the last histogram stay."""
    page = open_tab("Lab")
    assert "No difference found" in sample(page)
    page.wait_for_selector("#lab-histogram .bars path")
    page.click("#lab-fault label:has-text('Skip the residual')")
    said = sample(page)
    assert "They differ" in said
    assert "came out" in said
    page.wait_for_function("document.querySelectorAll('#lab-path .scatterlayer .point').length > 0")
    readable(page)
    page.fill("#lab-p input, #lab-p textarea", "40, many, 15, 12, 5, 3")
    page.click("#lab-run")
    page.wait_for_selector("#lab-status [role=alert]")
    assert "'many' is none" in page.inner_text("#lab-status")
    assert page.input_value("#lab-p input, #lab-p textarea") == "40, many, 15, 12, 5, 3"
    assert page.locator("#lab-histogram .bars path").count() >= 12


def test_the_league_fills_its_table_and_map(open_tab):
    """Every drafter of the target (a tiny one has lookup only) in a row of the table and of the map; readable, and no
    wider than a screen of either size."""
    page = open_tab("League")
    page.click("#league-run")
    page.wait_for_selector("#league-table tbody tr")
    page.wait_for_selector("#league-map .heatmaplayer image")
    assert "Lookup" in page.inner_text("#league-table tbody")
    readable(page, "#league-table th, #league-table td, #league-table caption, .fl-lab-intro p")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    # A setting changes: table and map are dimmed and say so, until it is as it was.
    note = "#league-result .fl-stale-note"
    assert page.locator(note).is_hidden()
    opacity = "id => getComputedStyle(document.querySelector(`${id}.fl-owned`)).opacity < 0.5"
    before = page.input_value("#league-gamma input[type=number]")
    set_number(page, "#league-gamma", "7")
    page.wait_for_selector(note)
    assert "run again" in page.inner_text(note)
    for owned in ("#league-table", "#league-map"):
        page.wait_for_function(opacity, arg=owned)
    set_number(page, "#league-gamma", before)
    page.wait_for_selector(note, state="hidden")
    assert not page.evaluate(opacity, "#league-table")
    set_number(page, "#league-gamma", "7")
    page.wait_for_selector(note)
    page.click("#league-run")
    page.wait_for_selector(note, state="hidden")
    # The status may still be the first run's: the caption is not.
    page.wait_for_selector("#league-table caption:has-text('γ = 7')")


def test_what_if_turns_a_verdict(open_tab, tmp_path):
    """A packaged run, then a trace of one's own: lenience turns the rejection; a forged file is told; all readable."""
    page = open_tab("What if")
    page.click("#whatif-run input")
    sampled = next(r for r in whatif_tab.offered() if recordings.load(r.name).temperature)
    page.click(f"#whatif-run [role=option]:has-text('{sampled.title}')")
    page.wait_for_selector(".fl-whatif")
    file = tmp_path / "mine.json"
    file.write_text(to_json(trace_of(([" a", "~ <b>b</b>"], " c"), ([], "</s>"))))
    with page.expect_file_chooser() as chooser:
        page.click("#whatif-file")
    chooser.value.set_files(str(file))
    page.wait_for_function("document.querySelector('.fl-whatif')?.innerText.includes('<b>b</b>')")
    page.fill("#whatif-lenience input[type=number]", "0.2")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('.fl-whatif')?.innerText.includes('Now accepted')")
    readable(page, least=15)


def test_a_result_of_the_lab_belongs_to_its_settings_and_is_made_again_with_twenty_seeds(open_tab):
    """A caption; dimmed while a setting of its own differs; twenty paths, and their p-values as bars."""
    page = open_tab("Lab")
    assert page.locator("#lab-p-values").count() == 0
    sample(page)
    assert "The rule as it is · γ 2 · 1 token · 3,000 samples by each · seed 0" in page.inner_text(".fl-caption")
    stale = page.locator("#lab-result.fl-stale")
    for weight in ("11", "10"):
        page.fill("#lab-q input, #lab-q textarea", f"20, 35, 10, 5, 20, {weight}")
        page.keyboard.press("Tab")
        stale.wait_for(state="attached" if weight == "11" else "detached")
    page.fill("#lab-gamma input[type=number]", "3")
    page.keyboard.press("Tab")
    stale.wait_for()
    assert "Settings changed: run again." in page.inner_text("#lab-result")
    page.get_by_label("Samples by each").fill("200")
    page.click("#lab-again")
    page.wait_for_function("document.querySelector('#lab-status').innerText.includes('of 20 experiments differ')")
    assert stale.count() == 0
    assert "seeds 1 to 20" in page.inner_text(".fl-caption")
    page.wait_for_function("document.querySelectorAll('#lab-p-values .bars path').length > 0")
    page.wait_for_function("document.querySelectorAll('#lab-path .scatterlayer .trace').length >= 20")


# The texts below 16 px that are seen, with their size; symbols of Gradio's own aside.
SMALL = """() => [...document.querySelectorAll('#fastllm *')]
  .filter(e => e.checkVisibility?.({visibilityProperty: true})
  && !e.closest('.fl-unseen') && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
  && parseFloat(getComputedStyle(e).fontSize) < 16 && e.getBoundingClientRect().height > 2)
  .map(e => [e.textContent.trim().slice(0, 40), getComputedStyle(e).fontSize])"""


def test_the_teacher_view_is_large_on_every_tab_and_shows_what_a_lecture_needs(open_page):
    """16 px and more; drafter, gamma, temperature at hand; after a run speedup and verdict in sight on 1280 x 720."""
    page = open_page(1280, 720, query="&view=teacher")
    page.click("#run")
    page.wait_for_selector(".fl-compare .fl-same")
    page.keyboard.press("End")
    for part in ("#drafter", "#gamma input[type=number]", "#temperature input[type=number]", ".fl-speedup", ".fl-same"):
        page.wait_for_function(
            "part => { const b = document.querySelector(part).getBoundingClientRect();"
            " return b.height > 0 && b.top >= 0 && b.bottom <= innerHeight; }",
            arg=part,
            timeout=5000,
        )
    assert page.evaluate(SMALL) == []
    for name, there in (
        ("League", "#league-run"), ("Lab", "#lab-run"), ("What if", "#whatif-run"), ("Study", "#bench-speed svg"),
    ):  # fmt: skip
        page.click(f".fl-tabs button[role=tab]:has-text('{name}')")
        page.wait_for_selector(there)
        assert page.evaluate(SMALL) == [], name


def test_the_studys_switch_draws_the_other_targets_figures_or_says_that_there_are_none(browser, tmp_path, monkeypatch):
    """mini has a study and a benchmark, smollm2 a benchmark with half of the speed, and no study: after the switch, not
    before, its own words and charts are sent, which follow its own choices, a sentence stands in place of the study,
    and nothing of mini's; and back."""
    written = json.loads((ASSETS / "benchmark.json").read_text(encoding="utf-8"))
    slower = [{**r, "measured_speedup": r["measured_speedup"] and r["measured_speedup"] / 2} for r in written["rows"]]
    for name, value in (
        ("benchmark.json", written),
        ("benchmark-smollm2.json", {**written, "rows": slower, "machine": "a slower machine"}),
        ("study.json", json.loads((ASSETS / "study.json").read_text(encoding="utf-8"))),
    ):
        (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")
    monkeypatch.setattr(records, "of", lambda target, of=records.of: of(target, tmp_path))
    with gr.Blocks() as blocks:
        mini = SimpleNamespace(preset=PRESETS["mini"], sha256=written["target"]["sha256"])
        study_tab.build(SimpleNamespace(targets=SimpleNamespace(first=mini), loaded=gr.State("mini")))
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#bench-speed svg[role=img]")
    own = page.inner_text("#bench-words")
    assert "a slower machine" not in page.inner_text("main")
    assert page.locator("[id$='-smollm2']").count() == 0
    page.click("#study-target label:has-text('smollm2')")
    page.wait_for_selector("#bench-speed-smollm2 svg[role=img]")
    page.wait_for_selector("#study-words", state="hidden")
    page.wait_for_selector("#bench-words", state="hidden")
    other = page.inner_text("#bench-words-smollm2")
    assert other != own
    assert "a slower machine" in page.inner_text("main")
    assert "There is no recorded study of this target" in page.inner_text("main")
    page.click("#bench-t-smollm2 label:has-text('1')")
    page.wait_for_function("old => document.querySelector('#bench-words-smollm2').innerText !== old", arg=other)
    page.click("#study-target label:has-text('mini')")
    page.wait_for_selector("#bench-words-smollm2", state="hidden")
    page.wait_for_selector("#study-words")
    assert page.inner_text("#bench-words") == own
    page.close()
    blocks.close()


def test_the_other_targets_figures_follow_their_own_choices(open_tab):
    """On the whole page, where they are rendered once smollm2 is chosen: temperatures of both halves can be changed."""
    page = open_tab("Study")
    page.click("#study-target label:has-text('smollm2')")
    for words, choice in (("study-words", "study-temperature"), ("bench-words", "bench-t")):
        page.wait_for_selector(f"#{words}-smollm2")
        before = page.inner_text(f"#{words}-smollm2")
        page.click(f"#{choice}-smollm2 label:not(:has(input:checked))", timeout=10_000)
        script = f"old => document.querySelector('#{words}-smollm2').innerText !== old"
        page.wait_for_function(script, arg=before)
    page.click("#study-target label:has-text('mini')")
    page.wait_for_selector("#bench-words")


def test_the_study_says_that_it_is_recorded_and_follows_the_temperature(open_tab):
    """The words, three charts, and other figures at another temperature."""
    page = open_tab("Study")
    page.wait_for_selector("#study-kinds .bars path")
    assert "Recorded, not live" in page.inner_text(".fl-recorded")
    before = page.inner_text("#study-words")
    page.click("#study-temperature label:has-text('0')")
    page.wait_for_function("before => document.querySelector('#study-words').innerText !== before", arg=before)
    assert page.locator("#study-positions svg[role=img]").count() >= 3
    assert page.locator("#bench-speed svg[role=img]").count() >= 3
    names = [
        set(page.locator(f"#{part} figcaption b").all_inner_texts()) for part in ("study-positions", "bench-speed")
    ]
    assert {"Lookup", "LSTM"} <= names[0] & names[1]
    colour = "(part, name) => getComputedStyle([...document.querySelectorAll(`#${part} figcaption b`)]"
    colour += ".find(b => b.innerText === name)).borderLeftColor"
    for name in names[0] & names[1]:
        found = {
            page.evaluate(f"([part, name]) => ({colour})(part, name)", [p, name])
            for p in ("study-positions", "bench-speed")
        }
        assert len(found) == 1
    found = page.evaluate(CONTRAST, ".fl-small b, .fl-small small, .fl-small th, .fl-small td, .fl-as-table summary")
    assert [pair for pair in found if pair[1] < 4.5] == []


def test_a_phone_shows_each_tab_without_scrolling_sideways(open_tab):
    """390 px, one tab after the other."""
    page = open_tab("Lab", 390, 844)
    drawn = {"Lab": "#lab-run", "What if": "#whatif-run", "Study": "#study-kinds .bars path"}
    for name, part in drawn.items():
        page.click(f".fl-tabs button[role=tab]:has-text('{name}')")
        page.wait_for_selector(part)
        wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
        page.wait_for_function(f"{wide} <= 390")


def test_a_page_with_the_player_plays_from_a_file_and_prints_two_sheets(browser, tmp_path):
    """Offline, without any request: played, walked through, readable in the dark; on paper two pages, long runs too."""
    context = browser.new_context(color_scheme="dark", offline=True, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.on("pageerror", lambda e: said.append(str(e)))
    long = Article("The ferry left Port Ellery on Tuesday. " * 400, 20, 0)
    for name, run in (("usual", stage.trace(12)), ("long", stage.trace(150, article=long, text="two tugs " * 150))):
        file = tmp_path / f"{name}.html"
        file.write_text(to_page(run), encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_function("document.querySelector('.fl-player').store?.complete")
        page.keyboard.press("End")
        assert page.locator(".fl-tok[role=button]").count() == 5 * len(run.steps)
        assert page.locator(".printed").first.is_hidden()
        page.keyboard.press("j")
        assert "'ship0', rejected" in page.inner_text(".fl-inspector h3")
        assert page.locator(".fl-files, .fl-ask-what, .fl-export-rejections").filter(visible=True).count() == 0
        found = page.evaluate(CONTRAST, ".fl-tok, .fl-inspector td, .fl-inspector th, .fl-tile dd, h1, dt, dd, p")
        assert [pair for pair in found if pair[1] < 4.5] == []
        pdf = page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 2, name
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 703, "height": 1000})
        assert page.locator(".fl-player").is_hidden()
        assert page.locator(".stream").is_visible()
        cut = page.evaluate("[...document.querySelectorAll('.sheet')].map(e => e.scrollHeight - e.clientHeight)")
        assert max(cut) <= 0, name
        page.emulate_media(media="null")
        page.set_viewport_size({"width": 1280, "height": 800})
    assert asked == [(tmp_path / f"{name}.html").as_uri() for name in ("usual", "long")]
    assert said == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_exported_page_opens_offline_and_runs_nothing(browser, tmp_path, scheme):
    """A hostile run as a file: no script, no request, no element of the attack, readable in light and dark."""
    file = tmp_path / "run.html"
    file.write_text(to_html(hostile()), encoding="utf-8")
    context = browser.new_context(color_scheme=scheme, offline=True, viewport={"width": 390, "height": 844})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.goto(file.as_uri())
    page.wait_for_timeout(300)
    assert asked == [file.as_uri()]
    assert said == []
    assert page.title() != "owned"
    assert page.locator("script, img, svg, iframe, a, form").count() == 0
    assert page.get_by_label("rejected, replaced by").count() == 7
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = page.evaluate(CONTRAST, ".t, p, dt, dd, td, th, h1, h2, .legend li")
    assert [pair for pair in found if pair[1] < 4.5] == []
    context.close()
