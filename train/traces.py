"""Traces of an evaluation as files: one for each article and way of decoding, for fastllm.analysis.study.

They hold the articles: keep them out of the repository where those are a publisher's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastllm.trace import Trace, to_json
from train.record import Record


def write_traces(folder: Path, traces: Iterable[Sequence[Trace]], record: Record) -> None:
    """Write each way's traces, in the order of the articles, and ``record.json`` that says how they were made.

    Raises:
        ValueError: the folder holds traces of an earlier run, which would be counted as this one's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.trace.json")):
        raise ValueError(f"{folder} holds traces of an earlier run: give an empty folder to --traces.")
    for way in traces:
        for number, trace in enumerate(way):
            name = re.sub(r"[^a-z0-9.@-]", "-", trace.drafter.lower()) or "plain"
            file = folder / f"{number:05d}-{name}-g{trace.gamma}-t{trace.temperature:g}.trace.json"
            file.write_text(to_json(trace) + "\n", encoding="utf-8")
    record.write(folder / "record.json")
