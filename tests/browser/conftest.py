"""A Chromium and a running page for the browser tests; they are skipped with a message where there is no Chromium."""

from __future__ import annotations

import pytest

from fastllm.ui.layout import build
from fastllm.ui.theme import launch_options
from tests.browser import chromium


@pytest.fixture(scope="module")
def browser():
    """A running headless Chromium.

    One per file, not per session: while it lives, playwright's event loop runs in the main thread, and tests that
    come later could not start one of their own.
    """
    pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -r requirements-dev.txt"
    )
    if not chromium.executable():
        pytest.skip("there is no chromium: apt-get install chromium")
    with chromium.browser() as running:
        yield running


@pytest.fixture(scope="module")
def url(tiny):
    """The running page's address, with its theme and style sheet."""
    page = build(tiny)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield address
    page.close()


class Visitors:
    """Pages of one file's tests, used again and again: one that has shown the program before shows it in a third of the
    time, because its scripts are compiled. A test begins on empty pages; the program keeps nothing in the browser.

    Attributes:
        faults: what the pages have reported since :meth:`leave`.
    """

    def __init__(self, browser) -> None:
        self._browser = browser
        self._pages: list = []
        self._in_use = 0
        self.faults: list[str] = []

    def page(self, width: int, height: int):
        """An empty page of that size that nobody else has in this test."""
        if self._in_use == len(self._pages):
            page = self._browser.new_page()  # in a window of its own: behind another tab it would be slowed down
            page.on("pageerror", lambda error: self.faults.append(str(error)))
            page.on("console", lambda told: self.faults.append(told.text) if told.type == "error" else None)
            self._pages.append(page)
        page = self._pages[self._in_use]
        self._in_use += 1
        page.set_viewport_size({"width": width, "height": height})
        return page

    def leave(self) -> list[str]:
        """Empty the pages of a test, which ends its runs, and hand back what they reported."""
        found = list(self.faults)
        for page in self._pages[: self._in_use]:
            page.mouse.move(0, 0)
            page.goto("about:blank")
        self._in_use = 0
        self.faults.clear()
        return found


@pytest.fixture(scope="module")
def visitors(browser):
    """The pages of a file's tests."""
    return Visitors(browser)


@pytest.fixture
def open_page(visitors, url):
    """Opens pages, and fails the test if any of them reported an error."""

    def open_(width: int = 1440, height: int = 900, theme: str = "light", query: str = "", address: str = url):
        page = visitors.page(width, height)
        page.set_default_timeout(90_000)
        page.goto(f"{address}?__theme={theme}{query}")
        # The page has settled: the article is counted, the settings of the address are in place, what was recorded is
        # told where there is something to tell (an element that is hidden has a textContent only).
        page.wait_for_selector("#count [data-example]", state="attached")
        page.wait_for_selector("#run:not(:disabled)")
        page.wait_for_function(
            "document.querySelector('#more-button').hasAttribute('aria-controls')"
            " && document.querySelector('#expected').textContent.trim()"
        )
        return page

    yield open_
    assert visitors.leave() == []
