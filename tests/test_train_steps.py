"""The training steps end to end on tiny data: target (resumed, distributed), pseudo, evaluate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastllm.targets.load import load_target
from tests.conftest import TEXTS
from tests.test_metrics import plain
from train import measure
from train.__main__ import main
from train.data import load_pairs
from train.peers import compared, peers_of
from train.results import best_gammas, merge, plain_row
from train.steps.pseudo import done_ids, shard_of
from train.table import benchmark_table, update_readme

ROOT = Path(__file__).resolve().parent.parent
STEPS = "copy_short=2,copy_long=1,extract=2,summarize=2,cooldown=1,polish=0"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twelve pairs of our own writing, as jsonl."""
    file = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = []
    for i in range(12):
        article = " ".join((TEXTS * 3)[i % 6 : i % 6 + 8])
        rows.append({"id": f"pair-{i}", "article": article, "highlights": TEXTS[(i + 1) % 6]})
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return file


def train_arguments(data: Path, folder: Path, steps: str = STEPS) -> list[str]:
    return [
        "target", "--data", str(data), "--validation", str(data), "--state", str(folder / "state"), "--out",
        str(folder / "target"), "--steps", steps, "--vocab-size", "256", "--max-article", "64", "--max-summary", "16",
        "--save-every", "2",
        "--d-model", "64", "--layers", "1", "--batch-size", "4", "--validate-every", "100", "--mixed-precision", "no",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A `mini` of eight steps."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(train_arguments(data, folder)) == 0
    return folder / "target"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in load_target(str(folder)).model.state_dict().items()}


def test_the_target_step_makes_a_target_that_loads_and_its_record(trained):
    """Float16 safetensors, tokenizer, generation settings, and how it was made."""
    assert load_target(str(trained)).open(TEXTS[0]).score([]).shape == (1, 256)
    record = json.loads((trained / "record.json").read_text())
    assert record["step"] == "target"
    assert record["steps_done"]["global_step"] == 8
    assert [h["stage"] for h in record["history"]][-1] == "cooldown"
    assert json.loads((trained / "generation_config.json").read_text())["no_repeat_ngram_size"] == 3


def test_a_cut_run_resumes_to_the_same_weights(data, trained, tmp_path):
    """Stopped after three stages and begun again, it ends where an unbroken run ended."""
    assert (
        main(train_arguments(data, tmp_path, "copy_short=2,copy_long=1,extract=2,summarize=0,cooldown=0,polish=0")) == 0
    )
    state = tmp_path / "state" / "latest" / "progress.json"
    progress = json.loads(state.read_text())
    assert progress["global_step"] == 5
    state.write_text(json.dumps({**progress, "stage": 3, "step": 0}))
    assert main(train_arguments(data, tmp_path)) == 0
    one, two = weights(trained), weights(tmp_path / "target")
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 2e-3


def test_a_given_t5_can_be_fine_tuned(data, tiny_folder, tmp_path, capsys):
    """--base starts from a model's own weights and tokenizer, and changes them; sizes beside it would do nothing."""
    arguments = ["target", "--base", str(tiny_folder), "--data", str(data), "--state", str(tmp_path / "state"), "--out",
                 str(tmp_path / "target"), "--steps", "summarize=2", "--batch-size", "4", "--max-article", "64",
                 "--max-summary", "16", "--mixed-precision", "no"]  # fmt: skip
    for unused in ("--layers", "--d-model", "--vocab-size", "--text", "--validate-every"):
        assert main([*arguments, unused, "64"]) == 2
        assert f"{unused} has no effect " in capsys.readouterr().err
    assert main(arguments) == 0
    before, after = weights(tiny_folder), weights(tmp_path / "target")
    assert any(float((before[k] - after[k]).abs().max()) > 1e-4 for k in before)


def test_pseudo_resumes_and_equals_the_targets_own_text(data, trained, tmp_path):
    """Rows are the target's greedy texts; a cut file, its last line incomplete, is continued without doubles."""
    out = tmp_path / "pseudo.jsonl"
    arguments = ["pseudo", "--target", str(trained), "--data", str(data), "--out", str(out), "--max-new-tokens", "8"]
    assert main([*arguments, "--limit", "5"]) == 0
    out.write_text(out.read_text() + '{"id": "pair-11", "summ')
    assert main(arguments) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(r["id"] for r in rows) == sorted(p.id for p in load_pairs(str(data)))
    target = load_target(str(trained))
    assert all(r["summary"] == target.text(r["ids"]) for r in rows)
    assert json.loads((tmp_path / "pseudo.record.json").read_text())["made_now"] == 7


def test_shards_are_a_partition(data):
    """N shards together are everything, once; a wrong form is told."""
    pairs = load_pairs(str(data))
    parts = [shard_of(pairs, f"{k}/3") for k in range(3)]
    assert sorted(p.id for part in parts for p in part) == sorted(p.id for p in pairs)
    with pytest.raises(ValueError, match="K/N"):
        shard_of(pairs, "3/3")


def test_a_missing_pseudo_file_has_nothing_done(tmp_path):
    """A fresh run starts from nothing."""
    assert done_ids(tmp_path / "none.jsonl") == set()


@pytest.fixture(scope="module")
def evaluation(data, trained, tmp_path_factory) -> dict:
    """evaluate over three articles with lookup at T = 0 and 1."""
    out = tmp_path_factory.mktemp("evaluation") / "out.json"
    arguments = ["evaluate", "--target", str(trained), "--data", str(data), "--articles", "3", "--drafters", "lookup"]
    assert (
        main([*arguments, "--gamma", "1,3", "--temperature", "0,1", "--max-new-tokens", "10", "--json", str(out)]) == 0
    )
    return json.loads(out.read_text())


def test_evaluate_reports_every_figure_for_every_row(evaluation):
    """One row per drafter, gamma, temperature, with every column and everything about the run beside."""
    assert {"rouge1", "rouge2", "rougeL"} <= set(evaluation["target"])
    assert set(evaluation["target"]["lead3"]) == {"rouge1", "rouge2", "rougeL"}
    assert [(r["gamma"], r["temperature"]) for r in evaluation["rows"]] == [(1, 0), (1, 1), (3, 0), (3, 1)]
    wanted = {
        "drafter", "gamma", "temperature", "mean_beta", "accepted_tested", "accepted_drafted", "tau", "c",
        "predicted_speedup", "measured_speedup", "overhead_share",
    }  # fmt: skip
    for row in evaluation["rows"]:
        assert wanted <= set(row)
        assert 1 <= row["tau"] <= row["gamma"] + 1
        if row["measured_speedup"] is None:  # others were at work: said so, never a number
            assert row["trouble"]
            assert row["speedup_interval"] is None
        else:
            assert row["speedup_interval"][0] <= row["measured_speedup"] <= row["speedup_interval"][1] <= row["tau"]
    assert evaluation["greedy_mismatches"] == 0
    assert {"commit", "versions", "arguments", "data", "machine"} <= set(evaluation)


def test_peers_are_measured_on_the_same_articles(evaluation):
    """With one thread and with two: our plain, our best, generate; CTranslate2 where it is and reads such a model."""
    rows = {(r["name"], r["threads"]): r for r in evaluation["peers"]}
    names = {name for name, _ in rows}
    assert {"plain", "generate"} <= names
    assert any(name.startswith("lookup γ=") for name in names)
    for n in (1, 2):
        for name in names:
            assert rows[name, n]["articles"] == 3
            assert rows[name, n]["ms_token"] > 0
            if not name.startswith("ctranslate2"):  # whose own texts may differ, and are counted
                assert rows[name, n]["texts_equal"] == 3, name
    table = benchmark_table(evaluation)
    assert all(f"| {name} | " in table for name in names)


def test_ctranslate2_writes_our_text(tmp_path):
    """Its float32 on the embedded target: the same ids as plain decoding's, cut at the same length."""
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed")
    target = load_target("mini")
    into = tmp_path / "converted"
    peers = {p.name: p for p in peers_of(target, (), None, 16, into) if p.threads == 1}
    text = "Two tugs towed a ferry back to Port Ellery on Tuesday. Nobody was hurt, the harbour master said."
    assert list(peers["ctranslate2 float32"].decode(text)) == list(peers["plain"].decode(text))


def test_the_curve_of_calls_has_its_floor(trained, tmp_path, capsys):
    """`train calls` on both engines; the bytes are those of the decoder's own matrices, counted by hand."""
    out = tmp_path / "calls.json"
    assert main(["calls", "--target", str(trained), "--repeats", "2", "--json", str(out)]) == 0
    (curve,) = json.loads(out.read_text()).values()
    assert set(curve["ms"]) == {"onnx", "torch"}
    assert all(len(ms) == len(curve["lengths"]) and min(ms) > 0 for ms in curve["ms"].values())
    model = load_target(str(trained)).model
    decoder = {n: p for n, p in model.decoder.named_parameters() if "embed_tokens" not in n}
    once = sum(p.numel() for n, p in decoder.items() if "EncDecAttention.k" in n or "EncDecAttention.v" in n)
    assert curve["bytes"] == 4 * (sum(p.numel() for p in decoder.values()) - once + model.lm_head.weight.numel())
    assert curve["floor_ms"] == pytest.approx(1e3 * curve["bytes"] / curve["bandwidth"], abs=1e-3)
    assert "GB/s" in capsys.readouterr().out
    assert main(["calls", "--target", str(trained), "--json", str(tmp_path)]) == 2


def test_the_best_gamma_is_named_for_each_drafter_and_temperature(evaluation):
    """Found by measurement and by Theorem 3.8, among the gammas measured."""
    assert [(b["drafter"], b["temperature"]) for b in evaluation["best"]] == [("lookup", 0), ("lookup", 1)]
    for best in evaluation["best"]:
        rows = [r for r in evaluation["rows"] if r["temperature"] == best["temperature"]]
        timed = [r["measured_speedup"] for r in rows if r["measured_speedup"] is not None]
        assert best["measured_speedup"] == max(timed, default=None)
        assert best["predicted_gamma"] in (1, 3)


def test_a_row_that_could_not_be_timed_is_a_row_all_the_same(evaluation):
    """The table says why there is no number, the best gamma is then that of the highest tau."""
    untimed = {"measured_speedup": None, "speedup_interval": None, "predicted_speedup": None, "c": None}
    rows = [{**r, **untimed, "trouble": "the machine is too busy to time this"} for r in evaluation["rows"]]
    table = benchmark_table({**evaluation, "rows": rows, "best": best_gammas(rows)})
    assert table.count("too busy to time") == len(rows)
    assert "None" not in table
    for best in best_gammas(rows):
        some = [r for r in rows if r["temperature"] == best["temperature"]]
        assert best["measured_gamma"] == max(some, key=lambda r: r["tau"])["gamma"]


def test_one_call_in_which_the_machine_did_something_else_moves_no_figure_of_plain_decoding():
    """Times of a row are those of the median call: a mean would report the stop."""
    quiet = plain()
    quiet = replace(quiet, steps=quiet.steps * 9)
    stopped = replace(quiet, steps=(replace(quiet.steps[0], seconds_target=100.0), *quiet.steps[1:]))
    figures = plain_row(0.0, [stopped])
    assert figures == plain_row(0.0, [quiet])
    assert figures["ms_per_target_call"] < 100


def test_many_gammas_become_one_line_a_drafter(evaluation):
    """The table shows the fastest gamma, and beside it the one that the theorem would choose."""
    timed = {"speedup_interval": [0.1, 0.9], "trouble": ""}
    rows = [{**r, **timed, "gamma": g, "measured_speedup": g / 10} for r in evaluation["rows"] for g in range(1, 9)]
    result = {**evaluation, "rows": rows, "best": best_gammas(rows)}
    lines = [line for line in benchmark_table(result).splitlines() if line.startswith("| ") and "| lookup |" in line]
    assert {line.split("|")[3].split()[0] for line in lines} == {"8"}
    assert len([r for r in rows if r["gamma"] == 8]) == len(lines)


def test_a_cut_evaluation_goes_on_where_it_was(data, trained, tmp_path, monkeypatch, capsys):
    """Articles in the state are not decoded again, more can follow, and the rows are what one run would have given."""
    out, state = tmp_path / "out.json", tmp_path / "state"
    arguments = ["evaluate", "--target", str(trained), "--data", str(data), "--drafters", "lookup", "--gamma", "2",
                 "--temperature", "0,1", "--max-new-tokens", "10", "--json", str(out)]  # fmt: skip
    assert main([*arguments, "--articles", "2", "--state", str(state)]) == 0
    two = json.loads(out.read_text())
    # As states were when an assistant was timed on each article.
    (state / "claim.json").write_text(json.dumps(json.loads((state / "claim.json").read_text()) | {"assistant": "x"}))
    head, rest = (state / "00000.jsonl").read_text().split("\n", 1)
    (state / "00000.jsonl").write_text(json.dumps(json.loads(head) | {"timings": {"ours": {}}}) + "\n" + rest)
    decoded = []
    honest = measure.measure_article
    monkeypatch.setattr(
        measure, "measure_article", lambda plan, article, n, *more: decoded.append(n) or honest(plan, article, n, *more)
    )
    assert main([*arguments, "--articles", "2", "--state", str(state)]) == 0
    again = json.loads(out.read_text())
    assert decoded == []
    assert (again["rows"], again["target"], again["seconds"]) == (two["rows"], two["target"], two["seconds"])
    assert main([*arguments, "--articles", "3", "--state", str(state)]) == 0
    assert decoded == [2, 2]  # the first of a process warms the model up
    three = json.loads(out.read_text())
    assert main([*arguments, "--articles", "3"]) == 0
    whole = json.loads(out.read_text())
    for key in ("tau", "mean_beta", "accepted_tested", "target_calls", "tokens"):
        assert [r[key] for r in three["rows"]] == [r[key] for r in whole["rows"]]
    capsys.readouterr()
    assert main([*arguments, "--articles", "3", "--state", str(state), "--seed", "5"]) == 2
    assert "holds an evaluation with other seed" in capsys.readouterr().err


def test_all_drafters_are_those_that_fit_the_target(data, trained, tmp_path):
    """A target of one's own has lookup only."""
    out = tmp_path / "out.json"
    arguments = ["evaluate", "--target", str(trained), "--data", str(data), "--articles", "1", "--gamma", "2"]
    assert main([*arguments, "--temperature", "0", "--max-new-tokens", "8", "--json", str(out)]) == 0
    assert {r["drafter"] for r in json.loads(out.read_text())["rows"]} == {"lookup"}


def test_assisted_generation_is_timed_on_the_same_pair(data, trained, tmp_path):
    """With a T5 drafter among the drafters, transformers' own speculative decoding runs beside ours, same texts."""
    out = tmp_path / "out.json"
    arguments = ["evaluate", "--target", str(trained), "--data", str(data), "--articles", "2", "--gamma", "2"]
    drafters = f"t5:{trained.name}"
    assert main([*arguments, "--drafters", f"t5:{trained}", "--temperature", "0", "--max-new-tokens", "10", "--json",
                 str(out)]) == 0  # fmt: skip
    result = json.loads(out.read_text())
    rows = {(r["name"], r["threads"]): r for r in result["peers"]}
    (pair,) = {name for name, _ in rows if name.startswith(drafters)}
    assert rows["assisted generation", 1]["texts_equal"] == rows[pair, 1]["texts_equal"] == 2
    found = compared(result["peers"])["assisted"]
    assert (found["drafter"], found["ours_at_gamma"]) == (drafters, 2)
    assert found["assisted_over_ours"] == rows["assisted generation", 1]["ms_token"] / rows[pair, 1]["ms_token"]
    assert result["rows"][0]["accepted_tested"] == 1.0
    assert f"The same T5 pair (`{drafters}`), greedy, encoders included: ours at γ = 2" in benchmark_table(result)


def test_a_comparison_from_before_is_read(evaluation):
    """What was measured by itself is told as it stands, and needs no peers; without either there is nothing."""
    old = {"ms_per_token_generate": 15.11, "ms_per_token_ours": 7.192, "generate_over_ours": 2.101}
    told = benchmark_table({**evaluation, "target": {**evaluation["target"], "generate": old}, "peers": []})
    assert "takes 7.19 ms a token and transformers' `generate` 15.11 ms (2.10 times ours)" in told
    now = {(r["name"], r["threads"]): r["ms_token"] for r in evaluation["peers"]}
    assert f"takes {now['plain', 1]:.2f} ms a token and transformers' `generate` {now['generate', 1]:.2f} ms" in (
        benchmark_table(evaluation)
    )
    assert "transformers' `generate`" not in benchmark_table({**evaluation, "peers": []})


def test_greedy_acceptance_figures_agree(evaluation):
    """At T = 0 beta is 0 or 1, so its mean is accepted/tested."""
    for row in evaluation["rows"]:
        if row["temperature"] == 0:
            assert row["mean_beta"] == row["accepted_tested"]


def test_the_table_is_written_between_its_marks(evaluation, tmp_path):
    """README keeps what is around the marks; a file without marks is refused."""
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- benchmark-target:begin -->\nold\n<!-- benchmark-target:end -->\nafter\n")
    update_readme(evaluation, readme)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert benchmark_table(evaluation) in text
    assert "old" not in text
    readme.write_text("nothing")
    with pytest.raises(ValueError, match="benchmark-target:begin"):
        update_readme(evaluation, readme)


def test_results_can_be_merged(evaluation, tmp_path, capsys):
    """Two results of one target become one table; of two targets, they do not."""
    halves = []
    for temperature in (0, 1):
        rows = [r for r in evaluation["rows"] if r["temperature"] == temperature]
        plain = [p for p in evaluation["target"]["plain"] if p["temperature"] == temperature]
        halves.append(tmp_path / f"{temperature}.json")
        halves[-1].write_text(
            json.dumps({**evaluation, "rows": rows, "target": {**evaluation["target"], "plain": plain}})
        )
    out = tmp_path / "both.json"
    arguments = ["evaluate", "--merge", ",".join(map(str, halves)), "--json", str(out)]
    assert main(arguments) == 0
    merged = json.loads(out.read_text())
    assert len(merged["rows"]) == len(evaluation["rows"])
    assert merged["target"]["plain"] == evaluation["target"]["plain"]
    later = {**evaluation["rows"][0], "tau": 9.0, "articles": 50}
    halves[1].write_text(json.dumps({**evaluation, "rows": [later], "articles": 50, "peers": []}))
    assert main(arguments) == 0
    merged = json.loads(out.read_text())
    # What was compared with peers in turns stays together: the last comparison that there is.
    assert evaluation["peers"]
    assert merged["peers"] == evaluation["peers"]
    renewed = [{**row, "articles": 50} for row in evaluation["peers"][:1]]
    halves[1].write_text(json.dumps({**evaluation, "rows": [later], "articles": 50, "peers": renewed}))
    assert main(arguments) == 0
    assert json.loads(out.read_text())["peers"] == renewed
    assert [r["tau"] for r in merged["rows"] if r["articles"] == 50] == [9.0]
    assert merged["articles"] == 50
    halves[1].write_text(json.dumps({**evaluation, "target": {**evaluation["target"], "sha256": "other"}}))
    assert main(arguments) == 2
    assert "differ in target" in capsys.readouterr().err


def test_the_targets_own_figures_are_those_of_the_longest_run_in_any_order(evaluation):
    """A smaller run, such as that of Big Little Decoder's curve alone, replaces neither ROUGE nor plain decoding."""
    small = {
        **evaluation, "articles": evaluation["articles"] - 1, "rows": [],
        "target": {
            **evaluation["target"], "rouge1": 99.0, "rouge_articles": evaluation["target"]["rouge_articles"] - 1,
            "plain": [{**p, "mean_tokens": 1.0} for p in evaluation["target"]["plain"]],
        },
    }  # fmt: skip
    for both in ([small, evaluation], [evaluation, small]):
        assert merge(both)["target"] == evaluation["target"]
        assert merge(both)["rows"] == [{"articles": evaluation["articles"], **r} for r in evaluation["rows"]]
    again = {**small, "articles": evaluation["articles"]}
    assert [p["mean_tokens"] for p in merge([evaluation, again])["target"]["plain"]] == [1.0] * len(
        again["target"]["plain"]
    )


def test_wrong_numbers_are_told(capsys, trained, data):
    """--gamma a,b ends in a sentence and status 2."""
    assert main(["evaluate", "--target", str(trained), "--data", str(data), "--gamma", "a,b"]) == 2
    assert "--gamma must be numbers" in capsys.readouterr().err
