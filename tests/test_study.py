"""The study: counts of many traces, as a file that holds no text, and the figures made from it."""

from __future__ import annotations

import re

import gradio as gr
import pytest

from fastllm.analysis import study as studies
from fastllm.analysis.metrics import wilson
from fastllm.analysis.study import Count, StudyError, from_file, main, study, to_json
from fastllm.config import PRESETS
from fastllm.recorded import recorded_file
from fastllm.trace import from_json
from fastllm.ui.study import tab as study_tab
from fastllm.ui.study import view as study_view
from fastllm.ui.study.records import Records
from tests.traces import trace_of
from train.record import Record
from train.traces import write_traces

SECRET = "A confidential article about nobody in particular."
ONE = (([" The", "~ x", ".~ y"], " of"), ([" cat", " sat"], "."), (["~</s>"], " It"), ([], "</s>"))
TWO = (([" a", " b", " c"], " d"), (["~ e"], " of"))
RECORD = {
    "command": "python -m train evaluate",
    "finished": "2026-11-23T10:00:00+00:00",
    "data": [{"name": "f.parquet"}],
}


def example() -> studies.Study:
    traces = [trace_of(*ONE, article=SECRET), trace_of(*TWO, article=SECRET), trace_of(*TWO, drafter="lookup")]
    return study([*traces, trace_of(([], " a"), mode="autoregressive", drafter="")], RECORD)


def test_counts_are_those_of_the_traces():
    """Tested, refused, by kind and by place, pooled over the runs of a drafter; plain decoding is left out."""
    first, second = example().groups
    assert (first.drafter, first.runs, second.drafter, second.runs) == ("lookup", 1, "ngram:3", 2)
    assert first.positions == (Count(2, 1), Count(1, 0), Count(1, 0))
    assert second.positions == (Count(5, 2), Count(3, 1), Count(1, 0))
    assert second.total == Count(9, 3)
    assert {k: c for k, c in second.kinds.items() if c.tested} == {
        "function word": Count(4, 2),
        "other": Count(4, 0),
        "end of text": Count(1, 1),
    }
    assert second.position_kinds == ({"function word": 1, "end of text": 1}, {"function word": 1}, {})
    assert sum(c.tested for c in second.kinds.values()) == second.total.tested
    assert (second.tokens, second.target_calls) == (12, 6)


def test_often_missed_tokens_are_named_and_rare_ones_are_not():
    """Five times ' of' is named; a token missed once, perhaps a name, is not."""
    made = study([trace_of(([" a", "~ b"], " of"))] * 5 + [trace_of((["~ b"], " Calder"))])
    assert made.groups[0].missed == ((" of", 5),)


def test_a_study_comes_back_equal_and_holds_no_text(tmp_path):
    """JSON in and out; neither article nor summary is in it."""
    made, file = example(), tmp_path / "study.json"
    file.write_text(to_json(made))
    assert from_file(file) == made
    assert "confidential" not in file.read_text()
    assert "cat" not in file.read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "groups": [{}]}'])
def test_what_is_no_study_is_refused(tmp_path, text):
    """One sentence that says to make it again, for any other file; the same where there is none."""
    file = tmp_path / "study.json"
    file.write_text(text)
    with pytest.raises(StudyError, match=r"make it again|reads version"):
        from_file(file)
    with pytest.raises(StudyError, match="make one"):
        from_file(tmp_path / "none.json")


def test_traces_that_make_no_study_are_refused():
    """Nothing drafted, or several targets."""
    with pytest.raises(StudyError, match="no speculative run"):
        study([trace_of(mode="autoregressive")])
    with pytest.raises(StudyError, match="several targets"):
        study([trace_of(*ONE), trace_of(*ONE, target="t5-base")])


def test_evaluate_writes_traces_and_the_command_counts_them(tmp_path, capsys):
    """One file per article and way, equal to the trace, a record beside them; then the study of the folder."""
    ways = [[trace_of(*ONE), trace_of(*TWO)], [trace_of(*TWO, drafter="t5:a/b")]]
    folder = tmp_path / "traces"
    write_traces(folder, ways, Record("evaluate", {}, []))
    files = sorted(f.name for f in folder.glob("*.trace.json"))
    assert files == [
        "00000-ngram-3-g3-t1.trace.json",
        "00000-t5-a-b-g3-t1.trace.json",
        "00001-ngram-3-g3-t1.trace.json",
    ]
    assert from_json((folder / files[2]).read_text()) == trace_of(*TWO)
    out = tmp_path / "study.json"
    assert main([str(folder), "--json", str(out)]) == 0
    assert from_file(out).articles == 2
    named = recorded_file("study", from_file(out).target, tmp_path / "traces")
    assert main([str(folder), "--json", str(folder)]) == 0
    assert from_file(named) == from_file(out)
    named.unlink()
    assert "2 ways over 2 articles" in capsys.readouterr().out
    with pytest.raises(ValueError, match="earlier run"):
        write_traces(folder, ways, Record("evaluate", {}, []))
    assert main([str(tmp_path)]) == 2
    assert "There are no traces" in capsys.readouterr().err


def test_the_committed_study_is_recorded_and_plain():
    """assets/study.json: at least 30 articles, when and how it was made, no token longer than a word."""
    made = from_file(recorded_file("study", "mini"))
    assert made.articles >= 30
    assert made.made
    assert "--traces" in made.command
    assert all(len(t.split()) <= 1 for g in made.groups for t, _ in g.missed)
    for g in made.groups:
        assert g.total.tested == sum(c.tested for c in g.kinds.values()) > 0
        assert g.total.rejected == sum(sum(k.values()) for k in g.position_kinds)


def test_the_figures_hold_the_counts():
    """Shares of rejections add to 100; rates are refused / tested; a kind never tested has no bar."""
    groups = study_view.chosen(example(), 1.0, 3)
    shares = study_view.by_kind(groups)
    assert [sum(bar.x[i] for bar in shares.data) for i in range(2)] == pytest.approx([100, 100])
    panel = study_view.refused_of_kind(groups).split("<figure")[2]
    rates = dict(re.findall(r'<th scope="row">([^<]+)</th>.*?width:([\d.]+)%', panel))
    assert rates["function word"] == "50.0"
    assert "name/number" not in rates
    assert panel.count("fl-few") == len(rates), "each kind was tested fewer than ten times"
    html = study_view.by_position(groups)
    panel, table = html.split("<figure")[2], html.split("<tbody>")[1].split("<tr>")[2]
    low, high = (100 * end for end in wilson(2, 5))
    cells = re.findall(r"<td>(.*?)</td>", table)
    assert cells[0] == f"40% ({low:.3g} to {high:.3g})"
    assert [c.split("%")[0] for c in cells] == ["40", "33.3", "0"]
    assert panel.count('class="few"') == 3
    (ranges,) = re.findall(r'class="range" d="(.*?)"', panel)
    assert ranges.count("M") == 3


def test_the_page_says_that_it_is_recorded():
    """When, with what, by which command; every text escaped."""
    html = study_view.header_html(example())
    for part in ("Recorded, not live", "2026-11-23", "f.parquet", "python -m train evaluate", "2 articles"):
        assert part in html
    odd = study([trace_of((["~ x"], "<b>")) for _ in range(5)], {"command": "<script>", "data": [{"name": "<i>"}]})
    assert "<script>" not in study_view.header_html(odd)
    assert "<b>" not in study_view.missed_html(odd.groups)


def test_the_tab_builds_with_and_without_a_study(tmp_path):
    """The committed study, one of another target with a remark, and a missing one with a sentence."""
    preset = PRESETS["mini"]
    committed = Records(preset, "another", recorded_file("study", "mini"), tmp_path / "none.json")
    with gr.Blocks() as page:
        study_tab.rejections(committed)
    values = [str(b.value) for b in page.blocks.values() if isinstance(b, gr.HTML)]
    assert any("another target" in v for v in values)
    with gr.Blocks() as page:
        study_tab.rejections(Records(preset, "another", tmp_path / "none.json", tmp_path / "none.json"))
    assert "make study" in str(next(iter(page.blocks.values())).value)
