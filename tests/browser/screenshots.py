"""Makes the screenshots in assets/: ``python -m tests.browser.screenshots``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastllm.config import ASSETS
from fastllm.ui.layout import build
from fastllm.ui.models import get_target
from fastllm.ui.theme import launch_options
from tests.browser import chromium

VIEWS = (("light", 1440, 900, "light"), ("dark", 1440, 900, "dark"), ("phone", 390, 844, "light"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="mini")
    parser.add_argument("--topic", default="Sport", help="the example to run")
    parser.add_argument("--folder", type=Path, default=ASSETS)
    args = parser.parse_args()
    page = build(get_target(args.target))
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with chromium.browser() as browser:
        for name, width, height, mode in VIEWS:
            view = browser.new_page(viewport={"width": width, "height": height})
            view.goto(f"{url}?__theme={mode}")
            view.click(f"#examples button:has-text('{args.topic}')")
            view.fill("#pace input[type=number]", "0")
            view.keyboard.press("Tab")
            view.wait_for_timeout(1000)
            view.click("#run")
            view.wait_for_selector(".fl-is-done", timeout=120_000)
            view.wait_for_selector("#chart .bars path")
            view.wait_for_timeout(500)
            file = args.folder / f"screenshot-{name}.png"
            view.screenshot(path=str(file), full_page=name == "phone")
            print(file)
    page.close()


if __name__ == "__main__":
    main()
