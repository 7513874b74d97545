"""``train evaluate`` under other rules and draft lengths, with drafters made of two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastllm.publishable import without_folders
from tests.conftest import TEXTS
from tests.traces import trace_of
from train.__main__ import main
from train.measure import Method
from train.peers import Ours
from train.results import best_gammas, changed, merge, method_of
from train.table import benchmark_table


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three pairs of our own writing."""
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [{"id": f"p{i}", "article": " ".join(TEXTS[i:]), "highlights": TEXTS[i]} for i in range(3)]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return file


def evaluate(target: Path, data: Path, out: Path, *more: str) -> int:
    return main(["evaluate", "--target", str(target), "--data", str(data), "--articles", "1", "--max-new-tokens", "6",
                 "--peer-articles", "0", "--engine", "torch", "--json", str(out), *more])  # fmt: skip


def results(target: Path, data: Path, out: Path, *more: str) -> dict:
    assert evaluate(target, data, out, *more) == 0
    return json.loads(out.read_text())


def test_rows_of_trees_say_their_size(data, tiny_folder, tmp_path):
    """Nodes and width stand in method, rows and table; a chain's are 0; greedy texts are the target's."""
    more = (
        "--drafters",
        f"t5:{tiny_folder}",
        "--gamma",
        "2",
        "--temperature",
        "0",
        "--rule",
        "siblings",
        "--nodes",
        "4",
    )
    found = results(tiny_folder, data, tmp_path / "a.json", *more)
    assert (found["method"]["nodes"], found["method"]["width"]) == (4, 2)
    assert method_of(found["rows"][0]) == found["method"]
    assert found["greedy_mismatches"] == 0
    assert ", rule siblings, 4 nodes, 2 wide |" in benchmark_table(found)


@pytest.fixture(scope="module")
def lossy(data, tiny_folder, tmp_path_factory) -> dict:
    """bild that forgives everything: the drafter writes the text."""
    out = tmp_path_factory.mktemp("lossy") / "out.json"
    return results(tiny_folder, data, out, "--drafters", "lookup", "--gamma", "3", "--temperature", "0",
                   "--rule", "bild", "--rollback", "100")  # fmt: skip


def test_rows_say_rule_and_lengths_and_a_drafter_may_be_made_of_two(data, tiny_folder, tmp_path, capsys):
    """Rows, best and the result, which names no folder; nothing is foretold for block; a state of another method is
    refused."""
    drafters = f"lookup-then-t5:{tiny_folder},t5:{tiny_folder}+lookup"
    state = ("--state", str(tmp_path / "state"))
    more = ("--drafters", drafters, "--gamma", "2", "--temperature", "0,1", "--rule", "block", *state)
    found = results(tiny_folder, data, tmp_path / "a.json", *more, "--lengths", "confidence:0.3")
    method = {"rule": "block", "lengths": "confidence:0.3", "rollback": 0.0, "nodes": 0, "width": 0}
    assert found["method"] == method
    assert [r["drafter"] for r in found["rows"]] == [d for d in without_folders(drafters).split(",") for _ in (0, 1)]
    assert str(tiny_folder) not in (tmp_path / "a.json").read_text()
    for row in found["rows"] + found["best"]:
        assert method_of(row) == method
        assert row["predicted_speedup"] is None
    assert [r["texts_changed"] for r in found["rows"]] == [0.0, None] * 2
    assert found["greedy_mismatches"] == 0
    assert "+lookup, rule block, lengths confidence:0.3 |" in benchmark_table(found)
    claimed = json.loads((tmp_path / "state" / "claim.json").read_text())
    assert (claimed["rule"], claimed["lengths"]) == ("block", "confidence:0.3")
    capsys.readouterr()
    assert evaluate(tiny_folder, data, tmp_path / "a.json", *more) == 2
    assert "holds an evaluation with other lengths" in capsys.readouterr().err


def test_a_lossy_rule_reports_changed_texts_and_no_mismatch(lossy):
    """The command ends well, and the table says what was paid."""
    (row,) = lossy["rows"]
    assert lossy["greedy_mismatches"] == 0
    assert row["rollback"] == 100
    assert row["texts_changed"] > 0
    assert f"rollback 100, {100 * row['texts_changed']:.0f} % of texts changed" in benchmark_table(lossy)


def test_a_rule_that_forgives_nothing_is_held_to_the_targets_text(data, tiny_folder, tmp_path):
    """bild at rollback 0 changes nothing."""
    found = results(tiny_folder, data, tmp_path / "x.json", "--drafters", "lookup", "--gamma", "3", "--temperature",
                    "0", "--rule", "bild", "--rollback", "0")  # fmt: skip
    assert [r["texts_changed"] for r in found["rows"]] == [0.0]
    assert not any("changed" in line for line in benchmark_table(found).splitlines())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--rule", "magic"), "no acceptance rule 'magic'"),
        (("--rule", "bild"), "for greedy decoding only"),
        (("--lengths", "entropy:x"), "takes a threshold from 0 to 2"),
        (("--rule", "bild", "--temperature", "0", "--rollback", "-1"), "rollback threshold must be between"),
        (("--drafters", "lookup+lookup"), "drafts token by token, so nothing can draft for it"),
    ],
)
def test_what_does_not_go_is_told_before_any_work(more, words, data, tiny_folder, tmp_path, capsys):
    """One sentence, status 2."""
    assert evaluate(tiny_folder, data, tmp_path / "x.json", *more) == 2
    assert words in capsys.readouterr().err


def test_results_from_before_there_were_methods_are_the_token_rules(lossy):
    """Merging keeps one drafter's rows of two methods apart; best gammas, too."""
    old = {k: v for k, v in lossy["rows"][0].items() if k not in ("rule", "lengths", "rollback", "texts_changed")}
    both = merge([{**lossy, "rows": [{**old, "predicted_speedup": 1.5}]}, lossy])
    assert [r.get("rule") for r in both["rows"]] == [None, "bild"]
    assert [(b["rule"], b["predicted_speedup"]) for b in best_gammas(both["rows"])] == [("token", 1.5), ("bild", None)]
    assert Ours.best([old]).as_dict() == {"spec": "lookup", "gamma": 3}
    assert Ours.best(lossy["rows"]).as_dict() == {"spec": "lookup", "gamma": 3, "rule": "bild", "rollback": 100.0}


def test_methods_and_changed_texts():
    """What departs from Algorithm 1 is claimed; a share counts whole texts."""
    assert Method().departures() == {}
    assert Method("block").departures() == {"rule": "block"}
    assert [Method(r, "constant", x).lossless for r, x in (("token", 0.0), ("bild", 0.0), ("bild", 1.0))] == [
        True, True, False,
    ]  # fmt: skip
    a, b = trace_of((["one"], "two")), trace_of((["one", "two"], "three"))
    assert changed([a, a], [a, b]) == 0.5
    assert changed([a, b], [a, b]) == 0.0


@pytest.fixture(scope="module")
def curved(data, tiny_folder, tmp_path_factory) -> dict:
    """An evaluation with two pairs of thresholds beside an ordinary row."""
    out = tmp_path_factory.mktemp("bild") / "out.json"
    return results(tiny_folder, data, out, "--drafters", f"t5:{tiny_folder}", "--gamma", "2", "--temperature", "0",
                   "--articles", "2", "--bild", "0.1:0,0.1:100", "--traces", str(out.parent / "traces"))  # fmt: skip


def test_the_curve_of_bild_has_a_point_for_each_pair_and_is_no_row(curved):
    """Rollback 0 changes no text and keeps plain decoding's ROUGE; a drafter that is the target changes none at all."""
    assert [r["rule"] for r in curved["rows"]] == ["token"]
    points = curved["bild"]["points"]
    assert [(p["fallback"], p["rollback"], p["gamma"]) for p in points] == [(0.1, 0, 10), (0.1, 100, 10)]
    for point in points:
        assert point["texts_changed"] == 0
        assert point["to_plain"] == 100
        assert point["rougeL"] == curved["bild"]["plain"]["rougeL"]
        assert point["rolled_back"] == 0
    assert merge([curved, {**curved, "bild": None}])["bild"] == curved["bild"]


@pytest.mark.parametrize(("more", "words"), [
    (("--bild", "0.6"), "--bild must be pairs"),
    (("--bild", "0.6:-1"), "--bild must be pairs"),
    (("--bild", "--temperature", "1"), "--bild is for greedy decoding only"),
])  # fmt: skip
def test_a_wrong_grid_is_told(data, tiny_folder, tmp_path, capsys, more, words):
    """Before any article."""
    assert evaluate(tiny_folder, data, tmp_path / "a.json", "--drafters", "lookup", "--gamma", "2", *more) == 2
    assert words in capsys.readouterr().err
