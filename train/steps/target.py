"""``python -m train target``: the tokenizer and the `mini` T5 from scratch, or fine-tuning of a given T5.

Runs on one process or under ``accelerate launch`` on many, CPU or GPU. All it needs to go on after a cut lies in
``--state``; what it makes lies in ``--out``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_model
from tqdm import tqdm
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

from fastllm.targets.pretrained import Checkpoint, read_tokenizer
from train.checks import at_least
from train.claim import claim
from train.content import content_of
from train.corpus import build_corpus
from train.curriculum import FINE_TUNE_STAGES, MINI_STAGES, Ids, Stage, learning_rate, make_batch, with_steps
from train.data import HUB_NAME, Pair, load_pairs, load_texts, sample_pairs
from train.library import library_generate
from train.record import Record
from train.rouge import rouge
from train.state import has_progress, load_progress, load_state, save_state
from train.students import without_copies
from train.tokenizer import train_tokenizer

PREFIX = "summarize: "
VALIDATION_BATCHES = 3
AVERAGED = "averaged"  # folder in --state of the weights at the ends of averaged stages


@dataclass(frozen=True)
class Progress:
    """Where a run stands: the stage, the step in it, the steps of all stages, and the seconds spent."""

    stage: int = 0
    step: int = 0
    global_step: int = 0
    seconds: float = 0.0


def mini_config(vocab_size: int, d_model: int = 256, layers: int = 6) -> T5Config:
    """`mini`: T5 with d_model 256, 6 + 6 layers, 4 heads of 64, ReLU; 13.1 M parameters at a vocabulary of 8192.

    As many decoder as encoder layers: transformers 5.23's generate sizes its cache by the encoder's number.
    """
    kind: Any = T5Config  # its signature names no field of the base class
    return kind(
        vocab_size=vocab_size,
        d_model=d_model,
        d_kv=64,
        d_ff=4 * d_model,
        num_layers=layers,
        num_heads=max(1, d_model // 64),
        dropout_rate=0.0,
        feed_forward_proj="relu",
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )


def collate(rows: list[tuple[list[int], list[int]]], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Right-padded tensors of shape (batch, longest, rounded up to 8); labels are -100 where padded.

    Few distinct shapes keep oneDNN from compiling a kernel for every batch.
    """
    longest_in, longest_out = (-(-max(map(len, side)) // 8) * 8 for side in zip(*rows, strict=True))
    inputs = np.full((len(rows), longest_in), pad, dtype=np.int64)
    mask = np.zeros_like(inputs)
    labels = np.full((len(rows), longest_out), -100, dtype=np.int64)
    for i, (x, y) in enumerate(rows):
        inputs[i, : len(x)], mask[i, : len(x)], labels[i, : len(y)] = x, 1, y
    tensors = {"input_ids": inputs, "attention_mask": mask, "labels": labels}
    return {name: torch.from_numpy(t).to(device) for name, t in tensors.items()}


@torch.no_grad()
def summarise(model, tokenizer, articles: list[str], max_article: int, max_new: int, batch: int = 32) -> list[str]:
    """Greedy summaries with trigram blocking (T5's own summarisation setting), batched."""
    out: list[str] = []
    was_training = model.training
    model.eval()
    for at in range(0, len(articles), batch):
        rows = [PREFIX + a for a in articles[at : at + batch]]
        enc = tokenizer(rows, padding=True, truncation=True, max_length=max_article, return_tensors="pt")
        given = {k: v for k, v in enc.to(model.device).items() if k in ("input_ids", "attention_mask")}
        ids = library_generate(
            model, given, max_new, (tokenizer.eos_token_id,), model.config.decoder_start_token_id, blocked=3
        )
        out += tokenizer.batch_decode(ids, skip_special_tokens=True)
    model.train(was_training)
    return out


@torch.no_grad()
def validation_loss(model, batches: list[dict[str, torch.Tensor]]) -> float:
    """Mean over batches of the cross-entropy per token, in nats; a batch holds the model's arguments, (B, S) and (B, T)
    ids and masks."""
    was_training = model.training
    model.eval()
    loss = float(np.mean([model(**b).loss.item() for b in batches]))
    model.train(was_training)
    return loss


def export(model, tokenizer, folder: Path, max_article: int, max_new: int) -> None:
    """Weights in float16 safetensors (half the size; T5 weights fit its range), tokenizer and generation settings."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    half = without_copies(model, half)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=model.config.decoder_start_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        max_new_tokens=max_new,
        no_repeat_ngram_size=3,
    )
    model.save_pretrained(folder, state_dict=half)
    tokenizer.model_max_length = max_article
    tokenizer.save_pretrained(folder)


def _keep(model, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, str(file))


def mean_weights(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of several checkpoints of one model, weight by weight, in float32."""
    loaded = [load_file(f) for f in files]
    return {name: torch.stack([w[name].float() for w in loaded]).mean(0) for name in loaded[0]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=HUB_NAME, help="training pairs: hub name, parquet or jsonl")
    parser.add_argument("--validation", default=None, help="pairs for the validation loss and ROUGE")
    parser.add_argument("--text", default=None, help="further texts (column 'text') for the tokenizer")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--base", default=None, help="fine-tune this T5 (name or folder) instead of training `mini`")
    parser.add_argument("--out", type=Path, default=Path("checkpoints/mini"))
    parser.add_argument("--state", type=Path, default=Path("state/target"), help="everything needed to resume")
    parser.add_argument("--steps", default=None, help="lengths of stages, e.g. copy_short=600,summarize=2000")
    parser.add_argument("--batch-size", type=int, default=None, help="of every stage, over all processes")
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--d-model", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6, help="of the encoder, and as many of the decoder")
    parser.add_argument("--max-article", type=int, default=256, help="tokens of an article that are read")
    parser.add_argument("--max-summary", type=int, default=96)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    parser.add_argument("--mixed-precision", choices=("no", "bf16"), default="bf16")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--validate-every", type=int, default=250)
    parser.add_argument("--export-only", action="store_true", help="write --out from the saved state and stop")


def _tokenizer_and_model(args: argparse.Namespace, pairs: list[Pair]):
    if args.base:
        checkpoint = Checkpoint(args.base, torch.float32, torch.device("cpu"))
        if not isinstance(checkpoint.model, T5ForConditionalGeneration):
            raise ValueError(f"{args.base} is a {checkpoint.config.model_type}: give --base a T5.")
        tokenizer = read_tokenizer(args.base)
        checkpoint.check_tokenizer(tokenizer, checkpoint.model.shared.weight.shape[0])
        if checkpoint.model.config.decoder_start_token_id is None:
            checkpoint.model.config.decoder_start_token_id = checkpoint.start_id(tokenizer)
        return tokenizer, checkpoint.model
    folder = args.state / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        texts = itertools.chain((p.article[:3000] for p in pairs), (p.summary for p in pairs))
        if args.text:
            texts = itertools.chain(texts, (t[:3000] for t in load_texts(args.text)))
        train_tokenizer(texts, args.vocab_size, folder)
    tokenizer = read_tokenizer(folder)
    return tokenizer, T5ForConditionalGeneration(mini_config(args.vocab_size, args.d_model, args.layers))


def _check(args: argparse.Namespace) -> None:
    at_least(
        1, args, "limit", "batch_size", "vocab_size", "d_model", "layers", "max_summary", "save_every", "validate_every"
    )
    at_least(16, args, "max_article")
    at_least(0, args, "seed", "threads")
    if args.export_only and not has_progress(args.state):
        raise ValueError(f"{args.state} holds no training to export: give --state of one, or leave --export-only out.")


def _claimed(args: argparse.Namespace) -> dict:
    """What decides the weights: two runs that share a state must share it."""
    names = ("limit", "batch_size", "vocab_size", "d_model", "layers", "max_article", "max_summary", "seed",
             "mixed_precision")  # fmt: skip
    files = {name: content_of(getattr(args, name)) for name in ("data", "text", "base") if getattr(args, name)}
    return {name: getattr(args, name) for name in names} | files


def run(args: argparse.Namespace) -> None:
    """Train through the stages from wherever the state stands, then export."""
    _check(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    set_seed(args.seed)
    stages = with_steps(FINE_TUNE_STAGES if args.base else MINI_STAGES, args.steps, args.batch_size)
    if accelerator.is_main_process:
        begun = has_progress(args.state)
        claim(args.state, _claimed(args), "a training", begun)
        if not begun:  # made before the first step, perhaps of other data
            shutil.rmtree(args.state / "tokenizer", ignore_errors=True)
    pairs = load_pairs(args.data, limit=args.limit)
    held_out = sample_pairs(args.validation, "validation", 96) if args.validation else []
    if args.validation and len(held_out) < VALIDATION_BATCHES:
        raise ValueError(
            f"{args.validation} has {len(held_out)} usable pairs: --validation needs {VALIDATION_BATCHES} or more."
        )
    with accelerator.main_process_first():
        tokenizer, model = _tokenizer_and_model(args, pairs)
        corpus = build_corpus(pairs, tokenizer, args.max_article - 8, args.max_summary, args.state)
    ids = Ids(
        tuple(tokenizer(PREFIX, add_special_tokens=False).input_ids),
        tokenizer.convert_tokens_to_ids("<extra_id_0>"),
        tokenizer.eos_token_id,
    )
    # Adafactor with relative steps (Shazeer & Stern 2018): T5's initialisation, with embeddings of unit variance and
    # unscaled attention, was made for it.
    optimizer = torch.optim.Adafactor(model.parameters(), lr=stages[0].lr)
    model, optimizer = accelerator.prepare(model, optimizer)
    progress = Progress(**load_progress(args.state))
    if progress.global_step:
        load_state(accelerator, args.state)
    record = Record("target", vars(args), [d for d in (args.data, args.validation, args.text) if d], progress.seconds)
    if not args.export_only:
        progress = _train(
            args, accelerator, model, optimizer, corpus, ids, stages, progress, record, held_out, tokenizer
        )
    if accelerator.is_main_process:
        plain = accelerator.unwrap_model(model)
        averaged = sorted((args.state / AVERAGED).glob("*.safetensors"))
        if averaged:
            plain.load_state_dict(mean_weights(averaged), strict=False)
        record.notes["averaged"] = [f.stem for f in averaged]
        export(plain, tokenizer, args.out, args.max_article, args.max_summary)
        record.notes |= {
            "stages": [asdict(s) for s in stages],
            "steps_done": asdict(progress),
            "processes": accelerator.num_processes,
            "history": _history(args.state),
        }
        record.write(args.out / "record.json")
        accelerator.print(f"exported to {args.out}")


def _history(state: Path) -> list[dict]:
    file = state / "history.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _train(
    args, accelerator, model, optimizer, corpus, ids, stages: tuple[Stage, ...], progress, record, held_out, tokenizer
) -> Progress:
    device, pad = accelerator.device, tokenizer.pad_token_id
    rank, world = accelerator.process_index, accelerator.num_processes
    validation = []
    if held_out:
        small = build_corpus(held_out, tokenizer, args.max_article - 8, args.max_summary, None)
        stage = Stage("validation", 1, len(held_out) // VALIDATION_BATCHES, {"summarize": 1.0})
        validation = [collate(make_batch(small, stage, s, 0, ids), pad, device) for s in range(VALIDATION_BATCHES)]
    model.train()
    for number in range(progress.stage, len(stages)):
        stage = stages[number]
        first = progress.step if number == progress.stage else 0
        bar = tqdm(
            range(first, stage.steps), desc=stage.name, initial=first, total=stage.steps, mininterval=5,
            disable=not accelerator.is_main_process,
        )  # fmt: skip
        global_step, average = progress.global_step, None
        for step in bar:
            rows = make_batch(corpus, stage, step, args.seed, ids)[rank::world]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(stage, step, global_step)
            loss = model(**collate(rows, pad, device)).loss
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            global_step += 1
            average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
            bar.set_postfix(loss=f"{average:.3f}", refresh=False)
            progress = Progress(number, step + 1, global_step, record.seconds())
            if global_step % args.save_every == 0:
                save_state(accelerator, args.state, asdict(progress))
            if validation and (global_step % args.validate_every == 0 or step + 1 == stage.steps):
                _validate(args, accelerator, model, tokenizer, validation, held_out, stage, global_step, average, bar)
        if stage.averaged and stage.steps and accelerator.is_main_process:
            _keep(accelerator.unwrap_model(model), args.state / AVERAGED / f"{stage.name}.safetensors")
        progress = Progress(number + 1, 0, progress.global_step, record.seconds())
        save_state(accelerator, args.state, asdict(progress))
    return progress


def _validate(args, accelerator, model, tokenizer, batches, held_out, stage, global_step, average, bar) -> None:
    if not accelerator.is_main_process:
        return
    plain = accelerator.unwrap_model(model)
    row = {"step": global_step, "stage": stage.name, "train_loss": round(average, 4)}
    with accelerator.autocast():
        row["validation_loss"] = round(validation_loss(plain, batches), 4)
        if not stage.name.startswith("copy"):
            texts = summarise(plain, tokenizer, [p.article for p in held_out], args.max_article, args.max_summary)
            row |= rouge(texts, [p.summary for p in held_out])
            row["sample"] = texts[0]
    with open(args.state / "history.jsonl", "a") as f:
        f.write(json.dumps({k: v for k, v in row.items() if k != "sample"}) + "\n")
    bar.write(json.dumps(row, ensure_ascii=False))
