"""The benchmark table of README.md, written between two marks so that it is never typed by hand."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def benchmark_table(result: dict) -> str:
    """Markdown of an evaluation: what was run, the target's figures, and a row per drafter, gamma and temperature."""
    target = result["target"]
    lines = [
        f"`{result['command']}` on {result['machine']}, {result['finished'][:10]}, commit `{result['commit'][:10]}`; "
        f"{result['articles']} articles.",
        "",
    ]
    if "rouge1" in target:
        lines += [
            f"Target `{target['name']}`: ROUGE-1/2/L {target['rouge1']:.2f} / {target['rouge2']:.2f} / "
            f"{target['rougeL']:.2f} over {target['rouge_articles']} articles"
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
    lines += [
        "| T | drafter | γ | mean β | acc./tested | acc./drafted | τ | c | predicted | measured (95 %) | overhead |",
        "| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row in sorted(result["rows"], key=lambda r: r["temperature"]):
        low, high = row["speedup_interval"]
        lines.append(
            f"| {row['temperature']:g} | {row['drafter']} | {row['gamma']} | {_cell(row['mean_beta'], '.3f')} | "
            f"{_cell(row['accepted_tested'], '.3f')} | {_cell(row['accepted_drafted'], '.3f')} | "
            f"{_cell(row['tau'], '.2f')} | {_cell(row['c'], '.4f')} | {_cell(row['predicted_speedup'], '.2f')}× | "
            f"**{_cell(row['measured_speedup'], '.2f')}×** ({low:.2f}–{high:.2f}) | "
            f"{_cell(100 * row['overhead_share'], '.1f')} % |"
        )
    return "\n".join(lines)


def update_readme(result: dict, readme: Path | None) -> str:
    """Put the table into `readme`, if given, and return it.

    Raises:
        ValueError: the file has no marks to write between.
    """
    table = benchmark_table(result)
    if readme:
        text = readme.read_text(encoding="utf-8")
        if BEGIN not in text or END not in text:
            raise ValueError(f"{readme} needs the lines {BEGIN} and {END} to write the table between.")
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
    return table
