"""The page in a real headless Chromium: a visitor's way through it, in light, in dark and on a phone."""

from __future__ import annotations

import pytest

from fastllm.ui.layout import build
from fastllm.ui.theme import launch_options
from tests.browser import chromium

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -r requirements-dev.txt")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not chromium.executable(), reason="there is no chromium: apt-get install chromium"),
]

TOKENS = "#stream [role=listitem]"
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> The ferry is late again. "
    * 6
)

# The contrast of each visible text with what lies behind it, composited from the page's own computed styles.
CONTRAST = """selector => {
  const parse = c => { const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const line = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const lum = c => { const [r, g, b] = c.map(v => line(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { const layers = []; for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor); layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((under, c) => under.map((u, i) => u * (1 - c[3]) + c[i] * c[3]), [255, 255, 255]); };
  return [...document.querySelectorAll(selector)].filter(e => e.offsetParent && e.innerText.trim()).map(e => {
    const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(behind(e));
    return [e.className || e.tagName, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; });
}"""
TEXTS = (
    f"{TOKENS}, .fl-step, .fl-status, .fl-tile dt, .fl-tile dd, .fl-tile small, .fl-legend span, .fl-legend small, "
    ".fl-count, .fl-compare p, .fl-race span, .fl-race small, .fl-title p, .fl-title h1, .fl-chart-title, label span, "
    "#run"
)


@pytest.fixture(scope="module")
def url(tiny):
    """The running page's address, with its theme and style sheet."""
    page = build(tiny)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield address
    page.close()


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests here."""
    with chromium.browser() as running:
        yield running


@pytest.fixture
def open_page(browser, url):
    """Opens pages, and fails the test if any of them reported an error."""
    contexts, faults = [], []

    def open_(width: int = 1440, height: int = 900, theme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(f"{url}?__theme={theme}")
        page.wait_for_function("document.querySelector('#count p')?.innerText.includes('words')")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def set_number(page, control: str, value: str) -> None:
    page.fill(f"{control} input[type=number]", value)
    page.keyboard.press("Tab")


def run(page, pace: str = "0") -> None:
    """Run to the end. A run may be over before it is seen running, so an earlier end is wiped out first."""
    set_number(page, "#pace", pace)
    page.evaluate("document.querySelector('.fl-status').className = 'fl-status'")
    page.click("#run")
    page.wait_for_selector(".fl-is-done")
    page.wait_for_function("!document.querySelector('#run').disabled")


def test_a_visitor_runs_an_example_and_reads_the_outcome(open_page):
    """Example, run, stream, figures, summary, comparison and chart; labels read as sentences; shapes are drawn."""
    page = open_page()
    before = page.input_value("#article textarea")
    page.click("#examples button:has-text('Weather')")
    page.wait_for_function("before => document.querySelector('#article textarea').value !== before", arg=before)
    assert "Storm Wilda" in page.input_value("#article textarea")
    run(page)
    assert page.locator(TOKENS).count() > 20
    for token in page.locator(TOKENS).all()[:12]:
        assert token.get_attribute("title") == token.get_attribute("aria-label")
    rejected = page.locator(f"{TOKENS}.fl-rejected").first
    assert ", replaced by '" in rejected.get_attribute("aria-label")
    assert "line-through" in rejected.evaluate("e => getComputedStyle(e).textDecorationLine")
    assert page.inner_text(".fl-tile dd").strip()[0].isdigit()
    assert page.input_value("#summary textarea")
    assert "×" in page.inner_text(".fl-speedup")
    assert "Identical" in page.inner_text(".fl-same")
    page.wait_for_selector("#chart .bars path")
    # One screen on a laptop: everything down to the buttons and the chart is seen without scrolling.
    for part in ("#run", "#chart", ".fl-same"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 900, part


def test_a_long_stream_scrolls_inside_its_panel_and_shows_its_newest_tokens(open_page):
    """On a low screen the stream neither runs over the legend nor hides its end."""
    page = open_page(1440, 700)
    page.wait_for_timeout(500)
    run(page)
    box = page.locator("#stream .html-container")
    for _ in range(20):  # as a far longer summary would be
        page.evaluate("s => { s = document.querySelector('.fl-stream'); s.innerHTML += s.innerHTML.slice(0, 9000); }")
        if box.evaluate("e => e.scrollHeight > 2 * e.clientHeight"):
            break
    assert box.evaluate("e => e.scrollHeight > e.clientHeight")
    newest = page.locator(TOKENS).last.bounding_box()
    legend = page.locator("#legend").bounding_box()
    stream = box.bounding_box()
    assert (
        stream["y"]
        <= newest["y"]
        < newest["y"] + newest["height"]
        <= stream["y"] + stream["height"] + 1
        <= legend["y"] + 1
    )


def test_stop_keeps_what_was_shown_and_a_second_run_starts_afresh(open_page):
    """Stop in the middle of a pause: the word, the tokens, the chart; then Run is there again."""
    page = open_page()
    set_number(page, "#pace", "1")
    page.click("#run")
    page.wait_for_selector(TOKENS)
    page.click("#stop")
    page.wait_for_selector(".fl-is-stopped")
    shown = page.locator(TOKENS).count()
    assert shown > 0
    assert "Stopped" in page.inner_text("#status")
    page.wait_for_timeout(1500)
    assert page.locator(TOKENS).count() == shown
    run(page)
    assert page.locator(TOKENS).count() > shown


def test_an_error_keeps_the_article_and_the_last_run(open_page):
    """An empty article, then one over the limit: a sentence in place, nothing lost."""
    page = open_page()
    run(page)
    shown = page.locator(TOKENS).count()
    page.fill("#article textarea", "")
    page.click("#run")
    page.wait_for_selector("#notices [role=alert]")
    assert "empty" in page.inner_text("#notices")
    assert page.locator(TOKENS).count() == shown
    page.fill("#article textarea", "x" * 100_001)
    page.click("#run")
    page.wait_for_function("document.querySelector('#notices').innerText.includes('100,001')")
    assert len(page.input_value("#article textarea")) == 100_001


def test_markup_in_an_article_stays_text(open_page):
    """Nothing pasted runs or becomes an element."""
    page = open_page()
    page.fill("#article textarea", HOSTILE)
    run(page)
    assert "HTML" in page.inner_text("#notices")
    assert page.title() != "owned"
    assert page.locator(".fl-right img, .fl-right script").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_enough_contrast(open_page, theme):
    """4.5:1 for all text of ours as the browser paints it, chart included."""
    page = open_page(theme=theme)
    run(page)
    page.wait_for_selector("#chart .bars path")
    found = page.evaluate(CONTRAST, TEXTS)
    assert len(found) > 60
    assert [pair for pair in found if pair[1] < 4.5] == []
    fills = page.eval_on_selector_all("#chart svg text", "all => [...new Set(all.map(e => getComputedStyle(e).fill))]")
    palette = page.evaluate(
        "['--fl-muted', '--fl-ink'].map(n => { const e = document.createElement('i'); document.body.append(e);"
        " e.style.color = `var(${n})`; return getComputedStyle(e).color; })"
    )
    assert set(fills) <= set(palette)


def test_the_dark_button_changes_the_theme_both_ways(open_page):
    """The panel's colour follows, and comes back."""
    page = open_page()
    colour = "getComputedStyle(document.querySelector('.fl-panel')).backgroundColor"
    light = page.evaluate(colour)
    page.click(".fl-dark")
    page.wait_for_function(f"before => {colour} !== before", arg=light)
    page.click(".fl-dark")
    page.wait_for_function(f"before => {colour} === before", arg=light)


def test_a_phone_shows_everything_without_scrolling_sideways(open_page):
    """390 px: no sideways scroll before or after a run, the stream in view once Run is pressed."""
    page = open_page(390, 844)
    wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    assert page.evaluate(wide) <= 390
    run(page)
    page.wait_for_selector("#chart .bars path")
    assert page.evaluate(wide) <= 390
    for part in ("#run", "#stop", "#stream", "#figures", "#compare", "#chart"):
        box = page.locator(part).bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 390, part
    page.wait_for_function("document.querySelector('#status').getBoundingClientRect().y < innerHeight / 2")
