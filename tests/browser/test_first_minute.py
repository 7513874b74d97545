"""The first minute with the embedded target: what is in sight, what is chosen, what the two lessons show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastllm.ui.layout import build
from fastllm.ui.models import get_target
from fastllm.ui.theme import launch_options
from tests.browser.test_page import TOKENS, run, set_number

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]

SIZES = [(1280, 720), (1366, 650), (1440, 900), (1920, 1080), (390, 844)]
# What is left of 1280 x 720 and of 1440 x 900 at 200 %.
ZOOMED = [(640, 360), (720, 450)]


@pytest.fixture(scope="module")
def url():
    """The page as visitors get it: with the embedded target, its drafters and its lessons."""
    page = build(get_target("mini"))
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield address
    page.close()


def in_sight(page, *parts: str) -> None:
    """Each part lies within the window, as the page stands when nobody has scrolled."""
    assert page.evaluate("scrollY") == 0
    size = page.viewport_size
    for part in parts:
        box = page.locator(part).first.bounding_box()
        assert box, part
        assert 0 <= box["x"] <= box["x"] + box["width"] <= size["width"], part
        assert 0 <= box["y"] <= box["y"] + box["height"] <= size["height"], (part, box, size)


def reject(page) -> int:
    return page.locator(f"{TOKENS}.fl-rejected").count()


def sizes(page, wanted=SIZES):
    """The page at one size after the other, each time laid out anew."""
    for width, height in wanted:
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.evaluate("scrollTo(0, 0)")
        yield width


def test_run_and_the_whole_stream_are_in_sight_before_during_and_after_a_run(open_page):
    """Without scrolling, on five sizes, with the controls that are chosen before a run; the figures too once there are
    some."""
    page = open_page()
    chosen = ["#article textarea", "#run", "#stop", "#drafter", "#gamma", "#more-button"]
    for _ in sizes(page):
        in_sight(page, *chosen, "#intro", ".fl-transport")
    page.click("#run")
    page.wait_for_selector(TOKENS)
    page.click("[data-do=play]")  # a paused playback stays in the middle of the run
    for _ in sizes(page):
        in_sight(page, *chosen, "#status", ".fl-stream-box", ".fl-transport")
    page.wait_for_selector(".fl-is-done")
    page.wait_for_function("document.querySelector('.fl-player').store.complete")
    page.click("[data-do=end]")
    assert page.locator(TOKENS).count() > 20
    for width in sizes(page):
        in_sight(page, *chosen, "#status", ".fl-stream-box", ".fl-transport", ".fl-tiles")
        assert page.locator(".fl-stream-box").evaluate("e => e.scrollHeight <= e.clientHeight + 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Whose result it is can be read, and a row of cards that goes on says so.
        banner = page.locator(".fl-banner")
        assert re.search(r"target mini, drafter lstm@distilled, γ 8", banner.inner_text())
        assert banner.bounding_box()["width"] > 330
        row = page.locator(".fl-card-row")
        goes_on = row.evaluate("e => e.scrollWidth > e.clientWidth + 3")
        assert row.evaluate("e => e.matches('.fl-before, .fl-after')") == goes_on


def test_at_200_percent_run_and_the_stream_are_in_sight_before_during_and_after_a_run(open_page):
    """A zoomed window is one of half as many pixels each way: without scrolling Run, what is chosen, the drafter that
    is, and the lines of the stream that are being written; nothing is cut off at the side."""
    page = open_page(*ZOOMED[0])
    chosen = ["#article textarea", "#run", "#stop", "#drafter", ".fl-card:has(:checked)", "#gamma", "#more-button"]
    for _ in sizes(page, ZOOMED):
        in_sight(page, *chosen, "#status", ".fl-intro")
    page.click("#run")
    page.wait_for_selector(TOKENS)
    page.click("[data-do=play]")
    for _ in sizes(page, ZOOMED):
        in_sight(page, *chosen, "#status", ".fl-stream-box", ".fl-views")
    page.wait_for_function("document.querySelector('.fl-player').store.complete")
    page.click("[data-do=end]")
    for width in sizes(page, ZOOMED):
        in_sight(page, *chosen, "#status", ".fl-stream-box", ".fl-now .fl-step")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_only_target_drafter_and_gamma_are_in_sight_until_more_is_asked_for(open_page):
    """Seven settings are folded away, counted all the same, and shown over the stream, which stays where it is: until
    they are folded again, by the button, by Escape or by Run."""
    page = open_page(1366, 650)
    folded = ["#temperature", "#top-p", "#length", "#seed"]
    assert all(page.locator(name).is_hidden() for name in folded)
    before = page.locator("#status").bounding_box()
    page.click("#more-button")
    in_sight(page, *folded)
    assert page.get_attribute("#more-button", "aria-expanded") == "true"
    assert page.locator("#status").bounding_box() == before
    page.keyboard.press("Escape")
    assert page.locator("#seed").is_hidden()
    page.click("#more-button")
    page.click("#more-button")
    assert page.locator("#seed").is_hidden()
    page.click("#more-button")
    page.click("#run")
    assert page.locator("#seed").is_hidden()
    assert page.get_attribute("#more-button", "aria-expanded") == "false"
    assert page.get_attribute("#more-button", "data-changed") is None


@pytest.mark.parametrize(("width", "height"), [(1366, 650), (390, 844)])
def test_a_link_that_sets_what_is_folded_away_covers_nothing(open_page, width, height):
    """Temperature and seed are in place and counted on the button, the stream and the player's buttons are free, with
    and without the view for teachers; the count follows the controls."""
    page = open_page(width, height, query="&temperature=0.8&seed=3")
    page.wait_for_selector("#more-button[data-changed='2']")
    assert page.locator("#temperature").is_hidden()
    run(page)
    page.click("[data-do=back]")
    page.click("[data-do=play]")
    page.click("#more-button")
    page.fill("#seed input", "0")
    page.wait_for_selector("#more-button[data-changed='1']")
    page = open_page(width, height, query="&view=teacher&temperature=0.8&seed=3")
    page.wait_for_selector("#more-button[data-changed='2']", state="attached")  # hidden: the temperature is in sight
    assert page.locator("#temperature").is_visible()
    run(page)
    page.click("[data-do=back]")


def test_what_arrives_late_moves_nothing(open_page):
    """The count of the article comes after the page: the stream stands where it stood before."""
    page = open_page(1366, 650)
    before = page.locator("#status").bounding_box()
    page.evaluate("document.querySelector('#count').replaceChildren('No words yet.')")
    assert page.locator("#status").bounding_box() == before
    page.evaluate("document.querySelector('#count').innerHTML = '<p class=\"fl-count\">' + 'many words '.repeat(90)")
    assert page.locator("#status").bounding_box() == before


def test_the_article_opens_on_focus_and_pushes_nothing_away(open_page):
    """Two lines, then room to read; Run stays."""
    page = open_page(1366, 650)
    before = page.locator("#run").bounding_box()
    height = page.locator("#article textarea").bounding_box()["height"]
    page.focus("#article textarea")
    assert page.locator("#article textarea").bounding_box()["height"] > 4 * height
    assert page.locator("#run").bounding_box() == before
    page.keyboard.press("Tab")
    assert page.locator("#article textarea").bounding_box()["height"] == height


def test_a_drafter_is_chosen_by_card_or_by_key_and_taught_by_only_where_there_is_a_choice(open_page):
    """The cards are radio buttons; the order is there for n-grams only; a link keeps what was taught otherwise."""
    page = open_page()
    assert page.locator(".fl-card:has(:checked)").inner_text().startswith("LSTM")
    page.click("#more-button")
    assert page.locator("#taught").is_visible()
    assert page.locator("#n").count() == 0 or page.locator("#n").is_hidden()
    page.click("#taught label:has-text('baseline')")
    page.wait_for_function("new URLSearchParams(location.search).get('drafter') === 'lstm@baseline'")
    assert page.locator(".fl-card:has(:checked)").inner_text().startswith("LSTM")
    page.click(".fl-card:has-text('Lookup')")
    page.wait_for_function("new URLSearchParams(location.search).get('drafter') === 'lookup'")
    page.wait_for_selector("#taught", state="hidden")
    page.focus(".fl-card :checked")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("new URLSearchParams(location.search).get('drafter') === 'ngram@distilled'")
    page.wait_for_selector("#n")


def test_the_first_run_is_faster_and_not_perfect_and_the_second_lesson_is_slower(open_page):
    """One press each: some refused and several words a call; then nearly all refused, one word a call, and why."""
    page = open_page()
    run(page)
    trace = page.evaluate("document.querySelector('.fl-player').store.trace()")
    assert trace["drafter"] == "lstm@distilled"
    assert 0 < reject(page) < len(trace["steps"])
    assert float(page.inner_text(".fl-tile dd").split()[0]) > 2
    page.evaluate("document.querySelector('.fl-status').className = 'fl-status'")
    page.click("#lesson-bad")
    page.wait_for_selector(".fl-is-done")
    page.wait_for_function("document.querySelector('.fl-player').store.head.drafter.startsWith('ngram:1')")
    page.wait_for_function("document.querySelector('.fl-player').store.complete")
    page.keyboard.press("End")
    assert reject(page) > 20
    assert float(page.inner_text(".fl-tile dd").split()[0]) < 1.2
    assert "Nearly every guess is refused" in page.inner_text("#lesson")
    # The lesson is told only as long as the settings are its own.
    page.click(".fl-card:has-text('Lookup')")
    page.wait_for_selector("#lesson", state="hidden")


def test_the_walkthrough_can_be_followed_to_the_letter(open_page):
    """docs/walkthrough.md, minutes 1 to 4 and 5, as a newcomer would: each name that it prints in bold is pressed, or
    read on the page, where it says."""
    guide = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    bold = {" ".join(name.split()) for name in re.findall(r"\*\*(.+?)\*\*", guide, re.S)}
    page = open_page()
    done: set[str] = set()

    def reads(where: str, *names: str) -> None:
        for name in names:
            page.wait_for_function(
                "([at, name]) => document.querySelector(at)?.innerText.toLowerCase().includes(name.toLowerCase())",
                arg=[where, name],
            )
        done.update(names)

    def press(name: str, where: str) -> None:
        page.click(where)
        done.add(name)

    def ends(drafter: str) -> None:
        page.wait_for_function(
            "d => (s => s.complete && s.head.drafter.startsWith(d))(document.querySelector('.fl-player').store)",
            arg=drafter,
        )
        page.wait_for_selector("#run:not(:disabled)")

    tab = ".fl-tabs button[role=tab]:has-text('{}')"
    press("Watch", tab.format("Watch"))
    press("Run", "#run")
    reads(".fl-lead", "drafter guesses eight")
    reads(".fl-lead", "drafter")
    reads(".fl-lead", "target")
    press("Skip", ".fl-lead-skip")
    ends("lstm")
    press("Explain", ".fl-lead-again")
    page.keyboard.press("End")
    reads(".fl-racing", "Race in measured time")
    reads(".fl-tiles", "Tokens a call")
    reads("#legend", "Accepted", "Rejected", "Ignored", "Resampled", "Bonus")
    for view in ("calls", "text", "stream"):
        press(view, f".fl-views label:has-text('{view}')")
    reads("#result", "Compared with plain decoding, whole run")
    press("Predict first", ".fl-predict-on")
    page.locator(".fl-scrub input").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); e.blur(); }")
    page.keyboard.press("ArrowRight")
    page.locator(f"{TOKENS}.fl-draft").first.click()
    assert "of 1 right" in page.inner_text(".fl-score")
    page.click(".fl-predict-on")
    press("2. A bad drafter", "#lesson-bad")
    ends("ngram:1")
    page.keyboard.press("End")
    assert float(page.inner_text(".fl-tile dd").split()[0]) < 1.2
    reads(".fl-visit", "Runs of this visit")
    page.click("[aria-label='Show run 1 again']")
    ends("lstm")
    press("More settings", "#more-button")
    set_number(page, "#temperature", "0.8")
    done.add("Temperature")
    page.click("#run")
    page.wait_for_selector("#more-button[data-changed='1']")
    page.wait_for_function("document.querySelector('.fl-player').store.head.temperature === 0.8")
    ends("ngram:1")
    page.keyboard.press("End")
    page.locator(f"{TOKENS}.fl-rejected").first.click()
    press("Before temperature", ".fl-raw")
    reads(".fl-inspector", "‹", "›")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    assert page.locator(".fl-inspector").is_hidden()
    press("Rejections of this run", ".fl-rejections summary")
    press("1. A good drafter", "#lesson-good")
    ends("lstm")
    reads("#compare", "Identical")
    press("Study", tab.format("Study"))
    press("Lab", tab.format("Lab"))
    press("Sample", "#lab-run")
    reads("#lab-status", "p-value 0.21")
    press("Skip the residual", "#lab-fault label:has-text('Skip the residual')")
    page.click("#lab-run")
    reads("#lab-status", "They differ", "982 times")
    press("What if", tab.format("What if"))
    page.click("#whatif-run input")
    page.click("#whatif-run [role=option]:has-text('Science: 3-gram, sampled')")
    page.wait_for_selector(".fl-whatif")
    set_number(page, "#whatif-lenience", "0.05")
    done.add("Lenience")
    reads(".fl-whatif", "Now accepted")
    assert bold - done == set()
