"""Drafters as things to train: one interface over the copying models and T5, and how each is begun and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from fastllm.drafters.cnn import CnnDrafter, CnnModel
from fastllm.drafters.copying import PAST_END, CopyConfig, CopyModel
from fastllm.drafters.lstm import LstmDrafter, LstmModel
from fastllm.drafters.neural import save_model
from fastllm.drafters.rows import Columns, rows_of
from fastllm.drafters.rows import sizes as sizes_of_rows
from fastllm.targets.base import Target
from fastllm.targets.pretrained import Checkpoint, is_tied
from train.batches import Batch, Example
from train.library import library_generate

COPY_MODELS: dict[str, tuple[type[CopyModel], dict[str, int]]] = {
    "lstm": (LstmModel, {"d_state": 128, "layers": 1, "article_kernel": 3}),
    "cnn": (CnnModel, {"d_state": 96, "layers": 2, "kernel": 4, "article_kernel": 3}),
}
FAMILIES = (*COPY_MODELS, "t5")
EMBEDDINGS = ("random", "target")
# A fresh drafter whose embeddings would be larger than this in float16 gives rows to frequent pieces only.
LARGEST, OWN, SHARED = 8_000_000, 8192, 256


class Student(nn.Module):
    """A drafter in training. ``learning_rate`` is the family's default."""

    learning_rate: float

    def forward(
        self, article: Tensor, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor, columns: Columns | None = None
    ) -> Tensor:
        """ln q at every position, (B, T, V), or (B, T, C) over `columns`; arguments as in
        :class:`train.batches.Batch`."""
        raise NotImplementedError

    def columns(self, batch: Batch) -> Columns | None:
        """Over what a loss on `batch` may add p and q up; None for every token by itself."""
        return None

    def sample(self, batch: Batch, limit: int, eos_id: int, start_id: int) -> list[tuple[int, ...]]:
        """The student's own text for every article, drawn at temperature 1, at most `limit` tokens."""
        raise NotImplementedError

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        """The family's own, over all weights."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the weights as the drafter of that family reads them."""
        raise NotImplementedError


class CopyStudent(Student):
    """An LSTM or CNN drafter."""

    learning_rate = 2e-3

    def __init__(self, model: CopyModel, family: str) -> None:
        super().__init__()
        self.model, self.family = model, family

    def forward(
        self, article: Tensor, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor, columns: Columns | None = None
    ) -> Tensor:
        return self.model(article, inputs, columns)

    def columns(self, batch: Batch) -> Columns | None:
        """One for each row, and one for each token of the articles and texts that shares its row."""
        rows, config = self.model.rows, self.model.config
        if rows is None:
            return None
        seen = torch.cat([batch.article[batch.article != PAST_END], batch.labels[batch.mask]])
        return Columns.few(rows, config.own, config.rows, seen)

    @torch.no_grad()
    def sample(self, batch: Batch, limit: int, eos_id: int, start_id: int) -> list[tuple[int, ...]]:
        memory = self.model.read(batch.article)
        state = self.model.start(memory)
        tokens = torch.full((len(batch.article),), start_id, device=batch.article.device)
        drawn, done = [], torch.zeros_like(tokens, dtype=torch.bool)
        for _ in range(limit):
            state = self.model.step(memory, state, tokens)
            tokens = self.model.log_probs(memory, state).exp().multinomial(1)[:, 0]
            drawn.append(tokens)
            done |= tokens == eos_id
            if bool(done.all()):
                break
        return [_until(row, eos_id) for row in torch.stack(drawn, 1).tolist()]

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=lr, weight_decay=0.01, betas=(0.9, 0.98))

    def save(self, folder: Path) -> None:
        save_model(self.model, self.family, folder)


class T5Student(Student):
    """A small T5."""

    # Adafactor's relative steps, as for the target (shared/training.md).
    learning_rate = 5e-3

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, article: Tensor, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor, columns: Columns | None = None
    ) -> Tensor:
        logits = self.model(
            input_ids=prompt, attention_mask=prompt_mask, decoder_input_ids=inputs, use_cache=False
        ).logits
        return logits.float().log_softmax(-1)

    @torch.no_grad()
    def sample(self, batch: Batch, limit: int, eos_id: int, start_id: int) -> list[tuple[int, ...]]:
        given = {"input_ids": batch.prompt, "attention_mask": batch.prompt_mask}
        rows = library_generate(self.model, given, limit, (eos_id,), start_id, sample=True)
        return [_until(row[1:], eos_id) for row in rows.tolist()]

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(self.parameters(), lr=lr)

    def save(self, folder: Path) -> None:
        """Float16 safetensors without a tokenizer: it is the target's."""
        half = {k: v.detach().cpu().half().contiguous() for k, v in self.model.state_dict().items()}
        self.model.save_pretrained(folder, state_dict=without_copies(self.model, half))


def without_copies(model, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights` of a T5 without those that are the shared embedding under another name: what is the same is looked up
    in the model's memory, as every T5's configuration says that its head is tied."""
    shared = model.shared.weight.data_ptr()
    copies = {n for n, p in model.named_parameters(remove_duplicate=False) if p.data_ptr() == shared} - {
        "shared.weight"
    }
    return {k: v for k, v in weights.items() if k not in copies}


def _until(row: list[int], eos_id: int) -> tuple[int, ...]:
    return tuple(row[: row.index(eos_id) + 1] if eos_id in row else row)


def check_family(family: str, target: Target, init: Path | None) -> None:
    """Refuse, before anything is computed, a fresh drafter that cannot be made from this target.

    Raises:
        ValueError: a fresh T5 of a target that is no T5.
    """
    config = target.model.config
    if family not in COPY_MODELS and init is None and not isinstance(config, T5Config):
        raise ValueError(f"A {config.model_type} cannot be shrunk to a T5 drafter: give --init a T5 of this tokenizer.")


def shrunk(target: Target, layers: int, decoder_layers: int | None = None) -> T5ForConditionalGeneration:
    """A T5 with `layers` of the encoder's and `decoder_layers` of the decoder's layers (None: as many), evenly spaced,
    the target's embeddings and final norms; of a side that has fewer, all of them, so that as many layers as the
    deeper side has are the target itself.

    Shleifer & Rush 2020 ("Pre-trained Summarization Distillation", section 3: shrink and fine-tune); they keep the
    whole encoder. A decoder of few layers is what a draft token costs; the encoder runs once an article.

    Raises:
        ValueError: more layers than the target has, or a target that is no T5.
    """
    check_family("t5", target, None)
    config = target.model.config
    has = (config.num_layers, config.num_decoder_layers or config.num_layers)
    if not 1 <= layers <= max(has):
        raise ValueError(f"--layers must be from 1 to {max(has)}, the target's, not {layers}.")
    if decoder_layers is not None and not 1 <= decoder_layers <= has[1]:
        raise ValueError(f"--decoder-layers must be from 1 to {has[1]}, the target's, not {decoder_layers}.")
    kept = (min(layers, has[0]), min(decoder_layers or layers, has[1]))
    small = T5ForConditionalGeneration(
        T5Config(**{**config.to_dict(), "num_layers": kept[0], "num_decoder_layers": kept[1]})
    )
    small.config.scale_decoder_outputs = config.scale_decoder_outputs
    if not is_tied(target.model):
        small.lm_head.weight = nn.Parameter(small.lm_head.weight.detach().clone())
    pick = {
        side: [round(i * (n - 1) / max(1, k - 1)) for i in range(k)]
        for side, n, k in zip(("encoder", "decoder"), has, kept, strict=True)
    }
    weights = target.model.state_dict()
    taken = {}
    for name in small.state_dict():
        side, _, rest = name.partition(".block.")
        source = name
        if rest:
            number, _, tail = rest.partition(".")
            source = f"{side}.block.{pick[side][int(number)]}.{tail}"
        taken[name] = weights[source].float()
    small.load_state_dict(taken)
    return small


def _t5_to_go_on_from(init: Path, target: Target) -> T5ForConditionalGeneration:
    """The T5 in `init`, for this target's tokens.

    Raises:
        ValueError: it cannot be read whole, is no T5, or has other tokens.
    """
    if not init.is_dir():
        raise ValueError(f"There is no drafter at {init}: give --init the folder of one.")
    model = Checkpoint(init, torch.float32, torch.device("cpu")).model
    if not isinstance(model, T5ForConditionalGeneration):
        raise ValueError(f"{init} holds a {model.config.model_type}, no T5: give --init a drafter of that family.")
    columns = model.get_output_embeddings().weight.shape[0]
    if columns < target.legal_size:
        raise ValueError(f"{init} has {columns} tokens and the target {target.legal_size}: give --init one of its own.")
    return model


def by_frequency(examples: Sequence[Example], start_id: int, vocab_size: int) -> list[int]:
    """All token ids, those first that texts hold most often (each begins with the start token), of equal ones those
    that articles hold most often."""
    count = lambda rows: np.bincount(np.concatenate([np.array(r, np.int64) for r in rows]), minlength=vocab_size)  # noqa: E731
    said, read = count([(start_id, *e.text) for e in examples]), count([e.article for e in examples])
    return np.lexsort((-read, -said)).tolist()


def rows_given(d_model: int, vocab_size: int, own: int | None) -> dict[str, int]:
    """The rows of a fresh drafter, as fields of :class:`CopyConfig`: `own` for frequent pieces and some that the
    others share, where not all V have their own.
    """
    if own is None:
        own = OWN if 2 * d_model * vocab_size > LARGEST else vocab_size
    if own + 1 >= vocab_size:
        return {}
    return {"own": own, "shared": min(SHARED, vocab_size - own)}


def projected(table: Tensor, width: int) -> Tensor:
    """Rows of `table`, (R, D), on their first `width` principal axes, (R, width), scaled as fresh embeddings are.

    What is most alike to the target stays alike; where it is narrower than `width`, the rest is 0.
    """
    centred = table - table.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, :width]
    found = nn.functional.pad(centred @ axes, (0, width - axes.shape[1]))
    return found * (width**-0.5 / found.square().mean().sqrt().clamp_min(1e-12))


@torch.no_grad()
def _take_embeddings(model: CopyModel, target: Target) -> None:
    """The target's embeddings for a fresh drafter's; a row that tokens share gets their mean."""
    table, config = target.model.get_input_embeddings().weight[: target.vocab_size].float().cpu(), model.config
    if model.rows is not None:
        rows = model.rows.long()
        mean = torch.zeros(config.rows, table.shape[1]).index_add_(0, rows, table)
        table = mean / sizes_of_rows(rows, config.rows)[:, None]
    model.embedding.weight.copy_(projected(table, config.d_model))


def new_student(
    family: str,
    target: Target,
    init: Path | None,
    examples: Sequence[Example] = (),
    pieces: int | None = None,
    embeddings: str = "random",
    **given: int,
) -> Student:
    """A student to begin with: the drafter in `init`, or a fresh one of the family's sizes.

    Args:
        examples: by whose texts pieces are frequent.
        pieces: how many frequent ones have an embedding of their own in a fresh LSTM or CNN; None: all that fit.
        embeddings: of a fresh LSTM or CNN: ``random``, or the ``target``'s (:func:`projected`).
        given: sizes of a fresh one that are not the family's, by their options' names.

    Raises:
        ValueError: no such family, or a folder that holds no drafter of it for this target.
    """
    if family == "t5":
        if init:
            return T5Student(_t5_to_go_on_from(init, target))
        return T5Student(shrunk(target, given.get("layers", 2), given.get("decoder_layers")))
    if family not in COPY_MODELS:
        raise ValueError(f"There is no drafter family {family!r} to train: give one of {', '.join(FAMILIES)}.")
    if init:
        kind = {"lstm": LstmDrafter, "cnn": CnnDrafter}[family]
        return CopyStudent(kind.load(init, target.vocab_size).model.train(), family)
    model_class, sizes = COPY_MODELS[family]
    config = CopyConfig(target.vocab_size, **{**sizes, **given})
    config = replace(config, **rows_given(config.d_model, config.vocab_size, pieces))
    model = model_class(config)
    if config.own and examples:
        order = by_frequency(examples, target.start_id, config.vocab_size)
        model.rows = rows_of(order, config.vocab_size, config.own, config.shared)
    if embeddings == "target":
        _take_embeddings(model, target)
    return CopyStudent(model, family)
