"""The table of methods: measured in one run on a tiny target, each in its fastest setting; drawn as it was recorded."""

from __future__ import annotations

import json

import gradio as gr
import pytest

from fastllm.lengths import lengths_of
from fastllm.rules import rule_of
from fastllm.ui.study import methods_tab, methods_view, records
from tests.conftest import TEXTS
from train.__main__ import main
from train.contest import fastest, halves, join, lines_of, load, table
from train.measure import Job, Plan
from train.named import NAMED, Named


@pytest.fixture(scope="module")
def arguments(tiny_folder, tmp_path_factory) -> list[str]:
    """A tiny target that has lookup and itself, four articles: two to choose on, two to measure on."""
    place = tmp_path_factory.mktemp("contest")
    data = place / "pairs.jsonl"
    rows = [{"id": f"p{i}", "article": " ".join(TEXTS[i:] + TEXTS[:i]), "highlights": TEXTS[i]} for i in range(5)]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ["methods", "--target", str(tiny_folder), "--data", str(data), "--articles", "4", "--max-new-tokens", "8"]


@pytest.fixture(scope="module")
def result(arguments, tmp_path_factory) -> dict:
    """Lookup alone, under block verification, as Big Little Decoder, and methods that the target lacks."""
    place = tmp_path_factory.mktemp("result")
    readme = place / "README.md"
    readme.write_text("a\n<!-- methods-tiny:begin -->\n<!-- methods-tiny:end -->\nz\n")
    more = ["--methods", "lookup,block,bild,self", "--gamma", "2,3", "--json", str(place / "out.json")]
    assert main([*arguments, *more, "--table", str(readme)]) == 0
    found = json.loads((place / "out.json").read_text())
    assert table(found) in readme.read_text()
    return found


def test_only_some_drafters_are_measured(arguments, tmp_path, capsys):
    """--drafters takes them out of every method; one that no method has is told with those that there are."""
    out = tmp_path / "out.json"
    more = ["--methods", "lookup,block,ngram", "--gamma", "2", "--temperature", "1", "--json", str(out)]
    assert main([*arguments, *more, "--drafters", "lookup"]) == 0
    assert {k: [r["drafter"] for r in rows] for k, rows in json.loads(out.read_text())["rows"].items()} == {
        "lookup": ["lookup"], "block": ["lookup"],
    }  # fmt: skip
    assert main([*arguments, *more, "--drafters", "lookup,t9"]) == 2
    assert "names 't9', of no method here: give some of lookup, ngram:3, lstm, t5, self, or all" in (
        capsys.readouterr().err
    )


def test_results_can_be_joined(result, tmp_path, capsys):
    """The later row of a setting counts, also where a policy learnt its threshold; rows of weights that a later result
    no longer has go, and with them the method; lines are chosen anew, in any number of files."""
    row = result["rows"]["lookup"][0]
    quick = {
        **row,
        "measured_speedup": 50.0,
        "speedup_interval": [49.0, 51.0],
        "chosen_by": {**row["chosen_by"], "measured_speedup": 50.0},
    }
    later = {**result, "rows": {"lookup": [quick]}, "command": "later", "greedy_mismatches": 0, "lacking": {"lm": "no"}}
    found = join([result, later])
    assert len(found["rows"]["lookup"]) == len(result["rows"]["lookup"])
    assert found["rows"]["block"] == result["rows"]["block"]
    assert found["lines"][0]["measured_speedup"] == 50.0
    assert [line["method"] for line in found["lines"]] == [line["method"] for line in result["lines"]]
    assert found["lacking"] == {**result["lacking"], "lm": "no"}
    assert found["command"] == f"{result['command']}`, `later"
    assert join([result])["lines"] == result["lines"]

    learnt = [{**row, "lengths": x, "tau": t} for x, t in (("exit", 1.0), ("exit:0.9000", 2.0))]
    both = join([{**result, "rows": {"adaptive": [r]}} for r in learnt])
    assert [r["tau"] for r in both["rows"]["adaptive"]] == [2.0]
    apart = [{**row, "lengths": x} for x in ("confidence:0.4", "confidence:0.5")]
    assert len(join([{**result, "rows": {"adaptive": [r]}} for r in apart])["rows"]["adaptive"]) == 2
    other = {**result, "rows": {"lookup": [{**quick, "drafter_sha256": "new"}]}}
    assert list(join([result, other])["rows"]) == ["lookup"]
    assert [r["measured_speedup"] for r in join([result, other])["rows"]["lookup"]] == [50.0]

    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, one in zip(files, (result, later), strict=True):
        file.write_text(json.dumps(one))
    merge = ["methods", "--merge", ",".join(map(str, files)), "--json", str(tmp_path / "both.json")]
    assert main(merge) == 0
    assert json.loads((tmp_path / "both.json").read_text()) == json.loads(json.dumps(found))
    assert main([*merge, "--articles", "9"]) == 2
    assert "--articles has no effect beside --merge" in capsys.readouterr().err
    files[1].write_text(json.dumps({**later, "articles": 9}))
    assert main(merge) == 2
    assert "differ in target, data or number of articles" in capsys.readouterr().err
    for wrong in ([], {**later, "target": {}}, {**later, "rows": []}):
        files[1].write_text(json.dumps(wrong))
        assert main(merge) == 2
        assert "is no result of `python -m train methods --json`" in capsys.readouterr().err
    assert main(["evaluate", "--merge", str(files[0])]) == 2
    assert "is no result of `python -m train evaluate --json`" in capsys.readouterr().err


def test_every_method_has_its_lines_and_each_line_the_fastest_of_its_rows(result):
    """Block only above 0, bild only at 0; what the target has no drafter for is named with the reason, not shown."""
    seen = [(line["method"], line["temperature"], line["of"]) for line in result["lines"]]
    assert seen == [("lookup", 0, 2), ("lookup", 1, 2), ("block", 1, 2), ("bild", 0, 2)]
    assert "train skip" in result["lacking"]["self"]
    assert result["greedy_mismatches"] == 0
    for line in result["lines"]:
        rows = [r for r in result["rows"][line["method"]] if r["temperature"] == line["temperature"]]
        best = fastest(rows)
        assert (line["gamma"], line["tau"], line["articles"]) == (best["gamma"], best["tau"], 2)
        assert best["chosen_by"]["articles"] == result["chosen_on"] == 2
        assert line["lossless"] is (line["method"] != "bild")
    assert [r["rule"] for r in result["rows"]["block"]] == ["block"] * 2
    assert [(r["lengths"], r["rollback"], r["gamma"]) for r in result["rows"]["bild"]] == [
        ("bild:0.6", 2, 8),
        ("bild:0.3", 3, 8),
    ]


def test_the_table_marks_what_is_quoted_from_memory_and_what_is_lossy(result):
    """A row a line; the published figure with its paper."""
    text = table(result)
    assert "fastest on 2 of them, measured on the other 2" in text
    assert text.count("\n| ") == 2 + len(result["lines"])
    (block,) = (row for row in text.splitlines() if "| Block verification |" in row)
    assert "rule block" in block
    assert "from memory" in block
    greedy, sampled = (row for row in text.splitlines() if "| Lookup alone |" in row)
    assert "Spec-Bench" in greedy
    assert "from memory" not in greedy
    assert sampled.endswith("| – |")
    assert "| no: " in next(row for row in text.splitlines() if "| Big Little Decoder |" in row)


def test_the_fastest_is_by_the_clock_and_else_by_tau():
    """A row that could not be timed loses to one that could; what a row has where it is reported chooses nothing."""
    figures = ((None, 9.0, 5.0), (1.2, 2.0, 0.8), (1.1, 3.0, 4.0), (None, 3.0, 6.0))
    rows = [{"measured_speedup": r, "tau": r, "chosen_by": {"measured_speedup": s, "tau": t}} for s, t, r in figures]
    assert fastest(rows) == rows[1]
    assert fastest([rows[0], rows[3]]) == rows[0]


def test_a_setting_is_chosen_on_other_articles_than_it_is_measured_on():
    """No article is in both halves, none in neither, and each half has as many of either order of the jobs."""
    for articles in (4, 8, 50):
        first, second = halves(articles)
        assert sorted(first + second) == list(range(articles))
    for half in halves(8):
        assert [n % 2 for n in half] == [0, 1, 0, 1]


def test_a_target_is_not_measured_as_its_own_foreign_drafter(tiny):
    """Nor is a line made for what is not there."""
    drafters, lacking = load(tiny, [Named("a", "A", ("lookup", "slem:tiny"))])
    assert list(drafters) == ["lookup"]
    assert lacking == {"slem:tiny": "It is the target itself."}
    assert lines_of(NAMED, {}) == []


def test_every_named_method_goes_with_its_temperatures(tiny):
    """Rule, draft lengths and temperature of each are settings that the engine takes; keys are unique."""
    assert len({one.key for one in NAMED}) == len(NAMED)
    plan = Plan(tiny, (), 1.0, 8, 0, 1)
    drafter: object = "any"
    for one in NAMED:
        assert one.takes(0.0) or one.takes(1.0)
        for method in one.methods:
            for temperature in filter(one.takes, (0.0, 1.0)):
                settings = plan.settings(Job(drafter, 4, temperature, method), 0)  # type: ignore[arg-type]
                rule_of(settings), lengths_of(settings)


@pytest.mark.parametrize(("more", "words"), [
    (("--methods", "magic"), "--methods names 'magic', which is none"),
    (("--methods", "self"), "no drafter of these methods"),
    (("--table", "nowhere.md"), "There is no file nowhere.md"),
    (("--articles", "9"), "5 usable pairs; --articles asks for 9"),
    (("--articles", "3"), "--articles must be 4 or more"),
])  # fmt: skip
def test_what_cannot_be_measured_is_told(arguments, tmp_path, capsys, more, words):
    """One sentence, before any article."""
    assert main([*arguments, "--json", str(tmp_path / "a.json"), "--methods", "lookup", *more]) == 2
    assert words in capsys.readouterr().err


def test_study_draws_what_was_recorded(result, tiny):
    """A point for each line that was timed, hollow where lossy; every line in the table; the fastest in words."""
    lines = [{**line, "measured_speedup": 1.5 + i, "speedup_interval": [1.2 + i, 1.9 + i]}
             for i, line in enumerate(result["lines"])]  # fmt: skip
    made = methods_view.figure(lines)
    assert [t.name for t in made.data] == ["T = 0", "T = 1"]
    assert list(made.data[0].x) == [1.5, 4.5]
    assert list(made.data[0].marker.symbol) == ["circle", "circle-open"]
    assert methods_view.words(lines).startswith("Fastest of the exact methods: at T = 0 lookup alone (lookup, γ ")
    assert methods_view.table_html(lines).count("<tr>") == 1 + len(lines)
    busy = [{**line, "measured_speedup": None} for line in lines]
    assert methods_view.words(busy) == methods_view.NOTHING
    assert methods_view.figure(busy).layout.annotations[0].text == methods_view.NOTHING
    recorded = {**result, "lines": lines}
    with gr.Blocks() as page:
        methods_tab.build(records.of(tiny)[0], recorded)
        methods_tab.build(records.of(tiny)[0], {})
    said = [str(c.value) for c in page.blocks.values() if isinstance(c, gr.HTML)]
    assert sum("Fastest of the exact" in text for text in said) == 1
    assert not any("other weights" in text for text in said)
