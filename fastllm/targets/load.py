"""A target by name: preset, folder or hub name to :class:`Target`, everything checked that a run will need."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import torch

from fastllm.config import TargetPreset, preset_for
from fastllm.loading import LOADING
from fastllm.targets.base import Engine, Target, TargetError
from fastllm.targets.causal import CausalTarget
from fastllm.targets.graph_files import folder_of
from fastllm.targets.graphs import GRAPHS
from fastllm.targets.pretrained import Checkpoint, first_line, read_tokenizer
from fastllm.targets.seq2seq import Seq2SeqTarget
from fastllm.targets.sources import find, from_hub, has_hub_files, how_to_get
from fastllm.targets.sublayers import FAMILIES
from fastllm.targets.torch_engine import TorchEngine
from fastllm.targets.trial import trouble

ENGINES = ("auto", "onnx", "torch")
# An article that leaves less room than this is none.
LEAST_ROOM = 16


def choose_device(device: str | None = None) -> torch.device:
    """The device asked for, else CUDA where there is one, else the CPU.

    Raises:
        TargetError: there is no such device here.
    """
    if not device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise TargetError(f"There is no kind of device {device!r}: give cpu, cuda or cuda:0.") from None
    if found.type == "cpu":
        return torch.device("cpu")
    if found.type == "cuda" and torch.cuda.is_available() and (found.index or 0) < torch.cuda.device_count():
        return found
    if found.type == "cuda":
        raise TargetError(
            f"This machine has no CUDA device {device!r} that torch can use: leave --device out, or give cpu."
        )
    raise TargetError(f"FastLLM runs on cpu and cuda, not on {device!r}: leave --device out, or give cpu.")


def choose_dtype(preset: TargetPreset, device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA, float32 elsewhere, unless the preset names one.

    Raises:
        TargetError: float16 is asked for, in which T5's activations overflow.
    """
    if preset.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype = getattr(torch, preset.dtype, None)
    if dtype not in (torch.float32, torch.bfloat16):
        raise TargetError(
            f"The target's dtype must be float32 or bfloat16, not {preset.dtype}: T5 overflows in float16."
        )
    return dtype


def choose_engine(asked: str | None = None) -> str:
    """The engine asked for, else that of ENGINE in the environment, else ``auto``.

    Raises:
        TargetError: it is none of :data:`ENGINES`.
    """
    name = asked or os.environ.get("ENGINE") or "auto"
    if name not in ENGINES:
        raise TargetError(f"There is no engine {name!r}: give one of {', '.join(ENGINES)}.")
    return name


def why_not_onnx(checkpoint: Checkpoint) -> str:
    """Why ONNX Runtime has nothing for this checkpoint, as the end of a sentence; "" where it can."""
    if checkpoint.device.type != "cpu":
        return f"it is for CPUs, and the model is on {checkpoint.device}"
    if checkpoint.dtype != torch.float32:
        return f"its graphs are float32, and the model is asked for in {str(checkpoint.dtype).split('.')[-1]}"
    kind = checkpoint.config.model_type
    if kind not in GRAPHS:
        return f"there is no graph for models of the kind {kind}"
    return GRAPHS[kind].lacks(checkpoint.config)


def open_engine(checkpoint: Checkpoint, start_id: int | None, asked: str = "auto") -> Engine:
    """Who multiplies for this checkpoint.

    Args:
        start_id: decoder start of an encoder-decoder, None for a decoder-only model.
        asked: ``auto`` takes ONNX Runtime where it can run the model, else torch.

    Raises:
        TargetError: ONNX Runtime was asked for and cannot run the model, or the weights cannot be read.
    """
    why, fault = why_not_onnx(checkpoint), ""
    if not why and any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnx")):
        why = fault = "the packages onnxruntime and onnx are not installed (pip install onnxruntime onnx)"
    if asked != "torch" and not why:
        try:
            from fastllm.targets.onnx_engine import OnnxEngine

            with LOADING:
                engine = OnnxEngine(folder_of(checkpoint), start_id)
            checkpoint.forget()
            return _tried(engine, checkpoint)
        except TargetError:
            raise
        # An exporter, a disk, a damaged installation: whatever it is, torch is there.
        except Exception as error:
            why = fault = f"its graph could not be made ({first_line(error)})"
    if asked == "onnx":
        raise TargetError(f"ONNX Runtime cannot run {checkpoint.where}: {why}. Leave --engine out, or give torch.")
    torch_engine = TorchEngine(checkpoint.model, start_id)
    if fault:  # of this machine, not of the model
        torch_engine.notes = (f"{checkpoint.where} runs on torch, not on ONNX Runtime: {fault}.",)
    return _tried(torch_engine, checkpoint)


def _tried(engine: Engine, checkpoint: Checkpoint) -> Engine:
    """`engine`, once it has shown that it can be used.

    Raises:
        TargetError: it cannot.
    """
    kind = checkpoint.config.model_type
    if why := trouble(engine, checkpoint.dtype, known=kind in FAMILIES):
        raise TargetError(f"{checkpoint.where} (a {kind}) cannot be used: {why}.")
    return engine


def load_target(name: str, device: str | None = None, engine: str | None = None) -> Target:
    """Load a target by preset, folder or hub name through ``from_pretrained``.

    Args:
        engine: one of :data:`ENGINES`; None is ENGINE of the environment, else ``auto``.

    Raises:
        TargetError: it is not there, cannot be read, or lacks something that a run needs.
    """
    asked, where = choose_engine(engine), choose_device(device)
    try:
        preset = preset_for(name)
    except ValueError as error:
        raise TargetError(str(error)) from None
    if preset.name == "mini" and not Path(preset.model).is_dir():
        raise TargetError(
            f"The embedded target is missing at {preset.model}: run `make checkpoints` to train it again."
        )
    found = find(preset)
    if isinstance(found, str) and preset.package and not has_hub_files(found) and not from_hub(preset):
        raise TargetError(f"The weights of {name} are not on this machine. {how_to_get(preset)}")
    checkpoint = Checkpoint(found, choose_dtype(preset, where), where)
    kind: type[Target] = Seq2SeqTarget if checkpoint.seq2seq else CausalTarget
    if preset.generic:
        preset = replace(preset, **kind.defaults)
    tokenizer = read_tokenizer(found)
    opened = open_engine(checkpoint, checkpoint.start_id(tokenizer) if checkpoint.seq2seq else None, asked)
    checkpoint.check_tokenizer(tokenizer, opened.rows)
    target = kind(preset, checkpoint, tokenizer, opened)
    longest = target.read("word " * target.room)
    if len(longest.article) < LEAST_ROOM:
        raise TargetError(
            f"{name} has positions for {checkpoint.positions} tokens: beside its prompt that is too few to read an "
            "article."
        )
    limit = target.limit(longest)
    if limit is not None and limit < preset.max_new_tokens:
        return target.with_preset(replace(preset, max_new_tokens=limit))
    return target
