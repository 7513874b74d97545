"""The player's script in a real Chromium, on an empty page: what it holds, draws, says and lets be done by keys."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
import torch

from fastllm.analysis import timing
from fastllm.analysis.metrics import wilson
from fastllm.rules import RULES
from fastllm.trace import Article, Candidate, DraftToken, Emitted, SideToken, Step, from_json
from fastllm.ui import render
from fastllm.ui.watch import messages
from fastllm.ui.watch.player import FOLDER
from tests.browser import stage

pytestmark = pytest.mark.browser

TOKENS = ".fl-tok[role=button]"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def drawn_steps(rule: str) -> tuple[list[Step], list[tuple]]:
    """Steps in which a draft of 4 was refused, judged by `rule` over a vocabulary of 12, recorded as decode.py records
    them with 5 candidates at temperature 1; and p and q at the place of each refusal."""
    generator = torch.Generator().manual_seed(3)
    steps, truth = [], []

    def top(own, other):
        order = own.argsort(descending=True)[:5].tolist()
        return tuple(Candidate(i, f" {i}", float(own[i]), float(own[i]), float(other[i])) for i in order)

    for _ in range(14):
        p = (1.5 * torch.randn(5, 12, generator=generator)).softmax(-1)
        q = (1.5 * torch.randn(4, 12, generator=generator)).softmax(-1)
        ids = q.multinomial(1, generator=generator).flatten().tolist()
        u = torch.rand(5, generator=generator).tolist()
        verdict = RULES[rule].judge(ids, p, q, u)
        at, betas = verdict.accepted, RULES[rule].overlaps(ids, p, q, verdict)
        if at == len(ids):
            continue
        status = ["accepted"] * at + ["rejected"] + ["ignored"] * (len(ids) - at - 1)
        draft = tuple(
            DraftToken(
                t, f" {t}", s, verdict.p[i], verdict.q[i], u[i] if i < len(verdict.chances) else None,
                betas[i] if i < len(betas) else None, top(p[i], q[i]), top(q[i], p[i]),
                chance=verdict.chances[i] if i < len(verdict.chances) else None,
            )
            for i, (t, s) in enumerate(zip(ids, status, strict=True))
        )  # fmt: skip
        emitted = Emitted(verdict.token, f" {verdict.token}", "resampled", float(p[at, verdict.token]))
        steps.append(Step(len(steps), 0, draft, emitted, 0.0, 0.0, 0.0))
        truth.append((p[at], q[at]))
    return steps, truth


@pytest.fixture
def page(visitors):
    """The player, mounted on an empty page, which reports no error."""
    opened = visitors.page(1200, 800)
    opened.set_default_timeout(20_000)
    stage.mount(opened)
    yield opened
    assert visitors.leave() == []


@pytest.fixture(scope="module")
def bare(browser):
    """An empty page, for the player's pure functions."""
    opened = browser.new_page()
    yield opened
    opened.close()


def shown(page) -> int:
    """Steps whose verdict is seen."""
    return int(page.inner_text(".fl-place").split()[1])


def replay(page, run, paused: bool = True) -> None:
    stage.send(page, messages.replay(run))
    if paused:
        page.keyboard.press(" ")
        page.locator(".fl-scrub input").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
        page.evaluate("document.activeElement.blur()")


def held(page) -> dict:
    return page.evaluate("(() => { const s = document.querySelector('.fl-player').store; return s.trace(); })()")


@pytest.mark.parametrize("lost", [[], [1], [2, 3, 5], [0], list(range(8))])
def test_nothing_is_lost_when_messages_are(page, lost):
    """Whatever of the live messages the browser never saw, the last one brings every step, and the trace is whole."""
    run = stage.trace(14)
    told = stage.live(run)
    assert len(told) == 10
    stage.send(page, *(text for i, text in enumerate(told) if i not in lost))
    assert from_json(json.dumps(held(page))) == run
    gaps = page.evaluate("document.querySelector('.fl-player').store.gaps")
    assert (gaps > 0) == any(1 <= i < 7 for i in lost)


def test_messages_that_come_twice_change_nothing(page):
    """Repeats are told by their index."""
    run = stage.trace(6)
    told = stage.live(run)
    stage.send(page, *(text for text in told[:-1] for _ in range(2)))
    assert page.evaluate("document.querySelector('.fl-player').store.steps.length") == 6
    stage.send(page, told[-1])
    assert from_json(json.dumps(held(page))) == run


def test_a_run_is_drawn_once_each_way(page):
    """Forward appends one group a step and takes nothing away; back takes away and draws nothing anew."""
    stage.send(page, messages.replay(stage.trace(40)))
    page.keyboard.press(" ")
    page.locator(".fl-scrub input").evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    page.evaluate("document.activeElement.blur()")
    counts = page.evaluate(
        """async () => {
          const counts = [];
          const sum = (all, kind) => all.reduce((n, m) => n + m[kind].length, 0);
          const press = key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
          const watcher = new MutationObserver(() => {});
          watcher.observe(document.querySelector('.fl-stream'), {childList: true, subtree: true});
          for (const key of ['ArrowRight', 'ArrowLeft']) {
            for (let i = 0; i < 40; i++) press(key);
            const all = watcher.takeRecords();
            counts.push([sum(all, 'addedNodes'), sum(all, 'removedNodes')]);
          }
          return counts;
        }"""
    )
    assert counts == [[40, 0], [0, 40]]


def test_keys_play_pause_step_go_back_and_stop(page):
    """Space, right, left, End and Escape; a paused run stays where it is."""
    replay(page, stage.trace(5))
    assert shown(page) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert shown(page) == 2
    assert page.locator(TOKENS).count() == 10
    page.keyboard.press("ArrowLeft")
    assert shown(page) == 1
    page.wait_for_timeout(400)
    assert shown(page) == 1
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('.fl-place').innerText.startsWith('Step 3')")
    page.keyboard.press("Escape")
    at = shown(page)
    page.wait_for_timeout(400)
    assert shown(page) == at < 5
    page.keyboard.press("End")
    assert shown(page) == 5


def test_keys_are_left_alone_where_somebody_types(page):
    """In a text field a space is a space, and arrows move the caret."""
    replay(page, stage.trace(5))
    page.focus("#field")
    page.keyboard.type("a b")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#field") == "a b"
    assert shown(page) == 0


def test_slow_motion_shows_the_draft_before_its_verdict(page):
    """At one step a second the draft stands unjudged for half of it."""
    replay(page, stage.trace(5))
    page.locator(".fl-speed input").evaluate("e => { e.value = 2; e.dispatchEvent(new Event('input')); }")
    assert "1 step a second" in page.inner_text(".fl-speed")
    page.click("[data-do=play]")
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    assert "drafted" in page.locator(TOKENS).last.get_attribute("aria-label")
    page.wait_for_selector(f"{TOKENS}.fl-rejected")
    assert page.locator(f"{TOKENS}.fl-draft").count() == 0


def test_predicting_keeps_the_score_and_waits(page):
    """By click and by key: a right and a wrong guess; the verdict is shown only after the guess; no second guess."""
    page.check(".fl-predict-on")
    stage.send(page, messages.replay(stage.trace(4)))
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    page.wait_for_timeout(700)
    assert shown(page) == 0
    assert page.locator("#fastllm.fl-veiled").count() == 1
    page.locator(f"{TOKENS}.fl-draft").nth(2).click()
    assert page.inner_text(".fl-score") == "1 of 1 right"
    assert "Right: 'ship0' was rejected" in page.inner_text(".fl-question")
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    page.keyboard.press("1")
    assert page.inner_text(".fl-score") == "1 of 2 right"
    assert "Not so: 'ship1' was rejected" in page.inner_text(".fl-question")
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    page.click(".fl-all-accepted")
    assert page.inner_text(".fl-score") == "1 of 3 right"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("3")
    assert page.inner_text(".fl-score") == "1 of 3 right"
    page.keyboard.press("End")
    assert page.locator("#fastllm.fl-veiled").count() == 0


def test_a_class_votes_by_key_and_by_hand_before_the_answer_is_shown(page):
    """Votes are counted by place, one can be taken back, the answer waits; the majority is the class's guess."""
    page.check(".fl-predict-on")
    stage.send(page, messages.replay(stage.trace(3)))
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    page.check(".fl-class-on")
    page.evaluate("document.activeElement.blur()")
    assert page.locator(".fl-class-show").is_disabled()
    for key in "33102":
        page.keyboard.press(key)
    page.locator(f"{TOKENS}.fl-draft").nth(2).click()
    assert page.locator(".fl-tally span").all_inner_texts() == ["'two' 1", "'tugs' 1", "'ship0' 3", "none 1"]
    page.click(".fl-class-back")
    assert page.locator(".fl-tally span").all_inner_texts()[2] == "'ship0' 2"
    assert shown(page) == 0
    page.click(".fl-class-show")
    assert page.inner_text(".fl-score") == "1 of 1 right; 2 of 5 votes right"
    assert "Right: 'ship0' was rejected" in page.inner_text(".fl-question")
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    assert page.locator(".fl-tally span").count() == 0
    page.uncheck(".fl-class-on")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("1")
    assert page.inner_text(".fl-score") == "1 of 2 right; 2 of 5 votes right"


def test_the_inspector_opens_by_mouse_and_says_why_a_token_was_refused(page):
    """p, q, u, min(1, p/q), beta, rank, both distributions, the residual with its bound, and the article."""
    replay(page, stage.trace(2))
    page.keyboard.press("End")
    page.locator(f"{TOKENS}.fl-rejected").first.click()
    text = page.inner_text(".fl-inspector")
    assert "'ship0', rejected (p 0.2, q 0.5), replaced by 'ferry'" in text
    assert "below the 5 recorded" in text
    assert "u = 0.9 is not below min(1, p/q) = 0.4: rejected" in text
    assert "older than trace version 4" in text
    assert page.locator(".fl-inspector .fl-unknown").count() == 4
    assert "nowhere in the article" in text
    width = "document.querySelector('.fl-inspector .fl-bar-cell span').style.width"
    after = page.evaluate(width)
    page.click(".fl-raw")
    assert (after, page.evaluate(width)) == ("40%", "30%")
    page.click(".fl-close")
    assert page.locator(".fl-inspector").is_hidden()
    assert "fl-rejected" in page.evaluate("document.activeElement.className")


def test_the_inspector_opens_by_keyboard_and_shows_where_a_token_stands_in_the_article(page):
    """Tab to the stream, down to the second token, Enter; Escape closes it and gives the focus back."""
    replay(page, stage.trace(2))
    page.keyboard.press("End")
    page.locator(TOKENS).first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert "'tugs', accepted" in page.inner_text(".fl-inspector h3")
    assert page.inner_text(".fl-inspector mark") == "Two tugs"[4:]
    assert "has 1 token" in page.inner_text(".fl-source")
    page.keyboard.press("Escape")
    assert page.locator(".fl-inspector").is_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("'tugs', accepted")


def test_one_tab_stop_leads_into_the_stream(page):
    """A hundred tokens are not a hundred tab stops: one is, and the arrow keys move it."""
    replay(page, stage.trace(20))
    page.keyboard.press("End")
    assert page.locator(f'{TOKENS}[tabindex="0"]').count() == 1
    page.locator(TOKENS).first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(f'{TOKENS}[tabindex="0"]').count() == 1
    assert page.evaluate("document.activeElement === document.querySelectorAll('.fl-tok')[1]")


def test_every_token_of_the_stream_is_named_as_a_sentence(page):
    """What a screen reader says is what a pointer reads, in the words of render.py."""
    run = stage.trace(2)
    replay(page, run)
    page.keyboard.press("End")
    labels = page.locator(TOKENS).evaluate_all("all => all.map(e => [e.getAttribute('aria-label'), e.title])")
    assert labels[2] == ["'ship0', rejected (p 0.2, q 0.5), replaced by 'ferry'"] * 2
    assert labels[4][0] == "'ferry', resampled by the target in place of 'ship0' (p 0.2)"
    assert len(labels) == 10
    assert page.locator("[role=list] > [role=listitem]").count() == 2


def test_the_table_of_rejections_sorts_filters_and_inspects(page):
    """By column both ways, by words and by kind; a row opens the inspector at its token, even if it is not shown."""
    run = stage.trace(12)
    replay(page, run)
    page.click(".fl-rejections summary")
    rows = page.locator(".fl-rejections tbody tr")
    assert rows.count() == 12
    assert "(12)" in page.inner_text(".fl-rejections summary")
    page.click(".fl-rejections th >> text=Step")
    cells = rows.first.locator("td").all_inner_texts()
    assert cells[:9] == ["12", "3", "'ship11'", "0.9", "0.2", "0.5", "0.4", "0.6", "–"]
    assert page.locator("th[aria-sort=descending]").count() == 1
    page.fill("[data-field=step]", "3..5")
    assert rows.count() == 3
    page.fill("[data-field=u]", "<0.9")
    assert rows.count() == 0
    page.fill("[data-field=u]", "0.9")
    page.evaluate("server.export_rows = asked => { window.asked = asked; return {error: 'Asked.'}; }")
    page.click(".fl-export-rejections")
    page.wait_for_function("document.querySelector('.fl-found').innerText === 'Asked.'")
    assert page.evaluate("asked.rows") == [[4, 2], [3, 2], [2, 2]]
    page.fill("[data-field=u]", "much")
    assert page.get_attribute("[data-field=u]", "aria-invalid") == "true"
    assert rows.count() == 3
    for field in ("step", "u"):
        page.fill(f"[data-field={field}]", "")
    page.fill(".fl-find", "SHIP7")
    assert rows.count() == 1
    assert "1 of 12 shown" in page.inner_text(".fl-found")
    rows.first.click()
    assert "'ship7', rejected" in page.inner_text(".fl-inspector h3")
    assert shown(page) >= 8
    page.fill(".fl-find", "")
    page.select_option(".fl-kind", "end of text")
    assert rows.count() == 0


def test_a_recorded_run_says_so_and_a_live_one_does_not(page):
    """When and with what it was made, and of which article, stands above the stream as long as it is shown."""
    stage.send(page, messages.replay(stage.trace(3)))
    banner = page.inner_text(".fl-banner")
    for part in ("Recorded run, not live", "2026-11-23", "mini", "ngram:3", "γ 4", "seed 0", "torch 2"):
        assert part in banner
    stage.send(page, *stage.live(stage.trace(3)))
    banner = page.inner_text(".fl-banner")
    assert banner == (
        "Live run: target mini, drafter ngram:3, γ 4, temperature 1, seed 0, article “The ferry left Port Ellery …”."
    )


def test_a_hostile_trace_stays_text(page):
    """Markup, direction and control characters in every text of a trace: no element comes of it, nothing runs."""
    run = stage.trace(2)
    bad = [dataclasses.replace(t, text=HOSTILE) for t in run.steps[0].draft]
    evil = Emitted(101, "\u202egnp.exe\x00\x1b[31m", "resampled", 0.2, stage.candidates(HOSTILE, "\u202e"))
    steps = (dataclasses.replace(run.steps[0], draft=tuple(bad), emitted=evil), run.steps[1])
    run = dataclasses.replace(
        run, steps=steps, article=Article(f"{HOSTILE} \u202e\x00", 9, 0), target=HOSTILE, drafter=HOSTILE, made=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )  # fmt: skip
    replay(page, run)
    page.keyboard.press("End")
    for i in range(5):
        page.locator(TOKENS).nth(i).evaluate("e => e.click()")  # the panel may lie over it
        assert "onerror" in page.inner_text(".fl-inspector")
    page.evaluate("document.querySelector('.fl-rejections').open = true")
    assert page.locator(".fl-player img, .fl-player script").count() == 0
    assert page.title() != "owned"
    text = page.evaluate("document.querySelector('.fl-player').textContent")
    assert not any(c in text for c in "\u202e\x00\x1b")


def test_figures_follow_the_playhead(page):
    """Tokens per call, acceptance, calls and speed are those of the steps shown, as analysis.metrics counts them."""
    run = stage.trace(3)
    replay(page, run)
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".fl-tile:nth-child(1) dd").split() == ["3.00", "3", "tokens", "/", "1", "call"]
    assert "2 of 3 tested" in page.inner_text(".fl-tile:nth-child(2) dd")
    page.keyboard.press("End")
    assert "9 tokens / 3 calls" in page.inner_text(".fl-tile:nth-child(1) dd")


def test_the_race_compares_tokens_at_the_same_time_as_the_comparison_does(page):
    """10 ms a step of three tokens against 6 ms a token, by the medians: a call that the machine held up for a second
    makes nobody win or lose, and the comparison names the same times."""
    run = stage.trace(12)
    late = dataclasses.replace(run.steps[2], seconds_other=1.0)
    run = dataclasses.replace(run, steps=(*run.steps[:2], late, *run.steps[3:]))
    replay(page, run)
    page.keyboard.press("End")
    assert page.inner_text(".fl-race-note") == (
        "Speculative decoding wins: speculative 120 ms for 36 tokens, plain 216 ms for 36 tokens. "
        "Calls of a kind count alike, with the median of their times, as in the comparison."
    )
    compared = render.compare_html(run, run.baseline, finished=True)
    assert "120 ms <small>" in compared
    assert "216 ms <small>" in compared
    lanes = page.evaluate(
        "[...document.querySelectorAll('.fl-racing .fl-race')].map(row => [row.classList.contains('fl-winner'),"
        " row.querySelector('.fl-race-said').textContent, row.querySelector('.fl-flag').hidden,"
        " parseFloat(row.querySelector('.fl-flag').style.left) / parseFloat(row.querySelector('.fl-seg').style.width)])"
    )
    # One scale of time: the speculative bar ends at its flag, that of plain decoding stood at 50 of 216 ms by then.
    assert lanes == [
        [True, "36 tokens at 120 ms", False, pytest.approx(1)],
        [False, "36 tokens at 216 ms", False, pytest.approx(216 / 120)],
    ]
    page.keyboard.press("ArrowLeft")
    assert page.locator(".fl-flag:visible").count() == page.locator(".fl-winner").count() == 0


def test_the_race_has_no_winner_where_the_machine_was_too_busy(page):
    """As the comparison has no speedup then: neither row bears a star, and the note says why."""
    run = stage.trace(12)
    slow = tuple(dataclasses.replace(s, seconds_target=0.05) if s.index > 7 else s for s in run.steps)
    run = dataclasses.replace(run, steps=slow)
    assert timing.compare_runs(run, run.baseline).trouble == timing.BUSY
    replay(page, run)
    page.keyboard.press("End")
    assert page.inner_text(".fl-race-note").startswith(f"{timing.BUSY}: nobody is called the winner.")
    assert page.locator(".fl-winner").count() == 0
    assert page.locator(".fl-flag:visible").count() == 2


def test_the_charts_follow_the_playhead_and_are_tables(page):
    """Accepted of tested at each place with its interval in words, a row for each step with its times: of the steps
    that are shown, and of no other."""
    run = stage.trace(12)
    replay(page, run)
    page.keyboard.press("ArrowRight")
    assert page.locator(".fl-timeline tbody tr").count() == 1
    rows = ".fl-places tbody tr"
    assert page.locator(rows).evaluate_all("all => all.map(r => r.lastChild.textContent)") == [
        "1 of 1", "1 of 1", "0 of 1", "not tested",
    ]  # fmt: skip
    page.keyboard.press("End")
    low, high = wilson(12, 12)
    assert page.get_attribute(f"{rows}:first-child .fl-share", "title") == (
        f"100%, 95 % interval {low:.0%} to {high:.0%}"
    )
    assert page.locator(".fl-timeline tbody tr").count() == 12
    assert page.get_attribute(".fl-timeline tbody tr:last-child", "title") == (
        "Step 12: drafting 1.00 ms, target call 8.00 ms, everything else 1.00 ms"
    )
    left, width = page.locator(".fl-timeline tbody tr:last-child .fl-seg-drafting").evaluate(
        "e => { const b = e.getBoundingClientRect(), c = e.parentElement.getBoundingClientRect();"
        " return [(b.x - c.x) / c.width, b.width / c.width]; }"
    )
    assert (left, width) == (pytest.approx(110 / 120, abs=0.005), pytest.approx(1 / 120, abs=0.005))
    page.keyboard.press("ArrowLeft")
    assert page.locator(".fl-timeline tbody tr").count() == 11
    names = page.locator(".fl-measures table").evaluate_all("all => all.map(t => t.getAttribute('aria-label'))")
    assert names == ["Acceptance by place in the draft", "Step timeline"]


@pytest.mark.parametrize(("accepted", "tested"), [(1, 1), (0, 3), (9, 10), (400, 400)])
def test_the_browser_knows_wilsons_interval(bare, accepted, tested):
    """The same numbers as analysis.metrics."""
    assert stage.call(bare, f"wilson({accepted}, {tested})") == pytest.approx(list(wilson(accepted, tested)))


def test_a_run_is_read_as_stream_as_calls_or_as_text(page):
    """Calls: a row each, guesses over verdicts, the text so far. Text: the kept words alone; a mark opens what was
    refused. A word cut between two calls stays one word."""
    run = stage.trace(2)
    cut = dataclasses.replace(run.steps[1].draft[0], text="boat")
    second = dataclasses.replace(run.steps[1], draft=(cut, *run.steps[1].draft[1:]))
    replay(page, dataclasses.replace(run, steps=(run.steps[0], second)))
    page.keyboard.press("End")
    page.click(".fl-views label:has-text('calls')")
    assert page.locator(".fl-call").count() == 2
    assert page.locator(".fl-group:first-child .fl-guess").all_inner_texts() == ["two", "tugs", "ship0", "left"]
    assert page.locator(".fl-so-far").all_inner_texts()[1].endswith("two tugs ferryboat tugs ferry")
    boxes = [page.locator(f".fl-group:first-child {part}").nth(2).bounding_box() for part in (".fl-guess", ".fl-tok")]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[0]["y"] < boxes[1]["y"]
    page.keyboard.press("ArrowLeft")
    assert page.locator(".fl-call").count() == 1
    page.keyboard.press("ArrowRight")
    page.click(".fl-views label:has-text('text')")
    assert page.inner_text(".fl-stream").split() == ["two", "tugs×2", "ferryboat", "tugs×2", "ferry"]
    page.click(".fl-fold >> nth=0")
    assert "ship0" in page.inner_text(".fl-stream")
    assert page.get_attribute(".fl-fold >> nth=0", "aria-label") == "2 refused guesses in call 1"
    page.locator(TOKENS).first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent").endswith("ferry")  # over the two that are unfolded


def test_j_and_k_walk_from_one_rejection_to_the_next_and_push_nothing_away(page):
    """From the first to the last and no further, past tokens that are none; the panel never lies over its token."""
    replay(page, stage.trace(3))
    page.keyboard.press("End")
    before = page.locator(".fl-racing").bounding_box()
    page.keyboard.press("j")
    assert "Step 1: 'ship0', rejected" in page.inner_text(".fl-inspector h3")
    assert page.inner_text(".fl-walk-place") == "Rejection 1 of 3"
    assert page.locator(".fl-walk-back").is_disabled()
    assert page.locator(".fl-racing").bounding_box() == before
    page.click(".fl-walk-on")
    assert page.evaluate("document.activeElement.className") == "fl-walk-on"
    page.keyboard.press("J")
    page.keyboard.press("j")
    assert "Step 3: 'ship2', rejected" in page.inner_text(".fl-inspector h3")
    assert page.locator(".fl-walk-on").is_disabled()
    marked, panel = (
        page.locator("[aria-pressed=true].fl-tok").bounding_box(),
        page.locator(".fl-inspector").bounding_box(),
    )
    assert marked["x"] + marked["width"] <= panel["x"] or marked["x"] >= panel["x"] + panel["width"]
    page.locator(TOKENS).nth(1).evaluate("e => e.click()")
    assert page.inner_text(".fl-walk-place") == "3 rejections"
    page.keyboard.press("k")
    assert page.inner_text(".fl-walk-place") == "3 rejections"
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert page.inner_text(".fl-walk-place") == "Rejection 2 of 3"
    page.keyboard.press("Escape")
    assert page.locator(".fl-inspector").is_hidden()


def test_the_inspector_is_a_sheet_on_a_phone(page):
    """At the bottom, over the whole width, with the token above it."""
    page.set_viewport_size({"width": 390, "height": 844})
    replay(page, stage.trace(3))
    page.keyboard.press("End")
    page.keyboard.press("j")
    panel = page.locator(".fl-inspector").bounding_box()
    assert (panel["x"], panel["width"], panel["y"] + panel["height"]) == (0, 390, 844)
    marked = page.locator("[aria-pressed=true].fl-tok").bounding_box()
    assert 0 <= marked["y"] <= marked["y"] + marked["height"] <= panel["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_while_the_viewer_predicts_nothing_unseen_is_walked_to(page):
    """J goes as far as the verdicts that were seen."""
    page.check(".fl-predict-on")
    stage.send(page, messages.replay(stage.trace(3)))
    page.wait_for_selector(f"{TOKENS}.fl-draft")
    page.keyboard.press("j")
    assert page.locator(".fl-inspector").is_hidden()
    page.keyboard.press("3")
    page.keyboard.press("j")
    assert page.inner_text(".fl-walk-place") == "Rejection 1 of 1"


def test_what_if_gets_the_run_and_the_token_that_the_inspector_shows(page):
    """No file is needed; an ignored token cannot be asked about."""
    run = stage.trace(2)
    replay(page, run)
    page.keyboard.press("End")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.click(".fl-ask-what")
    ((name, asked),) = page.evaluate("sent")
    assert (name, asked["step"], asked["offset"]) == ("what_if", 1, 2)
    assert from_json(asked["text"]) == run
    page.locator(f"{TOKENS}.fl-ignored").first.evaluate("e => e.click()")
    assert page.locator(".fl-ask-what").count() == 0


def test_a_tree_shows_the_path_and_folds_what_lost(page):
    """Losers lie behind a mark at the end of their call, deeper ones below their parents; opened by keyboard, closed
    again; a chain has no mark; there is nothing to predict where the path is what the target took."""
    sides = (
        SideToken(60, " ship", 1, 0.1, 0.2, 0.7, 0.4, by="lstm"),
        SideToken(61, " boat", 4, 0.1, 0.2),
        SideToken(62, "<b>", -1, 0.1, 0.2),
    )
    run = stage.trace(3, rule="siblings", nodes=8, width=2)
    steps = (run.steps[0], dataclasses.replace(run.steps[1], aside=sides), run.steps[2])
    replay(page, dataclasses.replace(run, steps=steps))
    page.keyboard.press("End")
    assert page.locator(".fl-branches").count() == 1
    mark = page.locator(".fl-branches > summary")
    assert mark.inner_text() == "3 others"
    assert not page.locator(".fl-branches ul").first.is_visible()
    mark.focus()
    page.keyboard.press("Enter")
    said = page.locator(".fl-branches").inner_text()
    assert "' ship'" not in said
    assert "'ship' by lstm: tested and refused (p 0.1, q 0.2)" in said
    assert "Beside 'ship1', place 3 of the draft" in said
    assert page.locator(".fl-branches ul ul ul li").inner_text() == "'boat': not tested (p 0.1, q 0.2)"
    assert "'<b>'" in said
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # in the order of the places: the first guess of the draft's first place, then ' ship'
    page.keyboard.press("Enter")
    opened = page.inner_text(".fl-inspector")
    assert "Step 2: 'ship' by lstm: tested and refused" in opened
    assert "u = 0.7 is not below 0.4" in opened
    assert page.locator(".fl-inspector table").count() == 1
    assert "this guess" in page.inner_text(".fl-inspector table")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent").startswith("'ship' by lstm")
    page.click(".fl-side:has-text('boat')")
    assert "'ship', which it follows, was not kept." in page.inner_text(".fl-inspector")
    assert "not recorded: the run went another way" in page.inner_text(".fl-inspector")
    page.keyboard.press("Escape")
    mark.focus()
    page.keyboard.press("Enter")
    assert not page.locator(".fl-branches ul").first.is_visible()
    page.check(".fl-predict-on")
    assert "nothing is left to guess" in page.inner_text(".fl-question")


def test_a_lossy_run_bears_its_badge_and_any_other_none(page):
    """Recorded, imported or live: what Big Little Decoder keeps may differ from the target's text."""
    words = "Lossy: the text may differ"
    stage.send(page, messages.replay(stage.trace(2, rule="bild", rollback=2.0, temperature=0.0)))
    assert words in page.inner_text(".fl-lossy-note")
    assert "rollback" not in page.inner_text(".fl-banner")
    stage.send(page, messages.replay(stage.trace(2, rule="block")))
    assert page.locator(".fl-lossy-note").is_hidden()
    stage.send(page, *stage.live(stage.trace(2, rule="bild", rollback=2.0, temperature=0.0)))
    assert words in page.inner_text(".fl-lossy-note")


def test_the_browser_reads_the_fields_that_are_written_down(page):
    """assets/player/fields.json: the player asks a message for those alone, and strips what no trace has."""
    told = stage.live(stage.trace(3))
    asked = page.evaluate(
        """async ([source, told]) => {
          const asked = new Set();
          const {makeStore, unpack, CONFIG} = Function(`${source}; return {makeStore, unpack, CONFIG};`)();
          const store = makeStore(CONFIG.fields);
          for (const text of told) {
            const message = JSON.parse(text);
            if (message.packed) Object.assign(message, JSON.parse(await unpack(message.packed)));
            store.accept(new Proxy(message, {get: (of, name) => { asked.add(name); return of[name]; }}));
          }
          const trace = store.trace();
          return [[...asked], Object.keys(trace), Object.keys(trace.steps[0]), Object.keys(store.rejections[0])];
        }""",
        [stage.pure(), told],
    )
    fields = json.loads((FOLDER / "fields.json").read_text(encoding="utf-8"))
    assert set(asked[0]) == set(fields["message"]) - {"packed"}
    assert not set(fields["head"]) & set(asked[1])
    assert not set(fields["step"]) & set(asked[2])
    assert asked[3] == fields["rejection"]


@pytest.mark.parametrize(
    ("text", "passes", "fails"),
    [
        (">0.5", [0.6], [0.5]),
        ("<= 3", [3, 0], [4]),
        ("0.1..0,4", [0.1, 0.4], [0.09, 0.5]),
        ("7", [7], [7.1]),
        ("=1e-3", [0.001], [1]),
    ],
)
def test_a_number_is_filtered_by_what_people_write(bare, text, passes, fails):
    """Signs, ranges, a plain number, a decimal comma."""
    got = stage.call(bare, f"{json.dumps([*passes, *fails])}.map(rangeOf({json.dumps(text)}))")
    assert got == [True] * len(passes) + [False] * len(fails)


def test_a_filter_that_says_nothing_is_told_from_one_that_cannot_be_read(bare):
    """Empty: no filter; words: not a filter."""
    assert stage.call(bare, "['', ' ', 'many', '>', '1..', '<p>'].map(t => String(rangeOf(t)))") == [
        "null", "null", *["undefined"] * 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("article", "pieces", "at", "found"),
    [
        ("Two tugs towed the ferry.", [" Two", " tugs", " to", "wed", " it"], 1, "Two tugs towed"),
        ("Two tugs towed the ferry.", [" Two", " tugs", " to", "wed", " it"], 3, "Two tugs towed"),
        ("Two tugs towed the ferry.", [" Two", " tugs", " to", "wed", " it"], 4, None),
        ("about a boat", [" a"], 0, "a"),
        ("about boats", [" a"], 0, None),
        ("the  old\n\nquay", [" old", " quay"], 0, "old\n\nquay"),
        ("he said “No” twice", [" said", ' "', "No", '"'], 2, "said “No”"),
        ("a b c. a b d", [" a", " b", " d"], 1, "a b d"),
        ("anything", [" "], 0, None),
        ("", [" a"], 0, None),
    ],
)
def test_the_source_is_the_longest_run_that_stands_in_the_article(bare, article, pieces, at, found):
    """Spaces and quotes apart; a word counts only where it ends as a word."""
    place = stage.call(bare, f"findSource({json.dumps(article)}, {json.dumps(pieces)}, {at})")
    assert (place and article[place["start"] : place["end"]]) == found


def test_the_source_agrees_with_a_search_over_all_runs(bare):
    """On random texts of a small vocabulary the quick search finds as long a run as trying every one."""
    draw = random.Random(0)
    longest, calls = [], []
    for _ in range(30):
        article = "".join(draw.choice([" a", " b", " c"]) for _ in range(40))
        pieces = [draw.choice([" a", " b", " c"]) for _ in range(12)]
        at = draw.randrange(12)
        runs = [(i, j) for i in range(at + 1) for j in range(at, 12) if "".join(pieces[i : j + 1]) in article]
        longest.append(max(j - i for i, j in runs))
        calls.append(f"findSource({json.dumps(article)}, {json.dumps(pieces)}, {at})")
    places = stage.call(bare, f"[{', '.join(calls)}]")
    assert [place["last"] - place["first"] for place in places] == longest


def test_the_residual_is_exact_where_q_is_known_and_a_bound_elsewhere(bare):
    """norm(max(0, p - q)) with the norm 1 - beta; a one-hot q is 0 wherever it is not 1."""
    draft = {"id": 1, "text": "x", "p": 0.1, "q": 0.5, "beta": 0.6, "p_top": [], "q_top": []}
    draft["p_top"] = [{"id": i, "text": "t", "raw": 0.1, "prob": p} for i, p in ((2, 0.5), (1, 0.1), (3, 0.2))]
    draft["q_top"] = [{"id": 2, "text": "t", "raw": 0.1, "prob": 0.3}]
    emitted = {"id": 9, "text": "z", "p": 0.04}
    rows = stage.call(bare, f"residualRows({json.dumps(draft)}, {json.dumps(emitted)}, false)")
    assert [(r["id"], round(r["value"], 6), r["known"]) for r in rows] == [
        (2, 0.5, True),
        (1, 0, True),
        (3, 0.5, False),
        (9, 0.1, False),
    ]
    draft["q_top"] = []
    rows = stage.call(bare, f"residualRows({json.dumps(draft)}, null, false)")
    assert all(r["known"] for r in rows)


@pytest.mark.parametrize("rule", ["token", "block"])
def test_the_residual_of_a_recorded_run_is_what_the_replacement_was_drawn_from(bare, rule):
    """Over a vocabulary of 12 with 5 candidates each, against the distributions themselves: every row of the record.

    Block verification draws from norm(max(0, w p - q)) with the weight of the text before (Sun et al. 2024).
    """
    steps, truth = drawn_steps(rule)
    assert len(steps) >= 5
    weights = set()
    for step, (p, q) in zip(steps, truth, strict=True):
        at = step.accepted
        data = json.dumps(dataclasses.asdict(step))
        rows, how = stage.call(
            bare,
            f"(s => {{ const how = residualOf(s, {at}, '{rule}');"
            f" return [residualRows(s.draft[{at}], s.emitted, false, how), how]; }})({data})",
        )
        left = (how["w"] * p - q).clamp_min(0)
        left = left / left.sum()
        weights.add(how["w"] < 1)
        listed = {c.id for c in (*step.draft[at].p_top, *step.draft[at].q_top)}
        assert {r["id"] for r in rows if not r["known"]} <= {step.emitted.id} - listed
        for r in rows:
            exact = float(left[r["id"]])
            assert r["value"] == pytest.approx(exact, abs=1e-4) if r["known"] else r["value"] >= exact - 1e-6
    assert weights == ({False} if rule == "token" else {False, True})


def test_any_other_rule_draws_nothing(bare):
    """Big Little Decoder puts the target's first choice: no residual is drawn."""
    step = json.dumps(dataclasses.asdict(stage.step(0, 0)))
    assert stage.call(bare, f"residualOf({step}, 2, 'bild')") is None


def test_a_file_over_the_limit_is_not_even_sent(page, tmp_path):
    """The browser refuses it with its size and the limit; nothing reaches the server."""
    big, small = tmp_path / "big.json", tmp_path / "a.json"
    big.write_bytes(b" " * 8_000_001)
    small.write_text("{}")
    page.set_input_files(".fl-open-file input", big)
    page.wait_for_function("document.querySelector('.fl-file-note').innerText.includes('limit')")
    assert "8.0 MB; the limit is 8 MB" in page.inner_text(".fl-file-note")
    assert page.evaluate("sent") == []
    page.set_input_files(".fl-open-file input", small)
    page.wait_for_function("sent.length === 1")
    assert page.evaluate("sent") == [["open_trace", {"text": "{}"}]]


def judged(*statuses: str, emitted: str | None = " on") -> dict:
    """A step whose draft is " a", " b", ... of these statuses."""
    draft = [{"id": i, "text": f" {'abcdefgh'[i]}", "status": s} for i, s in enumerate(statuses)]
    return {"draft": draft, "emitted": emitted and {"id": 50, "text": emitted}}


@pytest.mark.parametrize(
    ("step", "said", "led"),
    [
        (
            judged("accepted", "rejected", "ignored"),
            "Step 4: one kept, 'b' refused, 'on' instead.",
            ["The drafter guesses three: “a b c”.", "The target keeps one, refuses “b” and writes “on” itself."],
        ),
        (
            judged("accepted", "accepted"),
            "Step 4: both kept, 'on' added.",
            ["The drafter guesses two: “a b”.", "The target keeps both and adds “on”, all in one call."],
        ),
        (
            judged("accepted", emitted=None),
            "Step 4: the one kept.",
            ["The drafter guesses one: “a”.", "The target keeps the one."],
        ),
        (
            judged(),
            "Step 4: 'on' by the target.",
            ["Nothing is guessed here: the target writes on its own.", "It writes “on”."],
        ),
    ],
)
def test_a_step_is_told_in_one_sentence(bare, step, said, led):
    """Kept, refused, and what the target wrote; as a screen reader says it, and over the first steps."""
    data = json.dumps(step)
    assert stage.call(bare, f"stepSentence({data}, 3, () => false)") == said
    told = f"[draftSentence({data}, () => false), verdictSentence({data}, () => false)]"
    assert stage.call(bare, told) == led


def test_a_screen_reader_hears_each_step_once(page):
    """One polite region: a sentence a step while one steps, several steps in one where they come at once, the way back
    said as such; half steps say nothing."""
    page.evaluate(
        "window.heard = []; new MutationObserver(() => heard.push(document.querySelector('.fl-said').textContent))"
        ".observe(document.querySelector('.fl-said'), {childList: true})"
    )
    replay(page, stage.trace(6))
    page.evaluate("heard.length = 0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    one = "Step {}: two kept, 'ship{}' refused, 'ferry' instead."
    assert page.evaluate("heard") == [
        one.format(1, 0), one.format(2, 1), "Steps 3 to 6: eight kept, four refused.", "Back at step 5.",
        one.format(6, 5),
    ]  # fmt: skip
    regions = page.evaluate("[...document.querySelectorAll('.fl-stage [aria-live], .fl-said')].length")
    assert regions == 1


def test_the_first_run_of_a_visit_is_explained_and_the_explanation_comes_back(page):
    """Pressing Run: the draft with its sentence, then the verdict with its own; skipped, it does not come again by
    itself; asked for, it does."""
    page.evaluate("document.querySelector('.fl-player').dispatchEvent(new Event('fl-run'))")
    stage.send(page, *stage.live(stage.trace(6)))
    page.wait_for_function("document.querySelector('.fl-lead p').textContent.startsWith('The drafter guesses four')")
    assert page.locator(f"{TOKENS}.fl-draft").count() == 4
    page.wait_for_function("document.querySelector('.fl-lead p').textContent.startsWith('The target keeps two')")
    assert shown(page) == 1
    page.click(".fl-lead-skip")
    assert page.locator(".fl-lead").is_hidden()
    page.wait_for_function("document.querySelector('.fl-place').innerText.startsWith('Step 6')")
    page.evaluate("document.querySelector('.fl-player').dispatchEvent(new Event('fl-run'))")
    stage.send(page, *stage.live(stage.trace(3)))
    page.wait_for_function("document.querySelector('.fl-place').innerText.startsWith('Step 3')")
    page.click(".fl-lead-again")
    page.wait_for_selector(".fl-lead:visible")
    page.keyboard.press("End")
    assert page.locator(".fl-lead").is_hidden()


def test_nothing_moves_by_itself_for_who_wants_no_motion(browser):
    """prefers-reduced-motion: a run is shown whole when it is there, and plays only when asked to."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    stage.mount(page)
    page.evaluate("document.querySelector('.fl-player').dispatchEvent(new Event('fl-run'))")
    told = stage.live(stage.trace(6))
    stage.send(page, *told[:-1])
    assert shown(page) == 0
    stage.send(page, told[-1])
    assert shown(page) == 6
    assert page.locator(".fl-lead").is_hidden()
    assert page.get_attribute("[data-do=play]", "aria-label") == "Play"
    context.close()


def test_the_runs_of_a_visit_stand_side_by_side_and_come_back(page):
    """Two runs, a row each with their figures; pressing one sends its trace to be opened, and it is the same run again,
    with no row added."""
    runs = [stage.trace(4), stage.trace(6, drafter="lookup")]
    stage.send(page, *stage.live(runs[0]))
    assert page.locator(".fl-visit").is_hidden()
    told = stage.live(runs[1])
    stage.send(page, *told, told[-1])
    rows = page.locator(".fl-visit tbody tr")
    assert [rows.nth(i).locator("td").all_inner_texts()[:8] for i in range(2)] == [
        ["1", "The ferry left Port …", "mini", "ngram:3", "4", "1", "3.00", "67%"],
        ["2", "The ferry left Port …", "mini", "lookup", "4", "1", "3.00", "67%"],
    ]
    assert page.get_attribute(".fl-visit [aria-current]", "aria-label") == "Show run 2 again"
    page.click("[aria-label='Show run 1 again']")
    kind, data = page.evaluate("sent.at(-1)")
    assert kind == "open_trace"
    assert from_json(data["text"]) == runs[0]
    stage.send(page, messages.replay(runs[0]))
    assert page.get_attribute(".fl-visit [aria-current]", "aria-label") == "Show run 1 again"
    assert rows.count() == 2
