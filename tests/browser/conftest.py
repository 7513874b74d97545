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


@pytest.fixture
def open_page(browser, url):
    """Opens pages, and fails the test if any of them reported an error."""
    contexts, faults = [], []

    def open_(width: int = 1440, height: int = 900, theme: str = "light", query: str = "", address: str = url):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
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
    for context in contexts:
        context.close()
    assert faults == []
