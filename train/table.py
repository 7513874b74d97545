"""The benchmark table of README.md, written between two marks so that it is never typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastllm.recorded import recorded_name
from fastllm.rules import lossless
from train.peers import compared
from train.results import key_of, method_of

MAX_GAMMAS = 3  # more would make a table that nobody reads


def _cell(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else format(value, form) + unit


def measured(row: Mapping[str, Any]) -> str:
    """A row's measured speedup with its interval, as Markdown."""
    if row["measured_speedup"] is None:
        return "too busy to time"
    low, high = row["speedup_interval"]
    return f"**{row['measured_speedup']:.2f}×** ({low:.2f}–{high:.2f})"


def _drafter(row: dict) -> str:
    """The drafter; rule and draft lengths where they are not Algorithm 1's; how many texts a lossy rule changed."""
    method = method_of(row)
    words = [row["drafter"]]
    if method["rule"] != "token":
        words.append(f"rule {method['rule']}")
    if method["nodes"]:
        words.append(f"{method['nodes']} nodes, {method['width']} wide")
    if method["lengths"] != "constant":
        words.append(f"lengths {method['lengths']}")
    if not lossless(method["rule"], method["rollback"]):
        words.append(f"rollback {method['rollback']:g}, {100 * (row.get('texts_changed') or 0):.0f} % of texts changed")
    return ", ".join(words)


def benchmark_table(result: dict) -> str:
    """Markdown of an evaluation: what was run, the target's figures, and a row per drafter, gamma and temperature."""
    target = result["target"]
    lines = [
        f"`{result['command']}` on {result['machine']}, {result['finished'][:10]}, commit `{result['commit'][:10]}`.",
        "",
    ]
    if "rouge1" in target:
        lines += [
            f"Target `{target['name']}`: ROUGE-1/2/L {target['rouge1']:.2f} / {target['rouge2']:.2f} / "
            f"{target['rougeL']:.2f} over {target['rouge_articles']} articles (their first three sentences: "
            f"{target['lead3']['rouge1']:.2f} / {target['lead3']['rouge2']:.2f} / {target['lead3']['rougeL']:.2f})"
            + "".join(
                f"; plain decoding at T = {p['temperature']:g}: {p['ms_per_target_call']:.2f} ms a target call, "
                f"{p['tokens_per_second']:.0f} tokens/s, {p['mean_tokens']:.1f} tokens a summary"
                for p in target["plain"]
            )
            + ".",
            "",
        ]
    if g := target.get("generate") or compared(result.get("peers") or []):
        lines += [
            f"Encoder included, our plain decoding takes {g['ms_per_token_ours']:.2f} ms a token and transformers' "
            f"`generate` {g['ms_per_token_generate']:.2f} ms ({g['generate_over_ours']:.2f} times ours).",
            "",
        ]
        if a := g.get("assisted"):
            lines += [
                f"The same T5 pair (`{a['drafter']}`), greedy, encoders included: ours at γ = {a['ours_at_gamma']} "
                f"takes "
                f"{a['ms_per_token_ours']:.2f} ms a token, transformers' assisted generation "
                f"{a['ms_per_token_assisted']:.2f} ms ({a['assisted_over_ours']:.2f} times ours, and "
                f"{a['speedup_over_generate']:.2f}× over its own `generate`).",
                "",
            ]
    lines += peers_table(result.get("peers") or [])
    rows = shown_rows(result)
    if len(rows) < len(result["rows"]):
        lines += [
            "Each drafter at the γ of its highest measured speedup; in brackets the γ that Theorem 3.8 would choose. "
            f"assets/{recorded_name('benchmark', target['name'])}.json has every γ.",
            "",
        ]
    lines += [
        "| T | drafter | γ | articles | mean β | acc./tested | acc./drafted | τ | c | predicted | measured "
        "(95 %) | overhead |",
        "| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row, gamma in rows:
        lines.append(
            f"| {row['temperature']:g} | {_drafter(row)} | {gamma} | {row['articles']} | "
            f"{_cell(row['mean_beta'], '.3f')} | "
            f"{_cell(row['accepted_tested'], '.3f')} | {_cell(row['accepted_drafted'], '.3f')} | "
            f"{_cell(row['tau'], '.2f')} | {_cell(row['c'], '.4f')} | {_cell(row['predicted_speedup'], '.2f', '×')} | "
            f"{measured(row)} | "
            f"{_cell(100 * row['overhead_share'], '.1f')} % |"
        )
    return "\n".join(lines)


def peers_table(rows: Sequence[dict]) -> list[str]:
    """Lines of the comparison with other people's decoders: a row a peer, a column a number of threads."""
    if not rows:
        return []
    threads = sorted({r["threads"] for r in rows})
    found = {(r["name"], r["threads"]): r for r in rows}
    lines = [
        f"Milliseconds a token, encoder or prompt included, T = 0, {rows[0]['articles']} articles, everybody in turn; "
        "in brackets the texts that are our plain decoding's.",
        "",
        "| decoder | " + " | ".join(f"{n} thread{'s' * (n > 1)}" for n in threads) + " |",
        "| --- |" + " --: |" * len(threads),
    ]
    for name in dict.fromkeys(r["name"] for r in rows):
        cells = []
        for n in threads:
            r = found.get((name, n))
            cells.append("–" if r is None else f"{r['ms_token']:.2f} ({r['texts_equal']}/{r['articles']})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def shown_rows(result: dict) -> list[tuple[dict, str]]:
    """Rows by temperature, each with what to write for gamma: all, or each drafter's fastest where gammas are many."""
    rows = sorted(result["rows"], key=lambda r: r["temperature"])
    if len({r["gamma"] for r in rows}) <= MAX_GAMMAS:
        return [(r, str(r["gamma"])) for r in rows]
    best = {key_of(b): b for b in result["best"]}
    shown = []
    for row in rows:
        b = best[key_of(row)]
        if row["gamma"] == b["measured_gamma"]:
            foretold = "" if b["predicted_gamma"] is None else f" ({b['predicted_gamma']})"
            shown.append((row, f"{row['gamma']}{foretold}"))
    return shown


def check_marks(file: Path, mark: str) -> tuple[str, str, str]:
    """The text of a file, and the two marks that stand in it.

    Raises:
        ValueError: there is no such file, or it has no such marks.
    """
    if not file.is_file():
        raise ValueError(f"There is no file {file} to write the table into.")
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    whole = file.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise ValueError(f"{file} needs the lines {begin} and {end} to write the table between.")
    return whole, begin, end


def write_between(file: Path, mark: str, text: str) -> None:
    """Replace what stands between ``<!-- mark:begin -->`` and ``<!-- mark:end -->``.

    Raises:
        ValueError: the file has no such marks.
    """
    whole, begin, end = check_marks(file, mark)
    before, rest = whole.split(begin, 1)
    file.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def update_readme(result: dict, readme: Path | None) -> str:
    """Put the table into `readme`, if given, and return it."""
    table = benchmark_table(result)
    if readme:
        write_between(readme, recorded_name("benchmark", result["target"]["name"]), table)
    return table
