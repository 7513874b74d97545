"""Makes the screenshots in assets/: ``python -m tests.browser.screenshots``, or only those named behind it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fastllm.config import ASSETS
from fastllm.ui.layout import build
from fastllm.ui.models import get_target
from fastllm.ui.theme import launch_options
from fastllm.ui.watch import recordings
from fastllm.ui.whatif import tab as whatif_tab
from tests.browser import chromium

TOPIC = "Sport"
SAMPLED = "&drafter=ngram@baseline&temperature=0.8&seed=1"
TEACHER = "&view=teacher&drafter=lookup&temperature=0.8&seed=3"


def watch(page) -> None:
    """A run at its last step."""
    page.wait_for_timeout(500)
    page.click("#run")
    page.wait_for_selector(".fl-is-done")
    page.click("[data-do=end]")


def inspected(page) -> None:
    """A run, and its first rejection in the inspector."""
    watch(page)
    page.locator("#player .fl-tok.fl-rejected").first.click()


def league(page) -> None:
    """Every drafter on the first example."""
    page.click("#league-run")
    page.wait_for_selector("#league-status .fl-is-done")
    page.wait_for_selector("#league-map .heatmaplayer image")


def lab(page) -> None:
    """The rule as it is, 3,000 samples by each."""
    page.click("#lab-run")
    page.wait_for_selector("#lab-status .fl-verdict")
    page.wait_for_function("document.querySelectorAll('#lab-path .scatterlayer .point').length > 1")


def broken(page) -> None:
    """The same without the residual."""
    page.click("#lab-fault label:has-text('Skip the residual')")
    lab(page)


def whatif(page) -> None:
    """A rejection of the sampled recording that a lower lenience turns."""
    page.click("#whatif-run input")
    sampled = next(r for r in whatif_tab.offered() if recordings.load(r.name).temperature)
    page.click(f"#whatif-run [role=option]:has-text('{sampled.title}')")
    page.wait_for_selector(".fl-whatif")
    page.fill("#whatif-lenience input[type=number]", "0.05")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('.fl-whatif')?.innerText.includes('Now accepted')")


def study(page) -> None:
    """The recorded study as it opens."""
    page.wait_for_selector("#study-positions svg[role=img]")


@dataclass(frozen=True)
class View:
    """One picture.

    Attributes:
        name: of its file, after ``screenshot-``.
        tab: the page's tab.
        act: what is done there first.
        width, height, theme: of the page.
        query: what its link carries besides the example.
        full: the whole page, and not only what fits the window.
    """

    name: str
    tab: str = "Watch"
    act: Callable = watch
    width: int = 1440
    height: int = 900
    theme: str = "light"
    query: str = ""
    full: bool = False


def _both(name: str, tab: str, act: Callable, **settings) -> tuple[View, View]:
    """A view in light and in dark."""
    return View(name, tab, act, **settings), View(f"{name}-dark", tab, act, theme="dark", **settings)


VIEWS = (
    View("light"),
    View("dark", theme="dark"),
    View("phone", width=390, height=844, full=True),
    *_both("inspector", "Watch", inspected, query=SAMPLED, full=True),
    View("teacher", width=1280, height=800, query=TEACHER),
    View("teacher-phone", width=390, height=844, query=TEACHER, full=True),
    *_both("league", "League", league, full=True),
    *_both("lab", "Lab", lab),
    *_both("lab-broken", "Lab", broken),
    *_both("whatif", "What if", whatif, height=660),
    *_both("study", "Study", study, full=True),
)


def take(browser, url: str, view: View, folder: Path) -> Path:
    """The view's picture, as a file in `folder`."""
    page = browser.new_page(viewport={"width": view.width, "height": view.height})
    page.set_default_timeout(240_000)
    page.goto(f"{url}?__theme={view.theme}&example={TOPIC}{view.query}")
    page.wait_for_function(
        "topic => document.querySelector('#count [data-example]')?.dataset.example === topic", arg=TOPIC
    )
    page.click(f".fl-tabs button[role=tab]:has-text('{view.tab}')")
    view.act(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(800)
    file = folder / f"screenshot-{view.name}.png"
    page.screenshot(path=str(file), full_page=view.full)
    page.close()
    return file


def main() -> None:
    names = [v.name for v in VIEWS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", nargs="*", metavar="VIEW", help=f"any of {', '.join(names)}; all if none is named")
    parser.add_argument("--target", default="mini")
    parser.add_argument("--folder", type=Path, default=ASSETS)
    parser.add_argument("--phone", action="store_true", help="at 390 pixels, whole pages: to look at, not to keep")
    args = parser.parse_args()
    if unknown := sorted(set(args.views) - set(names)):
        parser.error(f"there is no view {', '.join(unknown)}: choose from {', '.join(names)}")
    page = build(get_target(args.target))
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with chromium.browser() as browser:
        for view in VIEWS:
            if not args.views or view.name in args.views:
                if args.phone:
                    view = replace(view, width=390, height=844, full=True)
                print(take(browser, url, view, args.folder), flush=True)
    page.close()


if __name__ == "__main__":
    main()
