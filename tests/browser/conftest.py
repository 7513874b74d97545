"""One Chromium for all browser tests; they are skipped with a message where there is none."""

from __future__ import annotations

import pytest

from tests.browser import chromium


@pytest.fixture(scope="session")
def browser():
    """A running headless Chromium."""
    pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -r requirements-dev.txt"
    )
    if not chromium.executable():
        pytest.skip("there is no chromium: apt-get install chromium")
    with chromium.browser() as running:
        yield running
