"""The table of rejections: what it lists, what kind each is, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from fastllm.analysis.rejections import CSV_COLUMNS, KINDS, Rejection, chance_of, kinds, picked, rejections, to_csv
from fastllm.places import COLUMNS
from tests.traces import block_trace, trace_of

WORDS = " The ferry was late"


def refused(step: int, offset: int, position: int, token: str, **changes) -> Rejection:
    """A rejection as tests.traces makes them: p 0.1, q 0.5, u 0.5, beta 0.7, no ranks."""
    values = {"u": 0.5, "p": 0.1, "q": 0.5, "chance": 0.2, "beta": 0.7, "rank": None, "drafter_rank": None}
    values |= {"replacement": "", "kind": "other", "context": "", "rule": "token"}
    return Rejection(step, offset, position, token, **values | changes)


def test_a_rejection_says_where_it_stood_and_what_replaced_it():
    """Step, place in the draft, place in the summary, both texts, the draft token's p and q."""
    trace = trace_of(([" The", " ferry"], " was"), ([" late", "~ on", ".~ Monday"], " again"), (["."], "</s>"))
    assert rejections(trace) == (refused(1, 1, 4, " on", replacement=" again", kind="function word", context=WORDS),)


def test_accepted_ignored_and_plain_tokens_are_no_rejections():
    """A run without a refusal has an empty table, and so has plain decoding."""
    assert rejections(trace_of(([" The", " ferry"], "."), ([], "</s>"))) == ()
    assert rejections(trace_of()) == ()


@pytest.mark.parametrize(
    ("before", "replacement", "after", "kind"),
    [
        # name/number
        (" in", " Var", ["n", "holt", "."], "name/number"),
        (" in", " 2", ["0", "1", "4"], "name/number"),
        (" about", " forty", [" lambs"], "name/number"),
        (" by", " £", ["3", "m"], "name/number"),
        (" in", " May", ["."], "name/number"),
        (" fell.", " NATO", [" said"], "name/number"),
        (" mayor (", "Ines", [" Calder"], "name/number"),
        # function word
        (" ferry", " was", [" late"], "function word"),
        (" it", " did", ["n", "'", "t", " sail"], "function word"),
        (" fell.", " The", [" ferry"], "function word"),
        (" that", " I", [" saw"], "function word"),
        # word piece
        (" Var", "n", ["holt"], "word piece"),
        (" 3", ".", ["5", " million"], "word piece"),
        (" well", "-", ["known"], "word piece"),
        (" 20", "14", ["."], "word piece"),
        # sentence boundary
        (" late", ".", [" The"], "sentence boundary"),
        (" late", ".", ["</s>"], "sentence boundary"),
        (" late", ".", [], "sentence boundary"),
        (" late", '."', [" She"], "sentence boundary"),
        (" late", "?", ['"', " she"], "sentence boundary"),
        # end of text
        (" late.", "</s>", [], "end of text"),
        # other
        (" the", " harbour", [" was"], "other"),
        (" fell.", " Passengers", [" were"], "other"),
        (" late", ",", [" and"], "other"),
        (" late", " -", [" again"], "other"),
        (" said (", "soup", [")"], "other"),
        (' said "', "Soup", ["."], "other"),
    ],
)
def test_the_kind_is_that_of_the_replacement_in_its_word(before, replacement, after, kind):
    """One row for each rule of the docstring."""
    trace = trace_of(([" It", before, "~ x"], replacement), *(([], text) for text in after))
    (found,) = rejections(trace)
    assert found.kind == kind
    assert kind in KINDS


def test_a_refused_end_is_a_disagreement_on_the_end():
    """The drafter wanted to stop and the target went on with a function word: the kind is still the end."""
    (found,) = rejections(trace_of(([" late", "~</s>"], " and"), ([], " again")))
    assert found.kind == "end of text"


def test_a_capital_at_the_start_of_a_sentence_needs_evidence():
    """'Calder' opens a sentence: a name only where the article has it in the middle of one."""
    steps = (([" Late.", "~ x"], " Calder"), ([], " said"))
    assert rejections(trace_of(*steps, article="The harbour master, Ines Calder, said so."))[0].kind == "name/number"
    assert rejections(trace_of(*steps, article="Nothing of the kind. Calderon came."))[0].kind == "other"


def test_a_trace_without_a_replacement_is_listed_all_the_same():
    """A forged or cut trace may lack the emitted token: an empty replacement, kind other."""
    (found,) = rejections(trace_of(([" a", "~ b"], None)))
    assert (found.replacement, found.kind) == ("", "other")


def test_every_summary_token_has_a_kind():
    """Accepted tokens too, by the same rules; the end of the text is rule 1's."""
    trace = trace_of(([" The", " fer", "ry"], " of"), ([" 2", "~ x"], " sank"), (["."], "</s>"))
    assert kinds(trace) == (
        "function word", "other", "word piece", "function word", "name/number", "other", "sentence boundary",
        "end of text",
    )  # fmt: skip


def test_a_trace_that_goes_on_after_its_end_is_listed():
    """Only a forged trace does; it gets rows, not a traceback."""
    found = rejections(trace_of(([" a", "~ b"], "</s>"), (["~ c"], " the"), ([], " end")))
    assert [r.kind for r in found] == ["end of text", "function word"]


def test_the_csv_reads_back_as_the_table():
    """A column for each field, a line for each rejection, quotes and commas intact."""
    trace = trace_of(([' "Hello,', "~ it's"], ' "no'), ([" a", "~ b"], " c"))
    rows = list(csv.DictReader(io.StringIO(to_csv(rejections(trace)))))
    assert [list(r) for r in rows] == [list(CSV_COLUMNS)] * 2
    assert len(CSV_COLUMNS) == len(dataclasses.fields(Rejection))
    assert [(r["token"], r["replacement"]) for r in rows] == [(" it's", ' "no'), (" b", " c")]
    assert [tuple(int(r[c]) for c in COLUMNS) for r in rows] == [(1, 2, 2), (2, 2, 4)]
    assert float(rows[0]["p"]) == 0.1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_cell_begins_a_formula(start):
    """OWASP's list: such a text gets an apostrophe before it; numbers stay numbers."""
    row = refused(0, 0, 0, f"{start}cmd|' /C calc'!A0", p=0.5, replacement=f"{start}1", context=f"{start}2")
    cells = next(csv.DictReader(io.StringIO(to_csv([row]), newline="")))
    assert cells["token"] == f"'{start}cmd|' /C calc'!A0"
    assert cells["replacement"] == f"'{start}1"
    assert cells["context"] == f"'{start}2"
    assert cells["p"] == "0.5"


def test_a_text_that_no_file_can_hold_is_written_all_the_same():
    """Lone surrogates and null characters do not break the download."""
    row = refused(0, 0, 0, "\ud800a\x00b", replacement="c")
    assert "?ab" in to_csv([row]).encode("utf-8").decode()


def test_under_block_verification_one_token_a_step_is_refused():
    """The first of those that fell: neither the kept one that failed alone, nor those after, though all were drawn."""
    found = rejections(block_trace())
    assert [(r.step, r.offset, r.position, r.token, r.p, r.q, r.replacement) for r in found] == [
        (0, 2, 2, " c", 0.1, 0.5, " x"),
        (2, 0, 6, " g", 0.1, 0.8, "</s>"),
    ]
    assert found[1].kind == "end of text"
    assert [(r.rule, r.chance, r.beta, r.context) for r in found] == [
        ("block", 0.3, 0.4, " a b"), ("block", 0.1, 0.3, " a b x e f y"),
    ]  # fmt: skip
    assert len(to_csv(found).splitlines()) == 3


def test_the_chance_is_the_recorded_one_or_that_of_the_token_rule():
    """Traces before version 4 hold none: min(1, p / q) under the token rule, nothing under a rule that is not known."""
    (plain,) = rejections(trace_of(([" a", "~ b"], " c")))
    assert (plain.chance, plain.rule) == (pytest.approx(0.2), "token")
    assert rejections(trace_of(([" a", "~ b"], " c"), rule="other"))[0].chance is None
    token = trace_of(([" a", "~ b", ".~ d"], " c")).steps[0].draft
    assert chance_of(token[0], "token") == 1
    assert chance_of(token[2], "token") is None
    assert chance_of(dataclasses.replace(token[1], chance=0.0), "bild") == 0


def test_what_is_picked_comes_in_the_order_asked_for():
    """Places that are no rejection of the run are left out."""
    trace = trace_of(([" a", "~ b"], " c"), (["~ d"], " e"))
    assert [r.token for r in picked(trace, [(1, 0), (0, 0), (7, 7), (0, 1)])] == [" d", " b"]
