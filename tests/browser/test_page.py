"""The page in a real headless Chromium: a visitor's way through it, in light, in dark and on a phone."""

from __future__ import annotations

import re
import time

import pytest

from fastllm.analysis import rejections
from fastllm.targets.base import TargetSession
from fastllm.trace import from_json, to_json
from fastllm.ui.layout import build
from fastllm.ui.theme import launch_options
from fastllm.ui.watch import tab as watch
from tests.browser.contrast import CONTRAST, SETTLED
from tests.test_trace import example

pytestmark = pytest.mark.browser

TOKENS = "#player .fl-tok[role=button]"
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> The ferry is late again. "
    * 6
)

TEXTS = (
    f"{TOKENS}, .fl-step, .fl-status, .fl-tile dt, .fl-tile dd, .fl-tile small, .fl-legend span, .fl-legend small, "
    ".fl-count, .fl-compare p, .fl-race span, .fl-race small, .fl-title p, .fl-title h1, .fl-chart-title h3, "
    ".fl-tabs button[role=tab], "
    "label span, #run, .fl-transport label, .fl-transport button, .fl-why summary, .fl-inspector h3, .fl-inspector p, "
    ".fl-inspector th, .fl-inspector td, .fl-inspector dt, .fl-inspector dd, .fl-inspector mark, .fl-article, "
    ".fl-inspector figcaption, .fl-inspector caption, .fl-rejections th, .fl-rejections td, .fl-rejections summary, "
    ".fl-files button, .fl-files span, .fl-question, .fl-found, .fl-banner, .fl-race-note, .fl-measures :is(th, td), "
    ".fl-views span, .fl-compare-title"
)


def set_number(page, control: str, value: str) -> None:
    page.fill(f"{control} input[type=number]", value)
    page.keyboard.press("Tab")


def run(page, to_end: bool = True) -> None:
    """Run to the end. A run may be over before it is seen running, so an earlier end is wiped out first."""
    page.evaluate("document.querySelector('.fl-status').className = 'fl-status'")
    page.click("#run")
    page.wait_for_selector(".fl-is-done")
    page.wait_for_function("document.querySelector('.fl-player').store.complete")
    page.wait_for_function("!document.querySelector('#run').disabled")
    if to_end:
        page.click("[data-do=end]")


def shown(page) -> int:
    """Steps whose verdict is seen."""
    return int(page.inner_text(".fl-place").split()[1])


def test_a_visitor_runs_an_example_and_reads_the_outcome(open_page):
    """Example, run, stream, figures, race, summary, comparison and charts."""
    page = open_page()
    before = page.input_value("#article textarea")
    page.click("#examples button:has-text('Weather')")
    page.wait_for_function("before => document.querySelector('#article textarea').value !== before", arg=before)
    assert "Storm Wilda" in page.input_value("#article textarea")
    run(page)
    assert page.locator(TOKENS).count() > 20
    rejected = page.locator(f"{TOKENS}.fl-rejected").first
    assert ", replaced by '" in rejected.get_attribute("aria-label")
    assert "line-through" in rejected.evaluate("e => getComputedStyle(e).textDecorationLine")
    assert page.inner_text(".fl-tile dd").strip()[0].isdigit()
    assert page.input_value("#summary textarea")
    assert "target calls" in page.inner_text(".fl-saved")
    assert "×" in page.inner_text(".fl-speedup")
    assert "Identical" in page.inner_text(".fl-same")
    assert page.locator(".fl-places tbody tr").count() == 4
    assert page.locator(".fl-timeline tbody tr").count() == shown(page)
    # One screen on a laptop: stream, playback, figures and race are seen without scrolling.
    for part in ("#run", ".fl-stream-box", ".fl-transport", ".fl-tiles", ".fl-racing"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 900, part


def test_what_the_browser_holds_after_a_live_run_is_the_whole_run(open_page):
    """Through Gradio's own messages: the steps held are those of the trace, none lost, none twice."""
    page = open_page()
    run(page)
    store = "document.querySelector('.fl-player').store"
    trace = from_json(page.evaluate(f"JSON.stringify({store}.trace())"))
    assert trace.text == page.input_value("#summary textarea")
    assert f"{len(trace.steps)} target calls" in page.inner_text("#status")
    assert trace.baseline.tokens == trace.tokens
    assert page.evaluate(f"{store}.gaps") == 0


def test_a_long_stream_scrolls_inside_its_panel_and_shows_its_newest_tokens(open_page):
    """On a low screen the stream neither runs over the legend nor hides its end."""
    page = open_page(1440, 700)
    run(page)
    box = page.locator(".fl-stream-box")
    for _ in range(20):  # as a far longer summary would be
        page.evaluate("s => { s = document.querySelector('.fl-stream'); s.innerHTML += s.innerHTML.slice(0, 9000); }")
        if box.evaluate("e => e.scrollHeight > 2 * e.clientHeight"):
            break
    assert box.evaluate("e => e.scrollHeight > e.clientHeight")
    newest = page.locator(TOKENS).last.bounding_box()
    transport = page.locator(".fl-transport").bounding_box()
    stream = box.bounding_box()
    assert (
        stream["y"]
        <= newest["y"]
        < newest["y"] + newest["height"]
        <= stream["y"] + stream["height"] + 1
        <= transport["y"] + 1
    )


def test_a_viewer_pauses_steps_goes_back_and_plays_on(open_page):
    """By button and by key, after the model has long finished: no request leaves the browser meanwhile."""
    page = open_page()
    run(page, to_end=False)
    page.keyboard.press(" ") if page.get_attribute("[data-do=play]", "aria-label") == "Pause" else None
    page.locator(".fl-scrub input").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    page.click("[data-do=step]")
    page.keyboard.press("ArrowRight")
    assert shown(page) == 2
    page.click("[data-do=back]")
    assert shown(page) == 1
    page.click("[data-do=play]")
    page.wait_for_function("document.querySelector('.fl-place').innerText.startsWith('Step 3')")
    page.click("[data-do=play]")
    at = shown(page)
    page.wait_for_timeout(500)
    assert shown(page) == at
    assert [url for url in sent if "queue" in url or "run" in url] == []


def test_stop_ends_the_run_at_once_and_a_second_run_starts_afresh(open_page, monkeypatch):
    """While the model is at work: the word, the steps so far, and Run is there again."""
    score = TargetSession.score
    monkeypatch.setattr(TargetSession, "score", lambda *a: (time.sleep(0.4), score(*a))[1])
    page = open_page()
    page.click("#run")
    page.wait_for_selector(TOKENS)
    page.keyboard.press("Escape")
    page.wait_for_selector(".fl-is-stopped")
    assert "Stopped" in page.inner_text("#status")
    steps = page.evaluate("document.querySelector('.fl-player').store.steps.length")
    assert steps > 0
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelector('.fl-player').store.steps.length") == steps
    monkeypatch.undo()
    run(page)
    assert page.evaluate("document.querySelector('.fl-player').store.steps.length") > steps


def test_stop_takes_a_waiting_run_out_of_the_queue(open_page, tiny, monkeypatch):
    """One place, taken by another visitor: Stop answers at once, the run never begins, and Run can be pressed."""
    monkeypatch.setattr(watch, "CONCURRENT_RUNS", 1)
    score = TargetSession.score
    monkeypatch.setattr(TargetSession, "score", lambda *a: (time.sleep(0.2), score(*a))[1])
    narrow = build(tiny)
    _, address, _ = narrow.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    first, second = open_page(address=address), open_page(address=address)
    first.click("#run")
    first.wait_for_selector(TOKENS)
    second.click("#run")
    second.wait_for_function("!document.querySelector('#stop').disabled")
    second.wait_for_timeout(300)
    second.click("#stop")
    second.wait_for_selector(".fl-is-stopped")
    assert "before the run began" in second.inner_text("#status")
    second.wait_for_function("!document.querySelector('#run').disabled")
    assert first.locator(".fl-is-running").count() == 1
    first.click("#stop")
    first.wait_for_selector(".fl-is-stopped")
    second.wait_for_timeout(500)
    assert second.evaluate("document.querySelector('.fl-player').store.steps.length") == 0
    narrow.close()


def test_predicting_veils_the_outcome_until_the_last_step(open_page):
    """With the switch on before the run, the summary and the comparison wait for the guesses."""
    page = open_page()
    page.check(".fl-predict-on")
    run(page, to_end=False)
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    assert page.locator("#summary").is_hidden()
    page.keyboard.press("0")
    page.wait_for_function("document.querySelector('.fl-score').innerText.includes('of 1 right')")
    page.click("[data-do=end]")
    assert page.locator("#summary").is_visible()


def test_a_run_is_saved_opened_again_and_says_that_it_is_recorded(open_page, tmp_path):
    """Every view comes back from the file: stream, figures, inspector, table, charts, comparison, export."""
    page = open_page()
    run(page)
    tokens = page.locator(TOKENS).all_inner_texts()
    with page.expect_download() as saved:
        page.click(".fl-save")
    file = tmp_path / "run.json"
    saved.value.save_as(file)
    assert from_json(file.read_text(encoding="utf-8")).steps
    assert re.fullmatch(r"fastllm-[\w.-]+\.json", saved.value.suggested_filename)
    page = open_page()
    page.set_input_files(".fl-open-file input", file)
    page.wait_for_selector(".fl-is-recorded")
    assert "Recorded run, not live" in page.inner_text(".fl-banner")
    page.click("[data-do=end]")
    assert page.locator(TOKENS).all_inner_texts() == tokens
    assert page.locator(".fl-timeline tbody tr").count() == shown(page)
    assert "as it was recorded" in page.inner_text(".fl-speedup")
    page.locator(f"{TOKENS}.fl-rejected").first.click()
    assert page.locator(".fl-inspector .fl-bar-cell").count() > 5
    with page.expect_download() as exported:
        page.click(".fl-rejections summary")
        page.fill("[data-field=rank]", ">=1")
        page.click(".fl-export-rejections")
    written = exported.value.path().read_text(encoding="utf-8")
    assert written.startswith(",".join(rejections.CSV_COLUMNS))
    assert len(written.splitlines()) == 1 + page.locator(".fl-rejections tbody tr").count()
    page.click(".fl-ask-what")
    page.wait_for_selector("#whatif-answer .fl-whatif")
    asked = page.inner_text("#whatif-answer")
    assert "in the run" in asked
    assert "step 1" in asked


def test_a_packaged_recording_plays(open_page):
    """The menu's first entry opens without a run."""
    page = open_page()
    page.select_option(".fl-recordings", index=1)
    page.wait_for_selector(".fl-is-recorded")
    page.click("[data-do=end]")
    assert page.locator(TOKENS).count() > 10


def test_a_file_that_is_no_trace_is_refused_in_place(open_page, tmp_path):
    """Cut, forged, no JSON at all: one sentence; the article and the page stay."""
    page = open_page()
    file = tmp_path / "bad.json"
    article = page.input_value("#article textarea")
    for text, sentence in (
        (to_json(example())[:300], "not valid JSON"),
        (to_json(example()).replace('"p":0.9', '"p":9'), "trace.steps[0].draft[0].p should lie between 0 and 1"),
        ("<script>document.title='owned'</script>", "not valid JSON"),
    ):
        file.write_text(text, encoding="utf-8")
        page.evaluate("document.querySelector('#notices [role=alert]')?.remove()")
        page.set_input_files(".fl-open-file input", file)
        page.wait_for_selector("#notices [role=alert]")
        assert sentence in page.inner_text("#notices")
        assert "Nothing was opened" in page.inner_text("#status")
        assert page.input_value("#article textarea") == article
        assert page.title() != "owned"


def test_a_link_restores_what_was_chosen_and_says_what_it_ignores(open_page):
    """Example, gamma, temperature, seed, top-p, length limit and teacher view; a bad drafter is told and left out."""
    query = "&example=Sport&gamma=7&temperature=0.5&seed=42&top_p=0.85&length=12&drafter=gpt&n=zwei&view=teacher"
    page = open_page(query=query)
    page.wait_for_selector("#notices p")
    assert "“gpt”" in page.inner_text("#notices")
    assert "“zwei”" in page.inner_text("#notices")
    assert page.locator("#fastllm.fl-teacher").count() == 1
    assert page.locator("#article").is_hidden()
    page.click(".fl-view")
    assert page.locator("#article").is_visible()
    assert page.input_value("#gamma input[type=number]") == "7"
    assert page.input_value("#temperature input[type=number]") == "0.5"
    # What is folded away stays so, and its number is told: temperature, top-p, length, seed.
    page.wait_for_selector("#more-button[data-changed='4']")
    assert page.locator("#seed").is_hidden()
    assert page.input_value("#seed input") == "42"
    assert page.input_value("#top-p input[type=number]") == "0.85"
    assert page.input_value("#length input[type=number]") == "12"
    assert page.get_attribute("#count [data-example]", "data-example") == "Sport"


def test_the_address_follows_the_controls_and_never_carries_what_was_pasted(open_page):
    """Gamma and the example go into the link; with another article the example's name goes out of it."""
    page = open_page()
    set_number(page, "#gamma", "6")
    page.wait_for_function("new URLSearchParams(location.search).get('gamma') === '6'")
    page.click("#examples button:has-text('Weather')")
    page.wait_for_function("new URLSearchParams(location.search).get('example') === 'Weather'")
    page.fill("#article textarea", "A secret of mine, told to nobody but this page.")
    page.wait_for_function("!new URLSearchParams(location.search).has('example')")
    assert "secret" not in page.url


def test_a_setting_that_is_folded_away_counts_and_stands_in_the_address(open_page):
    """Seed and top-p set, then folded away: the run is made with them; what is as it was stays out of the address."""
    page = open_page()
    assert page.locator("#seed").is_hidden()
    page.click("#more-button")
    page.fill("#seed input", "7")
    set_number(page, "#top-p", "0.9")
    page.wait_for_function("new URLSearchParams(location.search).get('top_p') === '0.9'")
    page.click("#more-button")
    page.wait_for_function("!document.querySelector('#seed').offsetParent")
    assert "seed=7" in page.url
    assert "length=" not in page.url
    run(page)
    trace = page.evaluate("document.querySelector('.fl-player').store.trace()")
    assert (trace["seed"], trace["top_p"]) == (7, 0.9)


def test_no_label_of_a_setting_is_clipped_on_a_phone(open_page):
    """390 px: each word of a slider's label has its room."""
    page = open_page(390, 844)
    for control in ("gamma", "temperature"):
        assert page.locator(f"#{control} .head label").evaluate("e => e.scrollWidth <= e.clientWidth")


def test_an_explanation_opens_by_keyboard(open_page):
    """Focus and Enter, no pointer: one sentence."""
    page = open_page()
    run(page)
    page.focus(".fl-places summary")
    page.keyboard.press("Enter")
    assert page.locator(".fl-places .fl-why[open] p").first.is_visible()


def test_an_error_keeps_the_article_and_the_last_run(open_page):
    """An empty article, then one of a megabyte: a sentence in place, nothing lost."""
    page = open_page()
    run(page)
    count = page.locator(TOKENS).count()
    page.fill("#article textarea", "")
    page.click("#run")
    page.wait_for_selector("#notices [role=alert]")
    assert "empty" in page.inner_text("#notices")
    assert page.locator(TOKENS).count() == count
    page.fill("#article textarea", "x" * 1_000_000)
    page.click("#run")
    page.wait_for_function("document.querySelector('#notices').innerText.includes('1,000,000')")
    assert len(page.input_value("#article textarea")) == 1_000_000


def test_a_hostile_article_stays_text(open_page):
    """Nothing pasted runs, becomes an element, or turns the page around."""
    page = open_page()
    for text in (HOSTILE, "\u202e\u0007\u001b[31m שלום עולם, מעבורת עלתה על שרטון. " * 6):
        page.fill("#article textarea", text)
        run(page)
        page.locator(TOKENS).first.click()
        assert page.title() != "owned"
        assert page.locator("#result img, #result script").count() == 0
        assert not set("\u202e\u0007\u001b") & set(page.evaluate("document.querySelector('#player').textContent"))
        page.keyboard.press("Escape")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (760, 650), (390, 844)])
def test_the_inspector_covers_neither_run_nor_its_token(open_page, width, height):
    """Beside the stream or below it, and it pushes nothing away: Run and the token are what the pointer meets there.
    Escape closes it, and so does Run, with the run that it begins."""
    page = open_page(width, height)
    run(page)
    page.evaluate("scrollTo(0, 0)")
    under = "e => { const r = e.getClientRects()[0]; return e.contains(document.elementFromPoint("
    under += "r.left + r.width / 2, r.top + r.height / 2)); }"
    before = page.locator("#run").bounding_box()
    for token in (page.locator(TOKENS).first, page.locator(TOKENS).nth(3)):
        token.click()
        assert page.locator(".fl-inspector").is_visible()
        assert token.evaluate(under)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_function("scrollY === 0")
        assert page.locator("#run").bounding_box() == before
        assert page.locator("#run").evaluate(under)
    page.keyboard.press("Escape")
    assert page.locator(".fl-inspector").is_hidden()
    page.locator(TOKENS).first.click()
    page.click("#run")
    page.wait_for_selector(".fl-inspector", state="hidden")


def test_the_header_promises_what_the_rule_keeps(open_page):
    """Under a lossy rule that the text stays the target's own is not said, in the header and before the first run."""
    page = open_page()
    assert "stays its own" in page.inner_text(".fl-title p")
    assert "target's own" in page.inner_text("#intro")
    page = open_page(query="&rule=bild")
    page.wait_for_selector("#fastllm.fl-is-lossy")
    assert "would not have written" in page.inner_text(".fl-title p")
    assert "stays its" not in page.inner_text(".fl-title p")
    assert "target's own" not in page.inner_text("#intro")


def test_every_text_has_enough_contrast_in_light_and_dark(open_page):
    """4.5:1 for all text of ours as the browser paints it, charts included; the dark button changes it both ways."""
    page = open_page()
    colour = "getComputedStyle(document.querySelector('.fl-panel')).backgroundColor"
    light = page.evaluate(colour)
    run(page)
    page.locator(f"{TOKENS}.fl-rejected").first.click()
    page.click(".fl-rejections summary")
    for theme in ("light", "dark"):
        if theme == "dark":
            page.dispatch_event(".fl-dark", "click")  # the inspector lies over it
            page.wait_for_function(f"before => {colour} !== before", arg=light)
            page.wait_for_function(SETTLED)
        page.dispatch_event(".fl-views input[value=stream]", "click")
        found = page.evaluate(CONTRAST, TEXTS)
        assert len(found) > 100
        assert [pair for pair in found if pair[1] < 4.5] == [], theme
        for view in ("calls", "text"):
            page.dispatch_event(f".fl-views input[value={view}]", "click")
            found = page.evaluate(CONTRAST, f"{TOKENS}, .fl-guess, .fl-line-name, .fl-so-far, .fl-fold, .fl-views span")
            assert len(found) > 20
            assert [pair for pair in found if pair[1] < 4.5] == [], (theme, view)
    page.dispatch_event(".fl-dark", "click")
    page.wait_for_function(f"before => {colour} === before", arg=light)


def test_a_phone_shows_everything_without_scrolling_sideways(open_page):
    """390 px: no sideways scroll before or after a run, the stream in view once Run is pressed."""
    page = open_page(390, 844)
    wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    assert page.evaluate(wide) <= 390
    run(page)
    assert page.evaluate(wide) <= 390
    page.locator(f"{TOKENS}.fl-rejected").first.click()
    page.click(".fl-rejections summary")
    assert page.evaluate(wide) <= 390
    parts = ["#run", "#stop", ".fl-stream-box", ".fl-transport", ".fl-tiles", ".fl-inspector", "#compare", ".fl-places"]
    parts += [".fl-timeline", "#legend", "#examples", ".fl-scrub input"]

    def inside(*names: str) -> None:
        for part in names:
            box = page.locator(part).last.bounding_box()
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 390, part

    inside(*parts, ".fl-table-box", ".fl-recordings", ".fl-export-rejections")
    page.click(".fl-view")
    page.wait_for_selector("#fastllm.fl-teacher")
    assert page.evaluate(wide) <= 390
    assert page.locator("#examples").is_hidden()  # as the article is: the lecture's own text is on the screen
    inside(*(part for part in parts if part != "#examples"))
