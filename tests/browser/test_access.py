"""The page for everyone: axe-core on every tab, what links carry, what keys reach, targets on a phone."""

from __future__ import annotations

import itertools

import pytest

from fastllm.ui.layout import TABS
from fastllm.ui.watch import recordings
from tests.browser.test_page import TOKENS, run, shown

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def axe():
    """axe-core."""
    package = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -r requirements-dev.txt")
    return package.Axe()


def grave(axe, page) -> list[tuple]:
    """What axe-core calls serious or critical."""
    found = axe.run(page).response["violations"]
    return [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(open_page, axe, theme):
    """Watch after a run, in each of its views and with the further settings open; then the other tabs."""
    page = open_page(theme=theme)
    for name, _ in TABS:
        page.click(f".fl-tabs button[role=tab]:has-text('{name}')")
        page.wait_for_selector(f"h2:has-text('{name}')", state="visible")
        if name == "Watch":
            run(page)
            for view in ("calls", "text"):
                page.click(f".fl-views label:has-text('{view}')")
                assert grave(axe, page) == [], view
            page.click("#more-button")
        assert grave(axe, page) == [], name


def test_a_link_carries_the_tab_the_theme_the_recorded_run_and_its_step(open_page):
    """Each is in the address once it is chosen, and in place when the address is opened, and after a reload."""
    page = open_page()
    page.select_option(".fl-recordings", index=1)
    page.wait_for_selector(".fl-is-recorded")
    page.wait_for_function("document.querySelector('.fl-player').store.complete")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    at = shown(page)
    page.wait_for_function(f"new URLSearchParams(location.search).get('step') === '{at}'")
    page.click(".fl-dark")
    page.click(".fl-tabs button[role=tab]:has-text('What if')")
    page.wait_for_function("new URLSearchParams(location.search).get('tab') === 'what-if'")
    assert f"recorded={recordings.listed()[0].name}" in page.url
    page.reload()
    page.wait_for_selector("button[role=tab][aria-selected=true]:has-text('What if')")
    assert page.evaluate("document.body.classList.contains('dark')")
    page.click(".fl-tabs button[role=tab]:has-text('Watch')")
    page.wait_for_selector(".fl-is-recorded")
    page.wait_for_function(f"document.querySelector('.fl-place').innerText.startsWith('Step {at} ')")
    assert page.locator(TOKENS).count() > 0
    run(page)
    page.wait_for_function("!location.search.includes('recorded') && !location.search.includes('step')")


def test_the_summary_and_the_run_are_reached_by_key(open_page):
    """The first tab stop leads past the settings; the summary takes the focus and has a name; headings are in order."""
    page = open_page()
    run(page)
    first = "document.querySelector('#fastllm :is(a[href], button, input, select, textarea, [tabindex])')"
    page.evaluate(f"{first}.focus()")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the run"
    assert page.locator(".fl-skip").bounding_box()["y"] >= 0
    summary = page.get_by_label("Summary, whole run")
    # Gradio disables the field anew whenever it draws it again.
    page.evaluate("document.querySelector('#summary textarea').disabled = true")
    page.wait_for_selector("#summary textarea:enabled")
    summary.focus()
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    assert summary.input_value()
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].filter(e => e.offsetParent).map(e => Number(e.tagName[1]))"
    )
    assert levels[:2] == [1, 2]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.locator("#status [role=status]").count() == 1


def test_what_is_pressed_on_a_phone_has_24_pixels(open_page):
    """Every button, slider, box and menu that is seen on the Watch tab; exempt is what stands in a line of text, and
    a slider beside the number that sets the same (WCAG 2.5.8)."""
    page = open_page(390, 844)
    run(page)
    small = page.evaluate(
        """() => [...document.querySelectorAll('#fastllm :is(button, summary, select, input, a)')].filter(e => {
          if (e.matches('[tabindex="-1"], [data-testid=range-input]')) return false;
          const box = e.getBoundingClientRect();
          const wide = e.matches('[type=radio], [type=file]') ? 'label' : e.matches('[role=combobox]') ? '.wrap' : null;
          const own = (wide ? e.closest(wide) : e).getBoundingClientRect();
          return e.checkVisibility({visibilityProperty: true, opacityProperty: true}) && box.width > 1
            && !e.closest('.fl-stream, .fl-skip') && (own.width < 24 || own.height < 24);
        }).map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect().width, e.getBoundingClientRect().height])"""
    )
    assert small == [], small
