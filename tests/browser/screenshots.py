"""Makes the screenshots in assets/: ``python -m tests.browser.screenshots``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from fastllm.config import ASSETS
from fastllm.ui.layout import build
from fastllm.ui.models import get_target
from fastllm.ui.theme import launch_options
from tests.browser import chromium


@dataclass(frozen=True)
class View:
    """One picture: the size and theme of the page, what its link carries, and whether the inspector is open."""

    name: str
    width: int = 1440
    height: int = 900
    theme: str = "light"
    query: str = ""
    inspect: bool = False


VIEWS = (
    View("light"),
    View("dark", theme="dark"),
    View("phone", 390, 844),
    View("inspector", query="&drafter=ngram@baseline&temperature=0.8&seed=1", inspect=True),
    View("inspector-dark", theme="dark", query="&drafter=ngram@baseline&temperature=0.8&seed=1", inspect=True),
    View("teacher", 1280, 800, query="&view=teacher&drafter=lookup&temperature=0.8&seed=3"),
    View("teacher-phone", 390, 844, query="&view=teacher&drafter=lookup&temperature=0.8&seed=3"),
)


def take(browser, url: str, view: View, topic: str, folder: Path) -> Path:
    """One run in one view, at its last step."""
    page = browser.new_page(viewport={"width": view.width, "height": view.height})
    page.goto(f"{url}?__theme={view.theme}&example={topic}{view.query}")
    page.wait_for_function(
        "topic => document.querySelector('#count [data-example]')?.dataset.example === topic", arg=topic
    )
    page.wait_for_timeout(500)
    page.click("#run")
    page.wait_for_selector(".fl-is-done", timeout=120_000)
    page.wait_for_selector("#timeline .bars path")
    page.click("[data-do=end]")
    if view.inspect:
        page.locator("#player .fl-tok.fl-rejected").first.click()
    page.wait_for_timeout(500)
    file = folder / f"screenshot-{view.name}.png"
    page.screenshot(path=str(file), full_page=view.inspect or view.width < 500)
    page.close()
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="mini")
    parser.add_argument("--topic", default="Sport", help="the example to run")
    parser.add_argument("--folder", type=Path, default=ASSETS)
    args = parser.parse_args()
    page = build(get_target(args.target))
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with chromium.browser() as browser:
        for view in VIEWS:
            print(take(browser, url, view, args.topic, args.folder))
    page.close()


if __name__ == "__main__":
    main()
