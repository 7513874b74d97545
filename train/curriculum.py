"""What `mini` is taught, and in which order: first to copy, then to pick sentences, then to summarise.

A batch is a pure function of (corpus, stage, step, seed), so a resumed run sees the batches that an unbroken one
would have seen, and each process of a distributed run can compute its own share.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from train.corpus import Corpus

POOL = 40  # batches whose rows are sorted by length together, so that little padding is computed


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    ``mix`` gives the share of batches that each task gets; a task is one of ``copy_short``, ``copy_long``,
    ``extract``, ``summarize``. ``lr_end`` below ``lr`` makes the rate fall linearly over the stage. The weights at the
    ends of all ``averaged`` stages are averaged for export (Izmailov et al. 2018, "Averaging Weights Leads to Wider
    Optima").
    """

    name: str
    steps: int
    batch_size: int
    mix: dict[str, float] = field(default_factory=dict)
    lr: float = 0.02
    lr_end: float = 0.02
    averaged: bool = False


# Learning to copy first: shared/training.md and the record in checkpoints/mini say how this was measured.
MINI_STAGES = (
    Stage("copy_short", 500, 128, {"copy_short": 1.0}),
    Stage("copy_long", 100, 64, {"copy_long": 1.0}),
    Stage("extract", 200, 32, {"extract": 0.9, "copy_long": 0.1}),
    Stage("summarize", 900, 32, {"summarize": 0.5, "extract": 0.45, "copy_long": 0.05}),
    Stage("cooldown", 320, 32, {"summarize": 0.4, "extract": 0.6}, lr_end=0.0, averaged=True),
    Stage("polish", 130, 32, {"summarize": 0.4, "extract": 0.6}, lr=0.01, lr_end=0.0, averaged=True),
)
FINE_TUNE_STAGES = (Stage("summarize", 2000, 32, {"summarize": 1.0}, lr=0.001, lr_end=0.0),)


@dataclass(frozen=True)
class Ids:
    """Token ids that make up an example besides text: the prompt prefix, the separator of the copy task, eos."""

    prefix: tuple[int, ...]
    separator: int
    eos: int


def with_steps(stages: tuple[Stage, ...], spec: str | None, batch_size: int | None = None) -> tuple[Stage, ...]:
    """`stages` with their lengths replaced as in ``"copy_short=300,cooldown=0"``, and their batch size by `batch_size`.

    Raises:
        ValueError: a name that is no stage, or a number that is none.
    """
    wanted = dict(item.partition("=")[::2] for item in (spec or "").split(",") if item)
    unknown = set(wanted) - {s.name for s in stages}
    if unknown:
        raise ValueError(f"--steps names {sorted(unknown)}; the stages are {[s.name for s in stages]}.")
    for name, number in wanted.items():
        if not number.isdecimal():
            raise ValueError(f"--steps must give {name} a number of 0 or more, as in {name}=600, not {number!r}.")
    found = tuple(
        replace(s, steps=int(wanted.get(s.name, s.steps)), batch_size=batch_size or s.batch_size) for s in stages
    )
    if not any(s.steps for s in found):
        raise ValueError("--steps leaves no step to train: give some stage 1 or more.")
    return found


def task_of(stage: Stage, step: int, seed: int) -> str:
    """The task of one batch, drawn by the stage's mix."""
    rng = np.random.default_rng((seed, 1, _stage_key(stage), step))
    names = sorted(stage.mix)
    weights = np.array([stage.mix[n] for n in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def _stage_key(stage: Stage) -> int:
    return int.from_bytes(stage.name.encode()[-6:], "big")


def batch_rows(lengths: np.ndarray, batch_size: int, step: int, seed: int) -> np.ndarray:
    """Row numbers of batch `step`: shuffled passes over the data, rows of similar length together.

    Args:
        lengths: shape (n,), what to sort by.
    """
    n = len(lengths)
    pool_rows = POOL * batch_size
    pool, inside = divmod(step, POOL)
    start = pool * pool_rows
    rows = np.concatenate(
        [
            np.random.default_rng((seed, 2, e)).permutation(n)
            for e in range(start // n, (start + pool_rows - 1) // n + 1)
        ]
    )[start - start // n * n :][:pool_rows]
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    order = np.random.default_rng((seed, 3, pool)).permutation(POOL)
    at = order[inside] * batch_size
    return rows[at : at + batch_size]


def copy_example(text: np.ndarray, rng: np.random.Generator, short: bool, ids: Ids) -> tuple[list[int], list[int]]:
    """(input, output): find the span that begins with two given tokens in a window of text, ids of shape (n,), and copy
    it.

    Input is the span's first two tokens, a separator, the window; output is the span. Short: windows of 16 to 36
    tokens, spans of 6 to 14; long: windows of 48 to 200, spans of 10 to 32.
    """
    window = int(rng.integers(16, 37) if short else rng.integers(48, 201))
    span = int(rng.integers(6, 15) if short else rng.integers(10, 33))
    window = min(window, len(text))
    span = min(span, window)
    start = int(rng.integers(0, len(text) - window + 1))
    seen = text[start : start + window].tolist()
    at = int(rng.integers(0, window - span + 1))
    copied = seen[at : at + span]
    return [*copied[:2], ids.separator, *seen, ids.eos], [*copied, ids.eos]


def make_batch(corpus: Corpus, stage: Stage, step: int, seed: int, ids: Ids) -> list[tuple[list[int], list[int]]]:
    """The (input ids, output ids) pairs of one batch."""
    task = task_of(stage, step, seed)
    if task.startswith("copy"):
        rng = np.random.default_rng((seed, 4, _stage_key(stage), step))
        rows = rng.integers(0, len(corpus.articles), stage.batch_size)
        return [copy_example(corpus.articles[int(r)], rng, task == "copy_short", ids) for r in rows]
    outputs = corpus.extracts if task == "extract" else corpus.summaries
    rows = batch_rows(outputs.lengths(), stage.batch_size, step, seed)
    # A row without an extract (no sentence overlaps the summary) teaches its summary instead.
    return [
        (
            [*ids.prefix, *corpus.articles[int(r)].tolist(), ids.eos],
            [*(outputs[int(r)] if len(outputs[int(r)]) else corpus.summaries[int(r)]).tolist(), ids.eos],
        )
        for r in rows
    ]


def learning_rate(stage: Stage, step: int, global_step: int, warmup: int = 100) -> float:
    """Linear warm-up over the first steps of all, then linear from ``lr`` to ``lr_end`` over the stage."""
    lr = stage.lr + (stage.lr_end - stage.lr) * step / max(1, stage.steps)
    return lr * min(1.0, (global_step + 1) / warmup)
