"""``python -m train drafter``: teach an LSTM, CNN or T5 drafter, by reference summaries or by the target.

One loop for every family and recipe (train/recipes.py). Beside the loss it measures alpha on validation articles,
which is what a drafter is for, and keeps the weights where that was best. Runs on one process or under ``accelerate
launch`` on many; all it needs to go on after a cut lies in ``--state``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from tqdm import tqdm

from fastllm import console
from fastllm.checkpoints import file_sha256
from fastllm.drafters.rows import Columns
from fastllm.targets.base import Target
from fastllm.targets.load import load_target
from train import teacher
from train.alpha import Alpha, measure_alpha, pad_top_k
from train.batches import Batch, Example, make_batch, read_texts
from train.checks import at_least
from train.claim import claim
from train.content import content_of, fingerprint
from train.curriculum import batch_rows
from train.data import HUB_NAME, Pair, load_pairs, sample_pairs
from train.files import write_whole
from train.losses import cross_entropy, divergence
from train.options import SIZES, T5_SIZES
from train.recipes import RECIPES, Recipe
from train.record import Record
from train.state import has_progress, load_progress, load_state, save_state
from train.students import EMBEDDINGS, FAMILIES, Student, check_family, new_student
from train.summaries import summarise

WARMUP = 50


@dataclass(frozen=True)
class Progress:
    """Where a run stands; ``best`` is the highest mean alpha so far, -1 before the first measurement, ``loss`` the
    running mean of the loss, None before the first step."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    loss: float | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--family", choices=FAMILIES, required=True)
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="baseline")
    parser.add_argument("--loss", default=None, help="instead of the recipe's: ce, imitate, kl, rkl, js, tvd")
    parser.add_argument("--on-policy", type=float, default=None, help="share of batches on the drafter's own text")
    parser.add_argument("--temperature", type=float, default=None, help="of p and q in a divergence")
    parser.add_argument("--target", default="mini")
    parser.add_argument("--data", default=HUB_NAME, help="pairs: hub name, parquet or jsonl")
    parser.add_argument("--pseudo", default=None, help="what the target said of them: A.jsonl,B.jsonl")
    parser.add_argument("--validation", required=True, help="pairs not trained on, for alpha")
    parser.add_argument("--alpha-articles", type=int, default=100)
    parser.add_argument("--limit", type=int, default=None, help="use at most so many pairs")
    parser.add_argument(
        "--init", type=Path, default=None, help="go on from this drafter; a T5 may be a hub name's folder"
    )
    parser.add_argument("--layers", type=int, default=None, help="of a fresh drafter (t5: taken from the target)")
    parser.add_argument("--decoder-layers", type=int, default=None, help="of a fresh T5, where not as many as --layers")
    parser.add_argument("--max-match", type=int, default=None, help="of a fresh LSTM or CNN; 0: no match feature")
    parser.add_argument(
        "--d-model", type=int, default=None, help="of a fresh LSTM or CNN: width of its embeddings, even"
    )
    parser.add_argument("--d-state", type=int, default=None, help="of a fresh LSTM or CNN: width of its state")
    parser.add_argument("--article-kernel", type=int, default=None, help="of a fresh LSTM or CNN: tokens a key sees")
    parser.add_argument(
        "--pieces", type=int, default=None,
        help="of a fresh LSTM or CNN: most frequent pieces with an embedding of their own (default: all, or 8192 where "
        "all would be more than 8 MB)",
    )  # fmt: skip
    parser.add_argument(
        "--embeddings", choices=EMBEDDINGS, default="random", help="of a fresh LSTM or CNN: drawn, or the target's, "
        "projected on as many of their principal axes",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32, help="over all processes")
    parser.add_argument("--lr", type=float, default=None)
    parser.add_argument("--teacher-top-k", type=int, default=32, help="cache so many of the target's; 0: on the fly")
    parser.add_argument("--alpha-every", type=int, default=200)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--state", type=Path, required=True, help="everything needed to resume this run")
    parser.add_argument("--cache", type=Path, default=Path("state/cache"), help="target's answers, shared by runs")
    parser.add_argument("--out", type=Path, required=True, help="folder, for example checkpoints/mini/lstm-distilled")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    parser.add_argument("--mixed-precision", choices=("no", "bf16"), default="no")


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe asked for, with what the arguments change in it."""
    given = {"loss": args.loss, "on_policy": args.on_policy, "temperature": args.temperature}
    return replace(RECIPES[args.recipe], **{k: v for k, v in given.items() if v is not None})


def examples_of(target: Target, pairs: Sequence[Pair], texts: Sequence[Sequence[int]]) -> list[Example]:
    """Examples whose articles are cut as the target reads them; pairs and texts go together."""
    # 16 characters a token are more than any English article has.
    reach = 16 * target.preset.max_article_tokens
    prompts = target.read_many([p.article[:reach] for p in pairs])
    return [Example(p.article, p.ids, tuple(t)) for p, t in zip(prompts, texts, strict=True)]


def training_examples(args: argparse.Namespace, target: Target, recipe: Recipe) -> list[Example]:
    """The texts of a recipe with their articles.

    Raises:
        ValueError: the recipe needs a pseudo-dataset and there is none, or it is not about these pairs.
    """
    pairs = load_pairs(args.data, limit=args.limit)
    if recipe.texts == "highlights":
        limit = target.preset.max_new_tokens
        rows = target.tokenizer([p.summary for p in pairs], add_special_tokens=False, verbose=False).input_ids
        return examples_of(target, pairs, [(*r[: limit - 1], target.eos_id) for r in rows])
    if not args.pseudo:
        raise ValueError(
            f"The recipe {recipe.name} learns from the target: make --pseudo with `python -m train pseudo`."
        )
    found: list[Example] = []
    for path in args.pseudo.split(","):
        texts = read_texts(Path(path), target.vocab_size)
        some = [p for p in pairs if p.id in texts]
        if not some:
            raise ValueError(f"{path} has no summary of an article in {args.data}.")
        found += examples_of(target, some, [texts[p.id] for p in some])
    return found


def validation_texts(args: argparse.Namespace, target: Target) -> tuple[list[Example], list[Example]]:
    """The target's greedy and sampled texts on validation articles, cached on disk."""
    pairs = sample_pairs(args.validation, "validation", args.alpha_articles)
    # By content: another file of the same name has other texts.
    name = repr((fingerprint(target), [(p.id, p.article) for p in pairs]))
    file = args.cache / f"validation-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    if not file.exists():
        limit, articles = target.preset.max_new_tokens, [p.article for p in pairs]
        made = [[summarise(target, a, t, limit) for a in articles] for t in (0.0, 1.0)]
        write_whole(file, json.dumps(made))
    greedy, sampled = json.loads(file.read_text())
    return examples_of(target, pairs, greedy), examples_of(target, pairs, sampled)


def batch_loss(recipe: Recipe, log_q: Tensor, batch: Batch, log_p: Tensor | None) -> Tensor:
    """Mean loss over the tokens of a batch.

    Args:
        log_q, log_p: shape (B, T, V); log_p is None for the loss ``ce``.
    """
    rows = log_q[batch.mask]
    if log_p is None:
        return cross_entropy(rows, batch.labels[batch.mask]).mean()
    answers = log_p[batch.mask]
    if recipe.loss == "imitate":
        return cross_entropy(rows, answers.argmax(-1)).mean()
    return divergence(recipe.loss, rows, answers, recipe.temperature).mean()


def learning_rate(lr: float, step: int, steps: int) -> float:
    """Linear warm-up, then linear decay to zero."""
    return lr * min(1.0, (step + 1) / WARMUP) * (1 - step / steps)


def _sizes(args: argparse.Namespace) -> dict[str, int]:
    """The sizes asked for, by name."""
    return {name: getattr(args, name) for name in (*SIZES, *T5_SIZES) if getattr(args, name) is not None}


def _check(args: argparse.Namespace) -> None:
    at_least(1, args, "alpha_articles", "limit", "layers", "decoder_layers", "d_model", "d_state", "article_kernel",
             "pieces", "steps", "batch_size", "alpha_every", "save_every")  # fmt: skip
    at_least(0, args, "teacher_top_k", "max_match", "seed", "threads")
    if args.lr is not None and not 0 < args.lr < 10:
        raise ValueError(f"--lr must be above 0, not {args.lr}.")


def _claimed(args: argparse.Namespace, recipe: Recipe, target: Target) -> dict:
    """What decides the weights: two runs that share a state must share it."""
    names = ("family", "limit", "layers", "max_match", "d_state", "article_kernel", "steps", "batch_size", "lr", "seed",
             "teacher_top_k", "alpha_articles", "alpha_every", "mixed_precision")  # fmt: skip
    sources = [args.data, *(args.pseudo or "").split(","), args.validation]
    return {
        **{name: getattr(args, name) for name in names},
        # Only where given: states of older runs have no such claim.
        **{name: getattr(args, name) for name in ("pieces", "decoder_layers", "d_model") if getattr(args, name)},
        **({"embeddings": args.embeddings} if args.embeddings != "random" else {}),
        "recipe": asdict(recipe),
        "target": fingerprint(target),
        "data": [content_of(s) for s in sources if s],
        "init": args.init and content_of(args.init),
    }


def run(args: argparse.Namespace) -> None:
    """Train from wherever the state stands, then put the best weights and the record into --out."""
    recipe = recipe_of(args)
    _check(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    set_seed(args.seed)
    target = load_target(args.target, str(accelerator.device))
    console.tell(target.notes)
    check_family(args.family, target, args.init)
    if args.teacher_top_k > target.vocab_size:
        raise ValueError(
            f"--teacher-top-k is {args.teacher_top_k} and the target has {target.vocab_size} tokens: give fewer."
        )
    if accelerator.is_main_process:
        begun = has_progress(args.state)
        claim(args.state, _claimed(args, recipe, target), "a training", begun)
        if not begun:  # what a run left that was cut before it first saved its progress
            (args.state / "history.jsonl").unlink(missing_ok=True)
    target.model.requires_grad_(False)
    with accelerator.main_process_first():
        examples = training_examples(args, target, recipe)
        greedy, sampled = validation_texts(args, target)
        answers = teacher.cache(target, sampled, 64, args.cache)
        cached = teacher.cache(target, examples, args.teacher_top_k, args.cache) if _caches(args, recipe) else None
    set_seed(args.seed)
    student = new_student(args.family, target, args.init, examples, embeddings=args.embeddings, **_sizes(args))
    lr = args.lr or student.learning_rate
    model, optimizer = accelerator.prepare(student, student.optimizer(lr))
    progress = Progress(**load_progress(args.state))
    if progress.step:
        load_state(accelerator, args.state)
    sources = [s for s in (args.data, *(args.pseudo or "").split(","), args.validation) if s]
    record = Record("drafter", vars(args), sources, progress.seconds)
    loop = _Loop(args, recipe, accelerator, model, optimizer, target, examples, cached, lr)
    measure = lambda: measure_alpha(accelerator.unwrap_model(model), target, greedy, sampled, answers)  # noqa: E731
    progress = _train(loop, progress, record, measure)
    if accelerator.is_main_process:
        if not (args.state / "best").is_dir():
            raise ValueError(f"The state in {args.state} is damaged (it lacks `best`): give an empty folder.")
        shutil.copytree(args.state / "best", args.out, dirs_exist_ok=True)
        history = [json.loads(line) for line in (args.state / "history.jsonl").read_text().splitlines()]
        record.notes |= {
            "recipe": asdict(recipe),
            "examples": len(examples),
            "parameters": sum(p.numel() for p in student.parameters()),
            "best": max(history, key=lambda row: row["alpha"]),
            "history": history,
            "target_sha256": target.sha256,
            "weights_sha256": file_sha256(args.out / "model.safetensors"),
            "processes": accelerator.num_processes,
        }
        record.write(args.out / "record.json")
        accelerator.print(f"exported to {args.out}: {record.notes['best']}")


def _caches(args: argparse.Namespace, recipe: Recipe) -> bool:
    return recipe.needs_teacher and recipe.on_policy < 1 and args.teacher_top_k > 0


@dataclass(frozen=True)
class _Loop:
    """What every step of the training needs."""

    args: argparse.Namespace
    recipe: Recipe
    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    target: Target
    examples: Sequence[Example]
    cached: Sequence[teacher.TopK] | None
    lr: float

    @property
    def student(self) -> Student:
        return self.accelerator.unwrap_model(self.model)

    def batch(self, rows: Sequence[int], step: int) -> tuple[Batch, Columns | None, Tensor | None]:
        """The batch of a step, with the student's own text if it is that step's turn, the columns of its loss, its
        labels among them, and ln p over them."""
        target, device = self.target, self.accelerator.device
        some = [self.examples[i] for i in rows]
        batch = make_batch(some, target.eos_id, target.start_id, device)
        own = np.random.default_rng((self.args.seed, 5, step)).random() < self.recipe.on_policy
        if own:
            limit = target.preset.max_new_tokens
            texts = self.student.sample(batch, limit, target.eos_id, target.start_id)
            batch = make_batch(
                [replace(e, text=t) for e, t in zip(some, texts, strict=True)], target.eos_id, target.start_id, device
            )
        columns = self.student.columns(batch)
        if columns is not None:
            batch = replace(batch, labels=columns.cell[batch.labels])
        if not self.recipe.needs_teacher:
            return batch, columns, None
        if self.cached is None or own:
            log_p = teacher.log_p(target, batch.prompt, batch.prompt_mask, batch.inputs)
            return batch, columns, log_p if columns is None else columns.gathered(log_p)
        top = pad_top_k([self.cached[i] for i in rows], batch.inputs.shape[1], device)
        return batch, columns, teacher.dense(*top, target.vocab_size, columns)

    def step(self, step: int, rows: Sequence[int]) -> float:
        """One update; the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.lr, step, self.args.steps)
        batch, columns, log_p = self.batch(rows, step)
        log_q = self.model(batch.article, batch.prompt, batch.prompt_mask, batch.inputs, columns)
        loss = batch_loss(self.recipe, log_q, batch, log_p)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def _train(loop: _Loop, progress: Progress, record: Record, measure) -> Progress:
    args, accelerator = loop.args, loop.accelerator
    lengths = np.array([len(e.text) for e in loop.examples])
    average = progress.loss
    bar = tqdm(
        range(progress.step, args.steps), desc=f"{args.family} {loop.recipe.name}", initial=progress.step,
        total=args.steps, mininterval=5, disable=not accelerator.is_main_process,
    )  # fmt: skip
    loop.model.train()
    for step in bar:
        rows = batch_rows(lengths, args.batch_size, step, args.seed)[
            accelerator.process_index :: accelerator.num_processes
        ]
        loss = loop.step(step, rows.tolist())
        average = loss if average is None else 0.98 * average + 0.02 * loss
        bar.set_postfix(loss=f"{average:.3f}", alpha=f"{progress.best:.3f}", refresh=False)
        last = step + 1 == args.steps
        best = progress.best
        if accelerator.is_main_process and (last or (step + 1) % args.alpha_every == 0):
            alpha: Alpha = measure()
            row = {"step": step + 1, "loss": round(average, 4), **{k: round(v, 4) for k, v in asdict(alpha).items()}}
            row["alpha"] = round(alpha.mean, 4)
            bar.write(json.dumps(row))
            args.state.mkdir(parents=True, exist_ok=True)
            with open(args.state / "history.jsonl", "a") as f:
                f.write(json.dumps(row) + "\n")
            if alpha.mean > best:
                best = alpha.mean
                loop.student.save(args.state / "best")
        progress = Progress(step + 1, record.seconds(), best, average)
        if last or (step + 1) % args.save_every == 0:
            save_state(accelerator, args.state, asdict(progress))
    return progress
