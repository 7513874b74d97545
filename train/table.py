"""The benchmark table of README.md, written between two marks so that it is never typed by hand."""

from __future__ import annotations

from pathlib import Path

MAX_GAMMAS = 3  # more would make a table that nobody reads


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


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
    if target.get("generate"):
        g = target["generate"]
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
    rows = shown_rows(result)
    if len(rows) < len(result["rows"]):
        lines += [
            "Each drafter at the γ of its highest measured speedup; in brackets the γ that Theorem 3.8 would choose. "
            "assets/benchmark.json has every γ.",
            "",
        ]
    lines += [
        "| T | drafter | γ | articles | mean β | acc./tested | acc./drafted | τ | c | predicted | measured "
        "(95 %) | overhead |",
        "| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row, gamma in rows:
        low, high = row["speedup_interval"]
        lines.append(
            f"| {row['temperature']:g} | {row['drafter']} | {gamma} | {row['articles']} | "
            f"{_cell(row['mean_beta'], '.3f')} | "
            f"{_cell(row['accepted_tested'], '.3f')} | {_cell(row['accepted_drafted'], '.3f')} | "
            f"{_cell(row['tau'], '.2f')} | {_cell(row['c'], '.4f')} | {_cell(row['predicted_speedup'], '.2f')}× | "
            f"**{_cell(row['measured_speedup'], '.2f')}×** ({low:.2f}–{high:.2f}) | "
            f"{_cell(100 * row['overhead_share'], '.1f')} % |"
        )
    return "\n".join(lines)


def shown_rows(result: dict) -> list[tuple[dict, str]]:
    """Rows by temperature, each with what to write for gamma: all, or each drafter's fastest where gammas are many."""
    rows = sorted(result["rows"], key=lambda r: r["temperature"])
    if len({r["gamma"] for r in rows}) <= MAX_GAMMAS:
        return [(r, str(r["gamma"])) for r in rows]
    best = {(b["drafter"], b["temperature"]): b for b in result["best"]}
    shown = []
    for row in rows:
        b = best[row["drafter"], row["temperature"]]
        if row["gamma"] == b["measured_gamma"]:
            shown.append((row, f"{row['gamma']} ({b['predicted_gamma']})"))
    return shown


def write_between(file: Path, mark: str, text: str) -> None:
    """Replace what stands between ``<!-- mark:begin -->`` and ``<!-- mark:end -->``.

    Raises:
        ValueError: the file has no such marks.
    """
    begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
    whole = file.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise ValueError(f"{file} needs the lines {begin} and {end} to write the table between.")
    before, rest = whole.split(begin, 1)
    file.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


def update_readme(result: dict, readme: Path | None) -> str:
    """Put the table into `readme`, if given, and return it."""
    table = benchmark_table(result)
    if readme:
        write_between(readme, "benchmark", table)
    return table
