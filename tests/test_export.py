"""A trace as a self-contained page and as CSV: whole, escaped, and without anything to run or fetch."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from html.parser import HTMLParser

import pytest

from fastllm import paper
from fastllm.analysis.rejections import rejections
from fastllm.analysis.rejections import to_csv as rejections_csv
from fastllm.analysis.whatif import places
from fastllm.export import CSV_COLUMNS, to_csv, to_html
from fastllm.places import COLUMNS
from fastllm.trace import from_json, to_json
from fastllm.ui.theme import STATUSES
from fastllm.ui.whatif.view import place_name
from tests.traces import trace_of

HOSTILE = (
    "</style><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    '"><svg onload=alert(1)>',
    "\u202egnp.exe\u202c",
    "\x00\x1b[31m\x08\u2066",
    "&lt;b&gt;",
    "javascript:alert(1)",
)


def hostile():
    """A run whose every text is an attack."""
    steps = [([f" {t}", f"~{t}", f".~{t}"], f" {t}") for t in HOSTILE]
    everything = "\n".join(HOSTILE)
    trace = trace_of(*steps, article=everything, target=HOSTILE[0], drafter=HOSTILE[1])
    return dataclasses.replace(
        trace, text=everything, target_hash=HOSTILE[2], versions={HOSTILE[1]: HOSTILE[0]}, made=HOSTILE[1]
    )


class Tags(HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


OURS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "b", "i", "section", "dl", "dt", "dd",
    "div", "ul", "li", "span", "bdi", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def test_the_page_holds_the_whole_run():
    """Every token with its status as a class and as a word, the figures, the article, the rejections."""
    trace = trace_of(
        ([" The", " ferry"], " was"), (["~ early", ".~ again"], " late"), ([], "</s>"), article="So it was."
    )
    trace = dataclasses.replace(trace, made="2026-11-23T10:00:00+00:00", text="The ferry was late", target_hash="abc")
    page = to_html(trace)
    assert re.findall(r'<bdi class="t (\w+)"', page) == [
        "accepted", "accepted", "bonus", "rejected", "ignored", "resampled", "target",
    ]  # fmt: skip
    text = "".join(Tags(page).text)
    for part in ("Recorded, not live.", "2026-11-23, 10:00", "ngram:3", "mini abc", "torch 2", "So it was.", "other"):
        assert part in text
    assert "&#x27;early&#x27;, rejected, replaced by &#x27;late&#x27; (p 0.1, q 0.5, u 0.5)" in page
    assert 'aria-label="end of text, target, p 0.4"' in page


def test_a_hostile_trace_brings_no_element_of_its_own():
    """Only our elements and attributes; no address, no handler, no script, no control or direction character."""
    page = to_html(hostile())
    tags = Tags(page)
    assert set(tags.names) <= OURS
    assert {name for name, _ in tags.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "role", "aria-label", "aria-labelledby",
        "aria-hidden", "title", "id", "scope", "dir",
    }  # fmt: skip
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page)
    assert "document.title='owned'" in "".join(tags.text)


def test_the_page_fetches_nothing():
    """No address and no import in it, and a policy that forbids both to run and to fetch."""
    page = to_html(trace_of(([" a", "~ b"], " c")))
    assert not re.search(r"https?:|//|url\(|@import|src=|href=", page)
    assert "default-src 'none'" in page
    assert "script" not in page


def test_the_same_palette_as_the_page():
    """Colours and statuses are those of the live page, in light and in dark."""
    page = to_html(trace_of(([" a"], " b")))
    light, dark = page.split("prefers-color-scheme: dark")
    for status in STATUSES.values():
        assert f"--{status.name}: {status.light};" in light
        assert f"--{status.name}: {status.dark};" in dark


def test_a_run_without_draft_or_rejection_says_so():
    """Plain decoding, and an empty trace, make a page too."""
    page = to_html(trace_of(([], " a"), ([], "</s>"), mode="autoregressive", drafter="", gamma=0))
    assert "none (plain decoding)" in page
    assert "every tested draft token was accepted, or nothing was drafted" in page
    assert "(empty)" in to_html(trace_of(text=""))


def test_plain_decoding_is_compared_where_it_was_recorded():
    """Speedup from the recorded times, and whether a greedy text was the same."""
    trace = trace_of(*[([" a", " b"], " c")] * 4, temperature=0.0)
    plain = trace_of(*[([], " a"), ([], " b"), ([], " c")] * 4, mode="autoregressive", temperature=0.0)
    text = "".join(Tags(to_html(trace.compared_with(plain))).text)
    assert "3.00× (3.00 to 3.00)" in text
    assert "Plain decoding's textthe same" in text
    other = trace_of(([], " a"), ([], " x"), mode="autoregressive", temperature=0.0)
    assert "Plain decoding's textanother text" in "".join(Tags(to_html(trace.compared_with(other))).text)
    assert "Measured speedup" not in to_html(trace)


def test_the_csv_has_a_row_for_each_draft_token():
    """Accepted, rejected with its replacement, ignored with empty cells; numbers read back."""
    rows = list(csv.DictReader(io.StringIO(to_csv(trace_of(([" a", "~ b", ".~ c"], " d"), ([], "</s>"))))))
    assert [tuple(r) for r in rows] == [CSV_COLUMNS] * 3
    assert [(r["token"], r["status"], r["replacement"], r["u"], r["chance"], r["rule"]) for r in rows] == [
        (" a", "accepted", "", "0.5", "1.0", "token"),
        (" b", "rejected", " d", "0.5", "0.2", "token"),
        (" c", "ignored", "", "", "", "token"),
    ]
    assert float(rows[1]["p"]) == 0.1
    assert [tuple(int(r[c]) for c in COLUMNS) for r in rows] == [(1, 1, 1), (1, 2, 2), (1, 3, 3)]


def test_a_token_has_the_same_place_wherever_it_is_named():
    """Step, place in the draft, place in the summary: in the page's export, both CSV files and What if, from 1."""
    trace = trace_of(([" x"], " y"), ([" a", "~ b", ".~ c"], " d"))
    cells = "".join(f"<td>{n}</td>" for n in (2, 2, 4))
    assert f"<tr>{cells}<td> b</td>" in to_html(trace)
    row = next(r for r in csv.DictReader(io.StringIO(to_csv(trace))) if r["status"] == "rejected")
    refused = next(csv.DictReader(io.StringIO(rejections_csv(rejections(trace)))))
    assert [int(r[c]) for r in (row, refused) for c in COLUMNS] == [2, 2, 4] * 2
    place = next(p for p in places(trace) if p.status == "rejected")
    assert place_name(place).endswith("step 2, place 2 in the draft, place 4 in the summary")


def words(n: int) -> str:
    return "The ferry left Port Ellery on Tuesday. " * n


def test_two_sheets_take_all_of_a_usual_run_and_say_what_of_a_long_one_they_leave_out():
    """Large type where there is room; at the smallest size, steps, rows and words are left out."""
    usual = trace_of(*[([" a", "~ ferry", ".~ left"], " boat")] * 20, article=words(40))
    sheets = paper.fit(usual.steps, usual.text, 20, usual.article.text)
    assert (sheets.stream, sheets.steps, sheets.rows, sheets.characters) == (12.0, 20, 20, len(usual.article.text))
    assert "more" not in "".join(Tags(to_html(usual)).text)
    long = trace_of(*[([" a", "~ ferry", ".~ left"], " boat")] * 400, article=words(800))
    sheets = paper.fit(long.steps, long.text, 400, long.article.text)
    assert (sheets.stream, sheets.article, sheets.rows) == (6.5, 6.5, paper.ROWS)
    assert 50 < sheets.steps < 400
    assert 2000 < sheets.characters < len(long.article.text)
    page = to_html(long)
    text = "".join(Tags(page).text)
    assert f"… and {400 - sheets.steps} more steps, which two sheets have no room for." in text
    assert f"… and {400 - paper.ROWS} more rejections" in text
    assert f"… and {len(long.article.text) - sheets.characters:,} more characters" in text
    assert page.count('class="step beyond"') == 400 - sheets.steps
    assert page.count('<tr class="beyond">') == 400 - paper.ROWS
    assert long.article.text.split() == text[text.index("were not read.") :].partition("… and")[0].split()[3:]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_cell_of_the_csv_is_a_formula(start):
    """Token and replacement both."""
    row = next(csv.DictReader(io.StringIO(to_csv(trace_of(([f"~{start}1"], f"{start}2"))))))
    assert (row["token"], row["replacement"]) == (f"'{start}1", f"'{start}2")


def test_an_exported_trace_is_the_saved_one():
    """A trace that went through JSON gives the same page and the same CSV."""
    trace = trace_of(([" a", "~ b"], " c"), ([], "</s>"))
    assert to_html(from_json(to_json(trace))) == to_html(trace)
    assert to_csv(from_json(to_json(trace))) == to_csv(trace)
