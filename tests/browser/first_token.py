"""How long it takes from a click on Run to the first token on the page: ``python -m tests.browser.first_token``.

Prints medians and the worst in milliseconds, for the first run of a visit and for a further one, of a target that is
warm. No test: the figure is the machine's, too.
"""

from __future__ import annotations

import argparse
import statistics

from fastllm.ui.layout import build
from fastllm.ui.models import get_target
from fastllm.ui.theme import launch_options
from tests.browser import chromium

# What is awaited, in order: the run is heard of, steps of it are here, a token stands in the stream.
PHASES = ("head", "steps", "token")
_CLICK = """() => new Promise(done => {
  const {store} = document.querySelector('.fl-player'), before = store.run, took = {};
  const began = performance.now();
  const look = () => {
    const now = performance.now() - began;
    const fresh = store.run !== before;
    if (fresh) took.head ??= now;
    if (fresh && store.steps.length) took.steps ??= now;
    if (fresh && document.querySelector('#player .fl-stream .fl-tok')) took.token ??= now;
    if (took.token !== undefined) done(took);
    else setTimeout(look);
  };
  document.querySelector('#run').click();
  look();
})"""
_WHOLE = "document.querySelector('.fl-player').store.complete && !document.querySelector('#run').disabled"


def visit(browser, url: str, target: str) -> list[dict[str, float]]:
    """A first and a further run of one visit: milliseconds from the click to each of `PHASES`."""
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.set_default_timeout(300_000)
    page.goto(f"{url}?target={target}")
    page.wait_for_selector("#run:not(:disabled)")
    page.wait_for_selector("#count [data-example]", state="attached")
    found = []
    for _ in range(2):
        found.append(page.evaluate(_CLICK))
        page.wait_for_function(_WHOLE)
    page.close()
    return found


def report(target: str, visits: list[list[dict[str, float]]]) -> str:
    """A line for each kind of run."""
    lines = []
    for kind, runs in zip(("first run of a visit", "further run"), zip(*visits, strict=True), strict=True):
        phases = ", ".join(f"{p} {statistics.median(r[p] for r in runs):.0f}" for p in PHASES)
        worst = max(r["token"] for r in runs)
        lines.append(f"{target}, {kind}: median {phases} ms; worst {worst:.0f} ms of {len(runs)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["mini"], metavar="TARGET")
    parser.add_argument("--visits", type=int, default=8)
    args = parser.parse_args()
    for target in args.targets:
        page = build(get_target(target))
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        with chromium.browser() as browser:
            visit(browser, url, target)  # warms model and server up
            print(report(target, [visit(browser, url, target) for _ in range(args.visits)]), flush=True)
        page.close()


if __name__ == "__main__":
    main()
