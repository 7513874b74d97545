"""``train exact``: no difference where p does not depend on the draft, and every one that there is, is found."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fastllm.config import Sampling, Settings
from fastllm.drafters import load_drafter
from fastllm.recorded import recorded_name
from fastllm.targets.int8 import quantised
from tests.conftest import TEXTS
from train.__main__ import main
from train.steps import exact
from train.steps.exact import Found, compare_rows, compare_text, exact_table


def test_the_engine_that_is_exact_shows_no_difference(tiny_folder, tmp_path, capsys):
    """Every text and every row of p counted, none apart; the record says so."""
    data, out = tmp_path / "pairs.jsonl", tmp_path / "exact.json"
    articles = [" ".join(TEXTS[i:] + TEXTS[:i]) for i in range(3)]
    rows = [{"id": str(i), "article": a, "highlights": TEXTS[i]} for i, a in enumerate(articles)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["exact", "--target", str(tiny_folder), "--data", str(data), "--articles", "3", "--sampled", "2"]
    page = tmp_path / "figures.md"
    mark = recorded_name("exact", str(tiny_folder))
    page.write_text(f"<!-- {mark}:begin -->\n<!-- {mark}:end -->\n")
    more = ["--drafters", "lookup", "--max-new-tokens", "12", "--json", str(out), "--table", str(page)]
    assert main([*asked, *more]) == 0
    result = json.loads(out.read_text())
    (row,) = result["rows"]
    assert exact_table(result) in page.read_text()
    assert f"| lookup | 0 of 3 | – | 0 of {row['rows']} | 0 |" in page.read_text()
    assert result["command"] in page.read_text()
    assert result["data"][0]["bytes"]
    assert (row["texts"], row["partings"], row["rows_apart"]) == (3, [], 0)
    assert 0 < row["rows"] <= 24
    assert "0 of     3" in capsys.readouterr().out


def test_a_target_whose_p_depends_on_the_draft_is_found_out(tiny):
    """Dynamic int8: rows of p get other bits."""
    target = quantised(tiny)
    drafters = [(load_drafter(target, "lookup"), Found("lookup"))]
    for text in TEXTS[:3]:
        compare_rows(target, text, drafters, Settings(4, Sampling(1), max_new_tokens=16))
    assert drafters[0][1].rows_apart > 0
    assert drafters[0][1].largest > 0


def test_a_text_that_parts_is_told_with_its_place(tiny, monkeypatch):
    """A drafter whose runs say something else: where, and how near the two best logits were."""
    drafter, found = load_drafter(tiny, "lookup"), Found("lookup")
    settings = Settings(4, Sampling(0), max_new_tokens=12)
    own = exact.tokens_of
    monkeypatch.setattr(exact, "tokens_of", lambda s, d, x: own(s, d, x) if d is None else (*own(s, d, x)[:3], 5, 5))
    compare_text(tiny, TEXTS[0], 7, [(drafter, found)], settings)
    assert [(p.article, p.place) for p in found.partings] == [(7, 3)]
    assert found.partings[0].gap >= 0
    made = {"command": "c", "machine": "m", "finished": "2026-01-01", "commit": "0", "engine": "torch", "gamma": 4}
    assert f"| lookup | 1 of 1 | {found.partings[0].gap:.1e} |" in exact_table({**made, "rows": [asdict(found)]})


@pytest.mark.parametrize(("more", "words"), [(("--articles", "0"), "--articles"), (("--table", "/tmp"), "/tmp")])
def test_what_cannot_work_is_told(tiny_folder, more, words, capsys):
    """Before anything is loaded, in one sentence."""
    assert main(["exact", "--target", str(tiny_folder), "--data", "none.jsonl", *more]) == 2
    assert words in capsys.readouterr().err
