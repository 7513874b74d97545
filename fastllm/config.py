"""Settings of a run and the table of target presets. Imports no torch, so that `--help` and the page start fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "checkpoints"
ASSETS = ROOT / "assets"

MAX_GAMMA = 16


@dataclass(frozen=True)
class Sampling:
    """How a distribution is made from logits, for p and q alike.

    Attributes:
        temperature: 0 means greedy (one-hot at the argmax).
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches top_p (nucleus sampling, Holtzman et al.
            2020); 1 keeps all.
        no_repeat_ngram_size: forbid every token that would complete an n-gram already in the summary; 0 forbids none.

    Raises:
        ValueError: a value out of range, in a sentence fit for the page.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 5):
            raise ValueError(f"Temperature must be between 0 and 5, not {self.temperature}.")
        if not (math.isfinite(self.top_p) and 0 < self.top_p <= 1):
            raise ValueError(f"Top-p must be above 0 and at most 1, not {self.top_p}.")
        if self.top_k < 0:
            raise ValueError(f"Top-k must be 0 (off) or more, not {self.top_k}.")
        if self.no_repeat_ngram_size < 0:
            raise ValueError(f"The size of blocked n-grams must be 0 (off) or more, not {self.no_repeat_ngram_size}.")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


@dataclass(frozen=True)
class Settings:
    """Everything, besides the models and the article, that decides what a run computes.

    Attributes:
        gamma: draft length, tokens proposed before each target call.
        seed: of the one generator that all draws of the run come from.
        max_new_tokens: length limit of the summary, its end-of-text token included.
        top: how many of the most probable tokens of p and q each step keeps for inspection; 0 keeps none.
    """

    gamma: int = 4
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    max_new_tokens: int = 96
    top: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.gamma <= MAX_GAMMA:
            raise ValueError(f"Draft length gamma must be between 1 and {MAX_GAMMA}, not {self.gamma}.")
        if not 1 <= self.max_new_tokens <= 1024:
            raise ValueError(
                f"The summary's length limit must be between 1 and 1024 tokens, not {self.max_new_tokens}."
            )
        if not 0 <= self.top <= 50:
            raise ValueError(f"The number of inspected tokens must be between 0 and 50, not {self.top}.")


@dataclass(frozen=True)
class TargetPreset:
    """A target model and what belongs with it.

    Attributes:
        model: hub name or folder, for ``from_pretrained``.
        prefix: prompt put before the article.
        max_article_tokens: what the encoder reads of prompt and article, end-of-text token included.
        dtype: ``auto`` is bfloat16 on CUDA and float32 on CPU; T5 overflows in float16.
        drafters: folder of the drafters trained for it, or None.
        neural_drafter: hub name of a T5 that shares its tokenizer, or None.
    """

    name: str
    model: str
    title: str
    prefix: str = "summarize: "
    max_article_tokens: int = 512
    max_new_tokens: int = 96
    no_repeat_ngram_size: int = 3
    dtype: str = "auto"
    drafters: str | None = None
    neural_drafter: str | None = None


PRESETS: dict[str, TargetPreset] = {
    p.name: p
    for p in (
        TargetPreset(
            name="mini",
            model=str(CHECKPOINTS / "mini" / "target"),
            title="mini T5, trained here, in the repository",
            max_article_tokens=256,
            drafters=str(CHECKPOINTS / "mini"),
        ),
        TargetPreset("t5-base", "google-t5/t5-base", "T5-base (220 M)", neural_drafter="google-t5/t5-small"),
        TargetPreset("t5-large", "google-t5/t5-large", "T5-large (770 M)", neural_drafter="google-t5/t5-small"),
        TargetPreset(
            name="flan-t5-xl",
            model="bbhattar/flan_t5_xl_cnn_dailymail",
            title="FLAN-T5-XL fine-tuned on CNN/DailyMail (3 B)",
            neural_drafter="google/t5-v1_1-small",
        ),
    )
}


def preset_for(target: str) -> TargetPreset:
    """The preset of that name, or one with T5's defaults for a local folder or a hub name (``owner/model``).

    Raises:
        ValueError: neither a preset, nor a folder, nor in the form of a hub name.
    """
    if target in PRESETS:
        return PRESETS[target]
    if Path(target).is_dir():
        drafters = Path(target).parent
        return TargetPreset(Path(target).name, target, target, drafters=str(drafters))
    if target.count("/") == 1 and not target.startswith((".", "/", "~")):
        return TargetPreset(target, target, target)
    raise ValueError(
        f"There is no target {target!r}: give one of {', '.join(PRESETS)}, a folder with a T5, or a hub name "
        "(owner/model)."
    )
