"""A Chromium for the browser tests; they are skipped with a message where there is none."""

from __future__ import annotations

import pytest

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
