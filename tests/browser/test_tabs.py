"""League, Lab, What if and Study in a real headless Chromium, and an exported page opened from disk."""

from __future__ import annotations

import pytest

from fastllm.export import to_html
from fastllm.trace import to_json
from fastllm.ui.watch import recordings
from tests.browser.contrast import CONTRAST
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

    def open_(name: str, *size: int, theme: str = "light"):
        page = open_page(*size, theme=theme)
        page.click(f".fl-tabs button[role=tab]:has-text('{name}')")
        return page

    return open_


def sample(page) -> str:
    """Press Sample and read the verdict."""
    page.evaluate("document.querySelector('#lab-status .fl-verdict')?.remove()")
    page.click("#lab-run")
    page.wait_for_selector("#lab-status .fl-verdict")
    return page.inner_text("#lab-status")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_lab_passes_and_fails_as_the_switch_says(open_tab, theme):
    """The rule as it is, then broken: two verdicts, bars drawn, the dashed level, readable text."""
    page = open_tab("Lab", theme=theme)
    assert "No difference found" in sample(page)
    page.wait_for_selector("#lab-histogram .bars path")
    page.click("#lab-fault label:has-text('Skip the residual')")
    said = sample(page)
    assert "They differ" in said
    assert "came out" in said
    page.wait_for_function("document.querySelectorAll('#lab-path .scatterlayer .point').length > 0")
    found = page.evaluate(CONTRAST, TEXTS)
    assert len(found) >= 3
    assert [pair for pair in found if pair[1] < 4.5] == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_the_league_fills_its_table_and_map(open_tab, theme, width):
    """Every drafter of the target (a tiny one has lookup only) in a row of the table and of the map; readable, and no
    wider than the screen."""
    page = open_tab("League", width, 900, theme=theme)
    page.click("#league-run")
    page.wait_for_selector("#league-table tbody tr")
    page.wait_for_selector("#league-map .heatmaplayer image")
    assert "Lookup" in page.inner_text("#league-table tbody")
    found = page.evaluate(CONTRAST, "#league-table th, #league-table td, #league-table caption, .fl-lab-intro p")
    assert len(found) >= 3
    assert [pair for pair in found if pair[1] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_typing_error_in_the_lab_keeps_everything(open_tab):
    """A weight that is no number: a sentence; what was typed and the last histogram stay."""
    page = open_tab("Lab")
    sample(page)
    page.wait_for_selector("#lab-histogram .bars path")
    page.fill("#lab-p input, #lab-p textarea", "40, many, 15, 12, 5, 3")
    page.click("#lab-run")
    page.wait_for_selector("#lab-status [role=alert]")
    assert "'many' is none" in page.inner_text("#lab-status")
    assert page.input_value("#lab-p input, #lab-p textarea") == "40, many, 15, 12, 5, 3"
    assert page.locator("#lab-histogram .bars path").count() >= 12


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_if_turns_a_verdict(open_tab, theme, tmp_path):
    """A packaged run, then a trace of one's own: lenience turns the rejection; a forged file is told; all readable."""
    page = open_tab("What if", theme=theme)
    page.click("#whatif-run input")
    page.click(f"#whatif-run [role=option]:has-text('{recordings.listed()[-1].title}')")
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
    found = page.evaluate(CONTRAST, TEXTS)
    assert len(found) >= 15
    assert [pair for pair in found if pair[1] < 4.5] == []


def test_the_study_says_that_it_is_recorded_and_follows_the_temperature(open_tab):
    """The words, three charts, and other figures at another temperature."""
    page = open_tab("Study")
    page.wait_for_selector("#study-kinds .bars path")
    assert "Recorded, not live" in page.inner_text(".fl-recorded")
    before = page.inner_text("#study-words")
    page.click("#study-temperature label:has-text('0')")
    page.wait_for_function("before => document.querySelector('#study-words').innerText !== before", arg=before)
    assert page.locator("#study-positions .scatterlayer .trace").count() >= 3


@pytest.mark.parametrize("name", ["Lab", "What if", "Study"])
def test_a_phone_shows_each_tab_without_scrolling_sideways(open_tab, name):
    """390 px."""
    page = open_tab(name, 390, 844)
    page.wait_for_timeout(800)
    assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= 390


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
