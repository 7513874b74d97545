"""Steps and figures to HTML: what is said of each token, and that nothing pasted becomes markup."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from fastllm.analysis.metrics import summarise
from fastllm.trace import Article, DraftToken, Emitted, Step, Trace
from fastllm.ui import render
from fastllm.ui.theme import STATUSES
from fastllm.visible import visible

EOS = (1,)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "`${alert(1)}`",
    "&lt;b&gt;",
    "{{#each x}}",
    "\u202egnp.exe",
    "a\x00b\x1b[31m",
]


def draft(text: str, status: str, p: float = 0.02, q: float = 0.61, token: int = 9) -> DraftToken:
    return DraftToken(token, text, status, p, q, beta=None if status == "ignored" else 0.5)


def rejected_step(rejected: str = " Paris", emitted: str = " Lyon", index: int = 0, position: int = 0) -> Step:
    tokens = (draft(" in", "accepted", 0.9, 0.8), draft(rejected, "rejected"), draft(" on", "ignored"))
    return Step(index, position, tokens, Emitted(5, emitted, "resampled", 0.71), 0.001, 0.006, 0.001)


def make_trace(*steps: Step, **changes) -> Trace:
    trace = Trace("speculative", "mini", "lookup", 4, 0.0, 0, 1.0, 3, 0, 96, Article("", 10, 0), steps, "text", "eos")
    return dataclasses.replace(trace, **changes)


class Tags(HTMLParser):
    """Every tag of a text with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_rejection_reads_as_a_sentence_that_names_its_replacement():
    """The sentence that a screen reader and a tooltip give of a rejected token."""
    step = rejected_step()
    assert (
        render.draft_sentence(step.draft[1], step.emitted, EOS)
        == "'Paris', rejected (p 0.02, q 0.61), replaced by 'Lyon'"
    )
    assert render.emitted_sentence(step, EOS) == "'Lyon', resampled by the target in place of 'Paris' (p 0.71)"


def test_each_status_says_what_happened():
    """Accepted gives p and q, ignored neither (its p follows a text that was not taken), the others say why."""
    accepted, _, ignored = rejected_step().draft
    assert render.draft_sentence(accepted, None, EOS) == "'in', accepted (p 0.9, q 0.8)"
    assert "not tested" in render.draft_sentence(ignored, None, EOS)
    assert "0.02" not in render.draft_sentence(ignored, None, EOS)
    bonus = Step(0, 0, (accepted,), Emitted(5, ".", "bonus", 1.0), 0, 0, 0)
    assert render.emitted_sentence(bonus, EOS) == "'.', bonus token from the target (p 1): the whole draft was accepted"
    alone = Step(0, 0, (), Emitted(5, " The", "target", 0.3), 0, 0, 0)
    assert render.emitted_sentence(alone, EOS) == "'The', the target's own token (p 0.3): nothing was drafted here"


def test_the_end_token_is_named_and_a_real_one_only():
    """`</s>` is known by its id: a token that merely reads so is quoted like any other."""
    end = Step(0, 0, (), Emitted(EOS[0], "</s>", "target", 1.0), 0, 0, 0)
    fake = Step(0, 0, (), Emitted(77, "</s>", "target", 1.0), 0, 0, 0)
    assert render.emitted_sentence(end, EOS).startswith("end of text,")
    assert render.emitted_sentence(fake, EOS).startswith("'</s>',")


@pytest.mark.parametrize("text", HOSTILE)
def test_sentences_hold_no_control_character(text):
    """Whatever a token holds, what is said of it cannot turn the text around it or move the cursor."""
    step = rejected_step(rejected=text, emitted=text)
    for sentence in (render.draft_sentence(step.draft[1], step.emitted, EOS), render.emitted_sentence(step, EOS)):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b]", sentence)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_sentences_and_words_stay_text(text):
    """The same of notices, of the word count's excerpt, of the target's title and of the text of plain decoding."""
    pairs = [
        (render.notices_html([text]), render.notices_html(["x"])),
        (render.count_html(5, 5, 5, text), render.count_html(5, 5, 5, "x")),
        (render.loading_html(text), render.loading_html("x")),
        (render.status_html(text), render.status_html("x")),
        (
            render.agreement_html(make_trace(temperature=1.0), make_trace(text=text)),
            render.agreement_html(make_trace(temperature=1.0), make_trace(text="x")),
        ),
    ]
    for html, harmless in pairs:
        assert [t for t, _ in Tags(html).tags] == [t for t, _ in Tags(harmless).tags]


def test_what_cannot_be_seen_is_shown():
    """Line breaks as a sign, other control and direction characters as the replacement character; joiners stay."""
    assert visible("a\nb\u2028c") == "a⏎b⏎c"
    assert visible("\u202ea\x00\x1b") == "\ufffda\ufffd\ufffd"
    assert visible("नमस्‍ते") == "नमस्‍ते"


def test_the_legend_shows_every_status_with_its_own_glyph_and_meaning():
    """All five statuses and the sixth, rare kind, none told by colour alone."""
    html = render.legend_html()
    assert [re.findall(r"fl-tok fl-(\w+)", html)] == [list(STATUSES)]
    assert len({(s.glyph, s.shape) for s in STATUSES.values()}) == len(STATUSES) == 6
    assert all(s.meaning.replace("'", "&#x27;") in html for s in STATUSES.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.5, "0.5"),
        (0.004, "under 0.01"),
        (1e-9, "under 0.01"),
        (0.9999, "over 0.99"),
        (0.987, "0.99"),
    ],
)
def test_probabilities_never_round_to_certainty(value, text):
    """Only exactly 0 and 1 read as 0 and 1."""
    assert render.probability(value) == text


def test_figures_are_those_of_the_metrics():
    """tau, accepted over tested, target calls and tokens per second, with the counts that they come from."""
    trace = make_trace(rejected_step(), rejected_step(index=1, position=2))
    assert render.figures(summarise(trace)) == [
        ("2.00", "4 tokens / 2 calls"),
        ("50%", "2 of 4 tested; mean β 0.50"),
        ("2", "plain decoding needs 4"),
        ("250", "16 ms in all"),
    ]
    assert len(render.figure_names()) == 4


def test_figures_without_a_draft_are_dashes():
    """Nothing drafted is no acceptance of zero."""
    alone = make_trace(Step(0, 0, (), Emitted(5, " The", "target", 0.3), 0.0, 0.01, 0.0))
    assert render.figures(summarise(alone))[1] == ("–", "0 of 0 tested; mean β –")


@pytest.mark.parametrize("key", render.GLOSSARY)
def test_every_figure_has_an_explanation_that_a_key_or_a_finger_opens(key):
    """A disclosure with a name of its own, never a tooltip alone; one sentence each."""
    tags = Tags(render.why_html(key)).tags
    assert [tag for tag, _ in tags] == ["details", "summary", "p"]
    assert tags[1][1]["aria-label"] == f"What is {render.GLOSSARY[key][0]}?"
    assert not any("title" in attrs for _, attrs in tags)
    text = render.GLOSSARY[key][1]
    assert text.endswith(".")
    assert not re.search(r"[.] [A-Z]", text)


def test_the_comparison_of_a_recorded_run_says_so():
    """The same figures, and that they were measured at another time."""
    trace = make_trace(rejected_step())
    live, recorded = (render.compare_html(trace, plain_of(trace, 0.01), True, recorded=r) for r in (False, True))
    assert "as it was recorded" in recorded
    assert "as it was recorded" not in live


def ten_of(step: Step, **changes) -> Trace:
    """`step` ten times: enough calls to be timed."""
    size = len(step.tokens)
    return make_trace(*(dataclasses.replace(step, index=i, position=size * i) for i in range(10)), **changes)


def plain_of(trace: Trace, seconds: float, **changes) -> Trace:
    steps = tuple(
        Step(i, i, (), Emitted(t, " x", "target", 1.0), 0.0, seconds, 0.0) for i, t in enumerate(trace.tokens)
    )
    return dataclasses.replace(trace, mode="autoregressive", steps=steps, **changes)


def test_identical_texts_are_certified_and_the_speedup_is_measured():
    """Two tokens in 8 ms against two in 6 ms each: 1.5 times as fast, and the same text; the calls saved come first."""
    trace = ten_of(rejected_step())
    html = render.compare_html(trace, plain_of(trace, 0.006), finished=True)
    assert "<b>1.50×</b>" in html
    assert "(1.50 to 1.50)" in html
    assert "Identical: all 20 tokens are the same" in html
    assert "slower" not in html
    assert html.index("<b>10 target calls</b>, plain decoding needs 20; τ = 2.00") < html.index("1.50×")


@pytest.mark.parametrize("seconds", [0.012, 0.1])
def test_a_speedup_above_tau_is_no_number(seconds):
    """3 times or 25 times as fast at tau 2: the clock is wrong, and the page says what the most is."""
    trace = ten_of(rejected_step())
    for recorded in (False, True):
        html = render.compare_html(trace, plain_of(trace, seconds), finished=True, recorded=recorded)
        assert "The machine is too busy to time this: at most 2.00×, which is τ" in html
        assert f"{seconds / 0.004:.2f}×" not in html


def test_a_sampled_run_is_compared_a_token_at_a_time():
    """Plain decoding's own text is three times as long: the speedup is of a token, and no calls of that text count."""
    trace = ten_of(rejected_step(), temperature=1.0)
    longer = dataclasses.replace(trace, steps=trace.steps * 3)
    html = render.compare_html(trace, plain_of(longer, 0.006), finished=True)
    assert "<b>1.50×</b>" in html
    assert "plain decoding needs 20 for as long a text" in html


def test_a_slower_run_says_so():
    """A speedup below one is told in words."""
    trace = ten_of(rejected_step())
    assert "slower" in render.compare_html(trace, plain_of(trace, 0.002), finished=True)


def test_texts_that_differ_are_never_called_identical():
    """The first differing token is named; one text being the start of the other counts as different."""
    trace = make_trace(rejected_step())
    other = make_trace(rejected_step())
    plain = plain_of(trace, 0.01)
    changed = dataclasses.replace(
        plain, steps=(plain.steps[0], dataclasses.replace(plain.steps[1], emitted=Emitted(8, " y", "target", 1.0)))
    )
    assert "differ from token 2 on" in render.agreement_html(other, changed)
    shorter = dataclasses.replace(plain, steps=plain.steps[:1])
    assert "differ from token 2 on" in render.agreement_html(other, shorter)
    assert "Identical" not in render.agreement_html(other, shorter)


def test_identical_texts_keep_the_mistakes_and_say_how_soon_they_began():
    """A plain statement of what lossless means, who computed it, and the seconds to the first token."""
    trace = dataclasses.replace(make_trace(rejected_step()), seconds_encode=0.25, engine="onnx")
    html = render.agreement_html(trace, plain_of(trace, 0.01))
    assert "mistakes of fact" in html
    assert "ONNX Runtime" in html
    first = 0.25 + trace.steps[0].seconds
    assert f"the first token came after {first:.2f} s, 0.25 of them reading the article" in html


def test_sampled_texts_are_not_compared_token_for_token():
    """Above temperature 0 equal distributions are claimed, not equal texts, even where the texts are equal."""
    trace = make_trace(rejected_step(), temperature=1.0)
    html = render.agreement_html(trace, plain_of(trace, 0.01))
    assert "same distribution" in html
    assert "Identical" not in html


def test_an_unfinished_comparison_gives_no_speedup_and_no_verdict():
    """While plain decoding runs, its time is not yet that of the text."""
    trace = make_trace(rejected_step())
    html = render.compare_html(trace, plain_of(trace, 0.01), finished=False)
    assert "×" not in html
    assert "Identical" not in html


def test_bars_share_one_scale():
    """The slower run's bar is full, the other's in proportion to measured time."""
    trace = make_trace(rejected_step())
    widths = [
        sum(float(w) for w in re.findall(r"width:([\d.]+)%", bar))
        for bar in render.compare_html(trace, plain_of(trace, 0.016), finished=True).split('class="fl-race"')[1:]
    ]
    assert widths == pytest.approx([25, 100], abs=0.1)


def test_the_word_count_says_what_is_not_read():
    """A cut article is told by how much, a whole one that it is whole, and one over the limit by which limit."""
    assert "reads all of it" in render.count_html(10, 14, 0)
    assert 'data-example="Sport"' in render.count_html(10, 14, 0, example="Sport")
    cut = re.sub("<[^>]*>", "", render.count_html(300, 250, 1190, "of the harbour"))
    assert cut == "300 words. The target reads the first 250 of 1,440 tokens, up to “… of the harbour”."
    assert "100,000 characters" in render.count_html(9, 0, 0, too_long=100_000)


def test_an_error_is_an_alert_and_a_remark_is_not():
    """Screen readers interrupt for errors only; no sentence, no element."""
    assert 'role="alert"' in render.notices_html(["no"], error=True)
    assert 'role="alert"' not in render.notices_html(["hm"])
    assert render.notices_html([]) == ""


def test_what_the_page_promises_of_the_text_depends_on_the_rule():
    """Header and introduction hold a sentence for exact rules and one for the others, of which the style sheet shows
    one: none of the promise stands outside of them."""
    for html in (render.header_html(), render.intro_html()):
        html = " ".join(html.split())
        exact, lossy = (re.search(f'<span class="fl-if-{kind}">([^<]+)</span>', html) for kind in ("exact", "lossy"))
        assert "own" in exact[1]
        assert "not have written" in lossy[1]
        left = html.replace(exact[0], "").replace(lossy[0], "")
        assert not re.search("exactly|would|stays", left)
