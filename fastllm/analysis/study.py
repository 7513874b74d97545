"""Rejections of many runs, counted by kind, drafter and draft position: ``python -m fastllm.analysis.study FOLDER``.

The summary holds counts and single tokens only, never a text: it can be published where the articles cannot.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastllm import console
from fastllm.analysis.rejections import KINDS, kinds, rejections
from fastllm.config import ASSETS
from fastllm.publishable import without_folders
from fastllm.recorded import recorded_place
from fastllm.trace import Trace, TraceError, from_json

STUDY_VERSION = 2
# Tokens named as often missed: so many, and none that was missed less often.
MOST_MISSED, LEAST_MISSED = 12, 5


class StudyError(ValueError):
    """A study cannot be made or read; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Count:
    """Tested draft tokens and how many of them were refused."""

    tested: int
    rejected: int

    @property
    def rate(self) -> float | None:
        """rejected / tested."""
        return self.rejected / self.tested if self.tested else None


@dataclass(frozen=True)
class Group:
    """All runs of one drafter, draft length and temperature.

    Attributes:
        drafter_hash: of the drafter's weights, "" where it has none.
        runs: articles decoded.
        tokens, target_calls: summary tokens and target calls of all runs together.
        kinds: by the kind of the token that the target wanted (fastllm/analysis/rejections.py): an accepted draft
            token, or the replacement of a refused one.
        positions: by draft position, along the path that was followed; item 0 is the first draft token.
        position_kinds: refused tokens by kind at each draft position.
        missed: tokens that the target put in place most often, with how often: single tokens, leading space kept.
    """

    drafter: str
    gamma: int
    temperature: float
    drafter_hash: str
    runs: int
    tokens: int
    target_calls: int
    kinds: dict[str, Count]
    positions: tuple[Count, ...]
    position_kinds: tuple[dict[str, int], ...]
    missed: tuple[tuple[str, int], ...]

    @property
    def total(self) -> Count:
        """All tested draft tokens."""
        return Count(sum(c.tested for c in self.positions), sum(c.rejected for c in self.positions))


@dataclass(frozen=True)
class Study:
    """What many runs say of rejections, and what they were: target, articles, when, by which command.

    Attributes:
        articles: articles that each drafter decoded.
        data: names and hashes of the data files.
        made: when the runs ended (ISO 8601, UTC).
    """

    target: str
    target_hash: str
    articles: int
    groups: tuple[Group, ...]
    made: str = ""
    command: str = ""
    commit: str = ""
    machine: str = ""
    data: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    version: int = STUDY_VERSION


def study(traces: Iterable[Trace], record: Mapping[str, Any] | None = None) -> Study:
    """Count the rejections of these runs; plain decoding, which drafts nothing, is left out.

    Args:
        traces: read one after the other, so that none need stay in memory.
        record: what ``train evaluate`` wrote beside them: command, commit, data, versions, machine, time.

    Raises:
        StudyError: no run drafted anything, or the runs are of several targets, or of a drafter's several weights.
    """
    found: dict[tuple[str, int, float], _Counter] = defaultdict(_Counter)
    targets, hashes = set(), defaultdict(set)
    for trace in traces:
        if trace.mode == "speculative":
            targets.add((trace.target, trace.target_hash))
            hashes[trace.drafter].add(trace.drafter_hash)
            found[trace.drafter, trace.gamma, trace.temperature].add(trace)
    if not found:
        raise StudyError("There is no speculative run among these traces: make some with `train evaluate --traces`.")
    if len(targets) > 1:
        raise StudyError("These traces are of several targets: study one at a time.")
    if mixed := [name for name, some in hashes.items() if len(some) > 1]:
        raise StudyError(f"These traces of {mixed[0]} were made with several weights: study those of one at a time.")
    ((target, target_hash),) = targets
    record = record or {}
    return Study(
        target=without_folders(target),
        target_hash=target_hash,
        articles=max(c.runs for c in found.values()),
        groups=tuple(found[key].group(*key, *hashes[key[0]]) for key in sorted(found)),
        made=record.get("finished", ""),
        command=record.get("command", ""),
        commit=record.get("commit", ""),
        machine=record.get("machine", ""),
        data=tuple(record.get("data", ())),
        versions=dict(record.get("versions", {})),
    )


class _Counter:
    """Counts of one group, growing run by run."""

    def __init__(self) -> None:
        self.runs = self.tokens = self.target_calls = 0
        self.tested: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.at: list[list[int]] = []
        self.at_kinds: list[Counter[str]] = []
        self.missed: Counter[str] = Counter()

    def add(self, trace: Trace) -> None:
        self.runs += 1
        self.tokens += len(trace.tokens)
        self.target_calls += len(trace.steps)
        wanted = kinds(trace)
        for step in trace.steps:
            for offset, token in enumerate(step.draft):
                while len(self.at) <= offset:
                    self.at.append([0, 0])
                    self.at_kinds.append(Counter())
                if token.status != "ignored":
                    self.at[offset][0] += 1
                if token.status == "accepted":
                    self.tested[wanted[step.position + offset]] += 1
        for r in rejections(trace):
            self.tested[r.kind] += 1
            self.rejected[r.kind] += 1
            self.at[r.offset][1] += 1
            self.at_kinds[r.offset][r.kind] += 1
            self.missed[r.replacement] += 1

    def group(self, drafter: str, gamma: int, temperature: float, drafter_hash: str) -> Group:
        often = [(t, n) for t, n in self.missed.most_common(MOST_MISSED) if n >= LEAST_MISSED]
        return Group(
            drafter=without_folders(drafter),
            gamma=gamma,
            temperature=temperature,
            drafter_hash=drafter_hash,
            runs=self.runs,
            tokens=self.tokens,
            target_calls=self.target_calls,
            kinds={k: Count(self.tested[k], self.rejected[k]) for k in KINDS},
            positions=tuple(Count(*pair) for pair in self.at),
            position_kinds=tuple({k: c[k] for k in KINDS if c[k]} for c in self.at_kinds),
            missed=tuple(often),
        )


def to_json(value: Study) -> str:
    """The study as JSON, a group a line."""
    whole = dataclasses.asdict(value)
    groups = whole.pop("groups")
    head = json.dumps(whole, ensure_ascii=False, indent=1)[:-2]
    lines = ",\n  ".join(json.dumps(g, ensure_ascii=False) for g in groups)
    return f'{head},\n "groups": [\n  {lines}\n ]\n}}\n'


def from_file(path: Path) -> Study:
    """Read a study.

    Raises:
        StudyError: it is not there, or no study of this version.
    """
    if not path.is_file():
        raise StudyError(f"There is no study at {path}: make one with `make study`.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["version"] != STUDY_VERSION:
            raise StudyError(f"{path} has version {value['version']!r}; this program reads version {STUDY_VERSION}.")
        groups = tuple(
            Group(
                **{
                    **g,
                    "kinds": {k: Count(**c) for k, c in g["kinds"].items()},
                    "positions": tuple(Count(**c) for c in g["positions"]),
                    "position_kinds": tuple(g["position_kinds"]),
                    "missed": tuple((t, n) for t, n in g["missed"]),
                }
            )
            for g in value["groups"]
        )
        return Study(**{**value, "groups": groups, "data": tuple(value["data"])})
    except StudyError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StudyError(f"{path} is no study ({error}): make it again with `make study`.") from None


def read_folder(folder: Path) -> Iterator[Trace]:
    """The traces that ``train evaluate --traces`` wrote, one after the other.

    Raises:
        StudyError: the folder has none.
    """
    files = sorted(folder.glob("*.trace.json"))
    if not files:
        raise StudyError(f"There are no traces in {folder}: make some with `python -m train evaluate --traces`.")
    for file in files:
        try:
            yield from_json(console.read_text(file))
        except TraceError as error:
            raise StudyError(f"{file}: {error}") from None


def read_record(file: Path) -> dict[str, Any] | None:
    """What ``train evaluate`` wrote beside its traces, or None where it wrote nothing.

    Raises:
        StudyError: it is no record.
    """
    if not file.is_file():
        return None
    try:
        record = json.loads(console.read_text(file))
    except json.JSONDecodeError as error:
        raise StudyError(f"{file} is damaged ({error}): make it again with `make study`.") from None
    if not isinstance(record, dict):
        raise StudyError(f"{file} is no record: make it again with `make study`.")
    return record


def main(argv: list[str] | None = None) -> int:
    """Make a study from a folder of traces; the exit status is 2 where the folder is at fault."""
    console.prepare()
    parser = argparse.ArgumentParser(prog="python -m fastllm.analysis.study", description=__doc__)
    parser.add_argument("folder", type=Path, help="what `train evaluate --traces` wrote")
    parser.add_argument("--json", type=Path, default=ASSETS, help="file or folder; in assets/ the page shows it")
    args = parser.parse_args(argv)
    try:
        if not args.json.is_dir():
            console.check_writable(args.json)  # before the work, not after it
        made = study(read_folder(args.folder), read_record(args.folder / "record.json"))
        place = recorded_place(args.json, "study", made.target)
        console.check_writable(place)
        console.write_text(place, to_json(made))
    except (OSError, ValueError) as error:
        print(f"fastllm.analysis.study: {error}", file=sys.stderr)
        return 2
    refused = sum(g.total.rejected for g in made.groups)
    print(f"{place}: {len(made.groups)} ways over {made.articles} articles, {refused:,} rejections")
    return 0


if __name__ == "__main__":
    sys.exit(main())
