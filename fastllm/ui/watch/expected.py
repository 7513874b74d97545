"""What the recorded benchmark lets one expect of a drafter: a line under the menu. Pure, but for reading one file."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from pathlib import Path

from fastllm.config import ASSETS
from fastllm.drafters import DrafterInfo
from fastllm.recorded import EMBEDDED, read_object, recorded_file

USUAL_GAMMA = 4


@lru_cache(maxsize=8)
def recorded(target: str = EMBEDDED, folder: Path = ASSETS) -> dict:
    """The recorded benchmark of a target; empty where there is none, or none that can be read."""
    if not re.fullmatch(r"[\w.-]+", target):  # a folder or a hub name
        return {}
    found = read_object(recorded_file("benchmark", target, folder))
    return found if isinstance(found.get("rows"), list) else {}


def row_for(benchmark: dict, target_sha256: str, spec: str, gamma: int, temperature: float) -> dict | None:
    """The benchmark's row for a drafter at this gamma, at the recorded temperature on the same side of greedy.

    None where it has none, or was recorded with other weights of the target: acceptance belongs to a pair.
    """
    if not benchmark or benchmark.get("target", {}).get("sha256") != target_sha256:
        return None
    greedy = temperature == 0
    rows = [
        r
        for r in benchmark["rows"]
        if r["drafter"] == spec and r["gamma"] == gamma and (r["temperature"] == 0) == greedy
    ]
    return min(rows, key=lambda r: abs(r["temperature"] - temperature), default=None)


def size_text(size_bytes: int) -> str:
    """Megabytes of weights, or kilobytes of few."""
    if not size_bytes:
        return "no weights"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"


def expected_html(info: DrafterInfo, row: dict | None, gamma: int, others: bool = False) -> str:
    """Size, cost and expected acceptance of a drafter, said to be recorded; `others` says that it is joined, or that
    another rule or draft length than the usual is chosen, of which nothing was recorded."""
    facts = [size_text(info.size_bytes)]
    if row is None:
        facts.append("no recorded figures for this method" if others else f"no recorded figures at γ = {gamma}")
        return f'<p class="fl-expected">{escape("; ".join(facts))}.</p>'
    facts.append(f"{row['us_per_draft_token'] / 1e3:.2f} ms a draft token" if row["us_per_draft_token"] else "")
    facts.append(f"mean β {row['mean_beta']:.2f}" if row["mean_beta"] is not None else "")
    facts.append(f"{row['tau']:.2f} tokens a target call")
    speed = row["measured_speedup"]
    facts.append(f"{speed:.2f}× as fast as plain decoding" if speed else "the machine was too busy to time it")
    where = f"Recorded at γ = {gamma}, T = {row['temperature']:g}, {row['articles']} articles"
    return f'<p class="fl-expected"><b>{escape(where)}:</b> {escape("; ".join(f for f in facts if f))}.</p>'
