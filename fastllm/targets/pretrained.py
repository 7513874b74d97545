"""Models and tokenizers by hub name or folder, through ``from_pretrained``, with everything checked that they need.

Used for targets, for drafters that are whole models, and by training (``--base``, ``--init``).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from fastllm.cache import hold
from fastllm.checkpoints import folder_sha256
from fastllm.config import is_folder
from fastllm.loading import LOADING, lazy
from fastllm.targets.base import TargetError

TOKENIZER_FILES = (
    "tokenizer.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)
WEIGHT_FILES = ("*.safetensors", "*.bin")
_POINTER = b"version https://git-lfs"
# What `generate` would do and p does not: the field, its neutral value.
_LEFT_OUT = {
    "min_length": 0,
    "min_new_tokens": None,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "length_penalty": 1.0,
    "num_beams": 1,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "min_p": None,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
}


def _writes(config: Any) -> bool:
    """Whether a configuration is one of a decoder-only language model, by what its checkpoint was saved as; where that
    is not said, by what its kind of model is for."""
    saved = config.architectures or ()
    names = [saved] if isinstance(saved, str) else list(saved)
    if not names:
        return config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys() - MODEL_FOR_MASKED_LM_MAPPING_NAMES.keys()
    return any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names)


def first_line(error: BaseException) -> str:
    """An error's own words, one line of at most 200 characters: the first, and what it announces with a colon."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    if isinstance(error, KeyError) and lines:
        return f"{lines[0]} is not known"[:200]
    first = next((i for i, line in enumerate(lines) if not line.endswith(":")), len(lines) - 1)
    return (" ".join(lines[: first + 1]) or type(error).__name__)[:200]


def read_config(where: str | Path):
    """The model's configuration.

    Raises:
        TargetError: there is none, it is damaged, or the hub cannot be reached.
    """
    if is_folder(where) and not (Path(where) / "config.json").is_file():
        raise TargetError(f"The folder {where} holds no config.json: give the folder of a model saved by transformers.")
    try:
        with LOADING:
            config = AutoConfig.from_pretrained(where, trust_remote_code=False)
            _mend_scale(config, PreTrainedConfig.get_config_dict(where)[0])
            return config
    # Each kind of model checks its configuration in its own way, down to divisions by zero.
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise TargetError(
                f"The model {where} brings program code of its own, which FastLLM does not run: choose one whose kind "
                "transformers knows."
            ) from error
        if is_folder(where):
            raise TargetError(
                f"{where}/config.json is no configuration that transformers knows ({first_line(error)})."
            ) from error
        raise TargetError(
            f"The model {where} could not be had from the hub ({first_line(error)}): check the name and the network, "
            "or give a folder with its files."
        ) from error


def _mend_scale(config: Any, saved: dict[str, Any]) -> None:
    """transformers 5 writes ``tie_word_embeddings: true`` for every T5, and takes that to mean, when it reads the file
    again, that the head's input is scaled. What it wrote of the scaling itself is true."""
    if isinstance(scaled := saved.get("scale_decoder_outputs"), bool) and hasattr(config, "scale_decoder_outputs"):
        config.scale_decoder_outputs = scaled


def read_generation_config(where: str | Path, config) -> GenerationConfig:
    """What the checkpoint says of generation; where it has no file of its own, what its configuration says.

    Raises:
        TargetError: a folder's file is damaged, so that what ends a text may stand in it unread.
    """
    if (file := Path(where) / "generation_config.json").is_file():
        try:
            whole = isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
        except ValueError:
            whole = False
        if not whole:
            raise TargetError(f"{file} is damaged: fetch it again, or delete it to do without.")
    try:
        with LOADING:
            return GenerationConfig.from_pretrained(where)
    except (OSError, ValueError, TypeError):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a configuration is read for its ids only; what else it says is moot
            return GenerationConfig.from_model_config(config)


def read_tokenizer(where: str | Path):
    """The model's tokenizer, one that tells where in the text each token stands.

    Raises:
        TargetError: its files are missing or damaged, or it gives no offsets.
    """
    if is_folder(where):
        files = [Path(where) / name for name in TOKENIZER_FILES]
        present = [f for f in files if f.is_file()]
        if not present:
            raise TargetError(
                f"The folder {where} holds no tokenizer (none of {', '.join(TOKENIZER_FILES)}): put the tokenizer's "
                "files beside the weights."
            )
        for file in present:
            _check_bytes(file)
    try:
        with LOADING:
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
    # tokenizers raises bare Exceptions of its own
    except Exception as error:
        raise TargetError(
            f"The tokenizer of {where} cannot be read ({first_line(error)}): restore its files."
        ) from error
    if not tokenizer.is_fast:
        raise TargetError(
            f"The tokenizer of {where} ({type(tokenizer).__name__}) does not tell where in the text its tokens stand, "
            "so the article cannot be found in the prompt: save it with a tokenizer.json beside it."
        )
    return tokenizer


def _check_bytes(file: Path) -> None:
    """Refuse a file that is no longer itself: empty, or a pointer that git-lfs left in its place.

    Raises:
        TargetError
    """
    with open(file, "rb") as f:
        head = f.read(len(_POINTER))
    if not head:
        raise TargetError(f"{file} is empty: fetch it again.")
    if head == _POINTER:
        raise TargetError(f"{file} is a git-lfs pointer, not the file itself: run `git lfs pull` there.")


def check_weight_files(folder: Path) -> None:
    """Refuse a folder whose weight files are missing, empty, pointers of git-lfs, or cut short.

    Raises:
        TargetError
    """
    files = sorted(f for pattern in WEIGHT_FILES for f in folder.glob(pattern) if f.is_file())
    if not files:
        raise TargetError(f"The folder {folder} holds no weights (no .safetensors file): restore them.")
    for file in files:
        _check_bytes(file)
        if file.suffix == ".safetensors":
            _check_safetensors(file)
    for index in folder.glob("*.safetensors.index.json"):
        try:
            parts = {Path(part).name for part in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TargetError(f"{index} is damaged: fetch it again.") from None
        if missing := sorted(parts - {f.name for f in files}):
            raise TargetError(f"The folder {folder} lacks {missing[0]}, a part of its weights: fetch it again.")


def _check_safetensors(file: Path) -> None:
    """The header says how long the file must be (safetensors' format: 8 bytes of length, JSON, data)."""
    size = file.stat().st_size
    with open(file, "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        if size < 8 or length > size - 8:
            raise TargetError(f"{file} is cut short or no safetensors file: fetch it again.")
        try:
            header = json.loads(f.read(length))
            end = max((e["data_offsets"][1] for k, e in header.items() if k != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise TargetError(f"{file} is damaged (its header cannot be read): fetch it again.") from None
    if size < 8 + length + end:
        raise TargetError(f"{file} is cut short ({size:,} bytes of {8 + length + end:,}): fetch it again.")


def read_model(where: str | Path, config, dtype: torch.dtype, device: torch.device | str = "cpu"):
    """The model itself, all of its weights from the checkpoint, under the process's one lock.

    Args:
        config: of :func:`read_config`; decides between an encoder-decoder and a decoder-only model.

    Raises:
        TargetError: weights are missing, damaged, of layers that the configuration leaves out, or of another shape than
            it says.
    """
    if is_folder(where):
        check_weight_files(Path(where))
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    try:
        with LOADING:
            # Wrong shapes are told by name below, not in a table on standard error.
            model, info = kind.from_pretrained(
                where, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
            )
    # Damaged files end in errors of safetensors, pickle and torch alike; the sentence below is true of all.
    except Exception as error:
        raise TargetError(
            f"The model of {where} could not be made or its weights could not be read ({first_line(error)})."
        ) from error
    if missing := sorted(info["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise TargetError(
            f"The weights of {where} lack {missing[0]}{more}, which its config.json asks for: fetch the whole "
            "checkpoint, or mend its configuration."
        )
    if over := left_over(model.state_dict(), info["unexpected_keys"]):
        more = f" and {len(over) - 1} more" if len(over) > 1 else ""
        raise TargetError(
            f"The weights of {where} hold {over[0]}{more}, of layers that its config.json leaves out: mend the numbers "
            "of layers there, or fetch the whole checkpoint."
        )
    if wrong := sorted(str(m[0]) for m in info["mismatched_keys"]):
        raise TargetError(f"In the weights of {where}, {wrong[0]} has not the shape that its config.json says.")
    if hasattr(config, "scale_decoder_outputs"):
        model.config.scale_decoder_outputs = config.scale_decoder_outputs
    return model.to(device).eval()


def left_over(own: Iterable[str], unexpected: Iterable[str]) -> list[str]:
    """Which of the weights that found no place in a model are those of one layer more than it has, sorted.

    What else a checkpoint holds beside the model is no matter: a rotary table, the copy of a tied matrix, a head for
    another task. A further layer's weight is told by its name, which is one of the model's `own` but for its numbers;
    a checkpoint without its head leaves out the first part of a name.
    """

    def numberless(name: str) -> str:
        return re.sub(r"(?<=\.)\d+(?=\.)", "#", f".{name}")[1:]

    known = {numberless(name) for name in own}
    known |= {name.partition(".")[2] for name in known}
    return sorted(name for name in unexpected if "#" in numberless(name) and numberless(name) in known)


class Checkpoint:
    """A model by hub name or folder, its weights read when they are first needed.

    Attributes:
        where: hub name or folder.
        config, generation: of transformers.
        dtype, device: of the torch model.
    """

    def __init__(self, where: str | Path, dtype: torch.dtype, device: torch.device) -> None:
        """Raises TargetError where configuration or weight files are not what they should be."""
        self.where, self.dtype, self.device = where, dtype, device
        self._held = hold(Path(where))  # its weights may be read later
        self._model: Any = None
        self.config = read_config(where)
        self.generation = read_generation_config(where, self.config)
        if not (self.seq2seq or _writes(self.config)):
            raise TargetError(
                f"{where} (a {self.config.model_type}) writes no text: FastLLM needs an encoder-decoder such as T5, "
                "or a decoder-only language model."
            )
        if is_folder(where):
            check_weight_files(Path(where))
        if self.seq2seq and self._start is None:
            raise TargetError(
                f"Neither config.json nor generation_config.json of {where} names a decoder_start_token_id, the token "
                "that a summary begins after: add it to generation_config.json."
            )

    @property
    def seq2seq(self) -> bool:
        """Whether the model is an encoder-decoder."""
        return bool(self.config.is_encoder_decoder)

    @property
    def model(self) -> Any:
        """The torch model, in evaluation mode.

        Raises:
            TargetError: its weights cannot be read.
        """
        if (model := self._model) is None:
            with LOADING:
                if (model := self._model) is None:  # else another thread was faster
                    model = self._model = read_model(self.where, self.config, self.dtype, self.device)
        return model

    def forget(self) -> None:
        """Give the torch model's memory back; it is read again when somebody asks for it."""
        self._model = None

    @lazy
    def sha256(self) -> str:
        """Hash of a folder's weight files, or the hub commit of a hub model."""
        if is_folder(self.where):
            return folder_sha256(Path(self.where))
        return getattr(self.config, "_commit_hash", None) or ""

    @property
    def positions(self) -> int | None:
        """Tokens that the model has positions for; None for relative positions, which do not end.

        Where long texts are read with other rotations (``longrope``: Phi-3), those of the short ones count: at the
        border the keys of all that was read before would be others, and p would depend on where a draft ends.
        """
        config = self.config.get_text_config()
        most = getattr(config, "max_position_embeddings", None)
        rope = getattr(config, "rope_parameters", None) or {}
        if most and rope.get("rope_type") == "longrope":
            first = rope.get("original_max_position_embeddings")
            most = min(most, first or getattr(config, "original_max_position_embeddings", None) or most)
        return most if most is None or most > 0 else None  # -1: without an end (XLNet)

    @property
    def _start(self) -> int | None:
        return self._named("decoder_start_token_id", self.config, self.generation)

    def _named(self, field: str, *sources: Any) -> int | None:
        """The token id that the first of `sources` gives in `field`; None where none does.

        Raises:
            TargetError: it is no id of the model's.
        """
        for source in sources:
            if (token := getattr(source, field, None)) is not None:
                most = getattr(self.config.get_text_config(), "vocab_size", None)
                if type(token) is not int or token < 0 or (most is not None and token >= most):
                    among = "" if most is None else f" among its {most:,} tokens"
                    raise TargetError(
                        f"The {field} of {self.where} is {str(token)[:40]}, which is no id{among}: mend its "
                        "config.json or generation_config.json."
                    )
                return token
        return None

    def start_id(self, tokenizer: Any) -> int:
        """An encoder-decoder's decoder start; for a decoder-only model some token that is no word."""
        if self._start is not None and self.seq2seq:
            return self._start
        for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    def eos_ids(self, tokenizer: Any, rows: int | None = None) -> tuple[int, ...]:
        """Tokens that end a text: the tokenizer's own first, then those of the generation settings.

        Args:
            rows: of the model's logits, where they are known.

        Raises:
            TargetError: there is none.
        """
        asked = self.generation.eos_token_id
        many = asked if isinstance(asked, list | tuple) else [asked]
        # What is no piece has no probability and ends nothing: -1 says "none".
        pieces = range(len(tokenizer) if rows is None else min(rows, len(tokenizer)))
        found = dict.fromkeys(t for t in (tokenizer.eos_token_id, *many) if type(t) is int and t in pieces)
        if not found:
            raise TargetError(
                f"{self.where} names no end-of-text token: add eos_token_id to its generation_config.json."
            )
        return tuple(found)

    @property
    def first_id(self) -> int | None:
        """The token that a text must begin with (BART's ``forced_bos_token_id``), or None."""
        return self._named("forced_bos_token_id", self.generation, self.config)

    def left_out(self, blocked: int) -> tuple[str, ...]:
        """See :func:`left_out`."""
        return left_out(self.generation, blocked)

    def check_tokenizer(self, tokenizer: Any, rows: int) -> None:
        """Refuse a tokenizer with more ids than the model has embeddings.

        Args:
            rows: of the input embedding.

        Raises:
            TargetError
        """
        if len(tokenizer) > rows:
            raise TargetError(
                f"The tokenizer of {self.where} has {len(tokenizer):,} ids and the model embeds {rows:,}: they do not "
                "belong together."
            )


def is_tied(model) -> bool:
    """Whether the output matrix *is* the input embedding. Looked up in the weights: transformers 5 says
    ``tie_word_embeddings: true`` of every T5, and T5 1.1 and FLAN have a matrix of their own."""
    out, into = model.get_output_embeddings(), model.get_input_embeddings()
    return out is not None and out.weight.data_ptr() == into.weight.data_ptr()


def left_out(generation: GenerationConfig, blocked: int) -> tuple[str, ...]:
    """What a checkpoint asks `generate` to do and p leaves out, as one sentence, or none.

    Args:
        blocked: size of the n-grams that p does not repeat.
    """
    asked = {
        name: value
        for name, neutral in _LEFT_OUT.items()
        if (value := getattr(generation, name, None)) is not None and value != neutral
    }
    if (size := getattr(generation, "no_repeat_ngram_size", None)) and size != blocked:
        asked["no_repeat_ngram_size"] = size
    if not asked:
        return ()
    said = ", ".join(f"{k} = {v if isinstance(v, int | float | str) else '...'}" for k, v in asked.items())
    return (
        f"The checkpoint's generation settings ask for {said}: FastLLM leaves that out, here and in training, and "
        "decodes by the settings of the run alone.",
    )
