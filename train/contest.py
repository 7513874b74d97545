"""The table of methods: every named method of a target in one run, of each its fastest setting.

The best of many noisy figures is too high by itself: a setting is chosen on one half of the articles, and what is told
of it was measured on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fastllm.drafters import load_drafter
from fastllm.drafters.base import Drafter
from fastllm.drafters.errors import DrafterError
from fastllm.lengths import LENGTHS
from fastllm.rules import lossless
from fastllm.targets.base import Target
from fastllm.trace import Trace
from train.measure import Job
from train.named import NAMED, Named
from train.results import differ, joined_facts, key_of, method_of, row_of
from train.table import measured


def load(target: Target, named: Sequence[Named]) -> tuple[dict[str, Drafter], dict[str, str]]:
    """The drafters of all methods that `target` has, by spec, and why each of the others is not there."""
    found, lacking = {}, {}
    for spec in dict.fromkeys(spec for one in named for spec in one.drafters):
        if spec.partition(":")[2] == target.preset.name:
            lacking[spec] = "It is the target itself."
            continue
        try:
            found[spec] = load_drafter(target, spec)
        except DrafterError as error:
            lacking[spec] = str(error)
    return found, lacking


def jobs_of(
    named: Sequence[Named], drafters: Mapping[str, Drafter], gammas: Sequence[int], temperatures: Sequence[float]
) -> dict[str, list[Job]]:
    """The ways of each method, by its key; none for a method without a drafter."""
    return {
        one.key: [
            Job(drafters[spec], gamma, temperature, method)
            for spec in one.drafters
            if spec in drafters
            for method in one.methods
            for gamma in one.gammas or gammas
            for temperature in temperatures
            if one.takes(temperature)
        ]
        for one in named
    }


def halves(articles: int) -> tuple[list[int], list[int]]:
    """Numbers of the articles that settings are chosen on, and of those that they are measured on: two and two by
    turns, because the order of the jobs is turned round on every second article."""
    return [n for n in range(articles) if n % 4 < 2], [n for n in range(articles) if n % 4 >= 2]


def row_of_halves(job: Job, spec: Sequence[Trace], plain: Sequence[Trace], seed: int) -> dict[str, Any]:
    """:func:`train.results.row_of` over the second of :func:`halves`, with ``chosen_by``: speedup and tau on the first.

    Args:
        spec, plain: a trace an article, all of them.
    """
    first, second = (row_of(job, [spec[n] for n in half], [plain[n] for n in half], seed) for half in halves(len(spec)))
    return {**second, "chosen_by": {k: first[k] for k in ("articles", "measured_speedup", "tau")}}


def join(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Results of ``train methods`` on one target and the same articles as one: of two rows for the same setting the
    later result's counts, and a row of weights that a later result no longer has goes.

    Raises:
        ValueError: the results differ in target, data or articles.
    """
    if differ(results, "data", "articles"):
        raise ValueError("The results to merge differ in target, data or number of articles: measure them alike.")
    last = results[-1]
    weights = {r["drafter"]: r["drafter_sha256"] for one in results for rows in one["rows"].values() for r in rows}
    keys = dict.fromkeys(key for one in results for key in one["rows"])
    rows = {}
    for key in keys:
        found = {_setting(r): r for one in results for r in one["rows"].get(key, ())}
        rows[key] = [r for r in found.values() if r["drafter_sha256"] == weights[r["drafter"]]]
    rows = {key: some for key, some in rows.items() if some}
    plain = {p["temperature"]: p for one in results for p in one["target"]["plain"]}
    measured_of = {r["drafter"] for some in rows.values() for r in some}
    lacking = {spec: why for one in results for spec, why in one["lacking"].items() if spec not in measured_of}
    return {
        **last,
        "target": {**last["target"], "plain": list(plain.values())},
        "lines": lines_of([one for one in NAMED if one.key in rows], rows),
        "rows": rows,
        "lacking": lacking,
        **joined_facts(results),
    }


def _setting(row: Mapping[str, Any]) -> tuple:
    """What a row is about; of a policy whose threshold is learnt, the name."""
    name = row["lengths"].partition(":")[0]
    kind = LENGTHS.get(name)
    return key_of({**row, "lengths": name} if kind and kind.carried else row), row["gamma"]


def fastest(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row whose setting was fastest where it is chosen; where none could be timed, of the most tokens a call."""
    return max(rows, key=lambda r: (r["chosen_by"]["measured_speedup"] or 0.0, r["chosen_by"]["tau"]))


def lines_of(named: Sequence[Named], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The table's lines: each method at each temperature, in its fastest setting.

    Args:
        rows: of each method's key, as of :func:`row_of_halves`.
    """
    kept = ("drafter", "gamma", "articles", "tau", "accepted_tested", "accepted_drafted", "target_calls", "tokens",
            "measured_speedup", "speedup_interval", "texts_changed")  # fmt: skip
    found = []
    for one in named:
        own = rows.get(one.key, ())
        for temperature in sorted({r["temperature"] for r in own}):
            some = [r for r in own if r["temperature"] == temperature]
            best, method = fastest(some), method_of(fastest(some))
            # Papers report greedy figures, but of what is for sampling only.
            told = temperature == 0 or one.temperatures == "sampled"
            found.append(
                {
                    "method": one.key,
                    "title": one.title,
                    "temperature": temperature,
                    "of": len(some),
                    **method,
                    **{k: best[k] for k in kept},
                    "lossless": lossless(method["rule"], method["rollback"]),
                    "published": asdict(one.published) if one.published and told else None,
                }
            )
    return found


def setting(line: Mapping[str, Any]) -> str:
    """A line's drafter, gamma, and what is not Algorithm 1's."""
    words = [f"`{line['drafter']}`, γ {line['gamma']}"]
    if line["rule"] != "token":
        words.append(f"rule {line['rule']}")
    if line["lengths"] != "constant":
        words.append(f"lengths {line['lengths']}")
    if line["nodes"]:
        words.append(f"{line['nodes']} nodes")
    if line["rollback"]:
        words.append(f"rollback {line['rollback']:g}")
    return ", ".join(words)


def table(result: Mapping[str, Any]) -> str:
    """Markdown of the result of ``train methods``."""
    measured_on = result["articles"] - result["chosen_on"]
    lines = [
        f"`{result['command']}` on {result['machine']}, {result['finished'][:10]}, commit `{result['commit'][:10]}`: "
        f"{result['articles']} articles, every method in turn on each, engine {result['engine']}. Of each method the "
        f"setting that was fastest on {result['chosen_on']} of them, measured on the other {measured_on}; in brackets "
        "the 95 % interval of its speedup over plain decoding.",
        "",
        "| T | method | fastest setting (of so many) | τ | accepted/tested | calls an article | measured | exact | "
        "published |",
        "| --: | --- | --- | --: | --: | --: | --- | --- | --- |",
    ]
    for line in sorted(result["lines"], key=lambda one: one["temperature"]):
        published = line["published"]
        exact = "yes" if line["lossless"] else f"no: {100 * (line['texts_changed'] or 0):.0f} % of texts changed"
        cells = (
            f"{line['temperature']:g}",
            line["title"],
            f"{setting(line)} ({line['of']})",
            f"{line['tau']:.2f}",
            "–" if line["accepted_tested"] is None else f"{line['accepted_tested']:.3f}",
            f"{line['target_calls'] / line['articles']:.1f}",
            measured(line),
            exact,
            "–" if published is None else _published(published),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _published(published: Mapping[str, Any]) -> str:
    memory = "; from memory" if published["memory"] else ""
    return f"{published['figure']} ({published['paper']}: {published['setting']}{memory})"
