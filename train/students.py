"""Drafters as things to train: one interface over the copying models and T5, and how each is begun and saved."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from fastllm.config import TargetPreset
from fastllm.drafters.cnn import CnnDrafter, CnnModel
from fastllm.drafters.copying import CopyConfig, CopyModel
from fastllm.drafters.lstm import LstmDrafter, LstmModel
from fastllm.drafters.neural import save_model
from fastllm.target import Target
from train.batches import Batch

COPY_MODELS: dict[str, tuple[type[CopyModel], dict[str, int]]] = {
    "lstm": (LstmModel, {"d_state": 128, "layers": 1, "article_kernel": 3}),
    "cnn": (CnnModel, {"d_state": 96, "layers": 2, "kernel": 4, "article_kernel": 3}),
}
FAMILIES = (*COPY_MODELS, "t5")


class Student(nn.Module):
    """A drafter in training. ``learning_rate`` is the family's default."""

    learning_rate: float

    def forward(self, article: Tensor, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor) -> Tensor:
        """ln q at every position, (B, T, V); arguments as in :class:`train.batches.Batch`."""
        raise NotImplementedError

    def sample(self, batch: Batch, limit: int, eos_id: int, start_id: int) -> list[tuple[int, ...]]:
        """The student's own text for every article, drawn at temperature 1, at most `limit` tokens."""
        raise NotImplementedError

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class CopyStudent(Student):
    """An LSTM or CNN drafter."""

    learning_rate = 2e-3

    def __init__(self, model: CopyModel, family: str) -> None:
        super().__init__()
        self.model, self.family = model, family

    def forward(self, article: Tensor, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor) -> Tensor:
        return self.model(article, inputs)

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

    def forward(self, article: Tensor, prompt: Tensor, prompt_mask: Tensor, inputs: Tensor) -> Tensor:
        logits = self.model(input_ids=prompt, attention_mask=prompt_mask, decoder_input_ids=inputs).logits
        return logits.float().log_softmax(-1)

    @torch.no_grad()
    def sample(self, batch: Batch, limit: int, eos_id: int, start_id: int) -> list[tuple[int, ...]]:
        rows = self.model.generate(
            input_ids=batch.prompt, attention_mask=batch.prompt_mask, do_sample=True, top_k=0, num_beams=1,
            max_new_tokens=limit, no_repeat_ngram_size=0,
        )  # fmt: skip
        return [_until(row[1:], eos_id) for row in rows.tolist()]

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(self.parameters(), lr=lr)

    def save(self, folder: Path) -> None:
        """Float16 safetensors without a tokenizer: it is the target's."""
        half = {k: v.detach().cpu().half().contiguous() for k, v in self.model.state_dict().items()}
        if self.model.config.tie_word_embeddings:
            tied = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
            half = {k: v for k, v in half.items() if k not in tied}
        self.model.save_pretrained(folder, state_dict=half)


def _until(row: list[int], eos_id: int) -> tuple[int, ...]:
    return tuple(row[: row.index(eos_id) + 1] if eos_id in row else row)


def shrunk(target: Target, layers: int) -> T5ForConditionalGeneration:
    """A T5 with `layers` + `layers` of the target's layers, evenly spaced, its embeddings and final norms.

    Shleifer & Rush 2020 ("Pre-trained Summarization Distillation", section 3: shrink and fine-tune); they keep the
    whole encoder.

    Raises:
        ValueError: more layers than the target has, or a target that is no T5.
    """
    config = target.model.config
    if not isinstance(config, T5Config):
        raise ValueError(f"A {config.model_type} cannot be shrunk to a T5 drafter: give --init a T5 of this tokenizer.")
    has = (config.num_layers, config.num_decoder_layers)
    if not 1 <= layers <= min(has):
        raise ValueError(f"--layers must be from 1 to {min(has)}, the target's, not {layers}.")
    small = T5ForConditionalGeneration(
        T5Config(**{**config.to_dict(), "num_layers": layers, "num_decoder_layers": layers})
    )
    pick = {
        side: [round(i * (n - 1) / max(1, layers - 1)) for i in range(layers)]
        for side, n in zip(("encoder", "decoder"), has, strict=True)
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


def new_student(family: str, target: Target, init: Path | None, **given: int) -> Student:
    """A student to begin with: the drafter in `init`, or a fresh one of the family's sizes.

    Args:
        given: sizes of a fresh one that are not the family's: fields of :class:`CopyConfig`, of a T5 only `layers`.

    Raises:
        ValueError: no such family, or a folder that holds no drafter of it for this target.
    """
    if family == "t5":
        if init:
            return T5Student(AutoModelForSeq2SeqLM.from_pretrained(init, dtype=torch.float32))
        return T5Student(shrunk(target, given.get("layers", 2)))
    if family not in COPY_MODELS:
        raise ValueError(f"There is no drafter family {family!r} to train: give one of {', '.join(FAMILIES)}.")
    if init:
        kind = {"lstm": LstmDrafter, "cnn": CnnDrafter}[family]
        return CopyStudent(kind.load(init, target.vocab_size).model.train(), family)
    model_class, sizes = COPY_MODELS[family]
    return CopyStudent(model_class(CopyConfig(target.vocab_size, **{**sizes, **given})), family)


def prefix_ids(target: Target) -> tuple[int, ...]:
    """Ids of the target's prompt prefix."""
    preset: TargetPreset = target.preset
    return tuple(target.tokenizer(preset.prefix, add_special_tokens=False).input_ids) if preset.prefix else ()
