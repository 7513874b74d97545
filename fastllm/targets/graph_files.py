"""Graphs on disk: exported once from a model's weights, kept in the user's cache folder under their hash.

A folder holds ``decoder.onnx``, ``encoder.onnx`` where there is an encoder, ``weights.bin`` with every matrix once, and
``graph.json`` with sizes and the files' hashes. It is swapped in whole, so that two processes may make it at once, and
made anew where a file is not what ``graph.json`` says. Graphs that older versions made of the same weights are removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastllm import console
from fastllm.cache import cache_folder, entries, making, remove, settled, spare_folder
from fastllm.checkpoints import file_sha256
from fastllm.targets.graphs import GRAPHS, VERSION
from fastllm.targets.pretrained import Checkpoint
from fastllm.trees import distances

INFO = "graph.json"
WEIGHTS = "weights.bin"


@dataclass(frozen=True)
class Graph:
    """What a decoder needs to know of its graph.

    Attributes:
        columns, rows: of the logits and of the input embedding.
        layers, width: each layer keeps keys and values of `width` numbers a token.
        cross: heads and their size in the cross-attention; zeros without an encoder.
        angles: rotary angles a position, 0 where there are none.
        frequencies, scaling: angle = position · frequency; cosine and sine are multiplied by `scaling`.
        files: size in bytes and digest of each file: SHA-256, of the weights CRC-32, which takes a third of the
            time; "" in folders made before it was kept.
        source: the model's name, for people.
        weights: hash of the model's weights, or the name of one that has none.
        version: of the graphs, 0 in files from before it was written down.
    """

    columns: int
    rows: int
    layers: int
    width: int
    cross: tuple[int, int]
    angles: int
    frequencies: tuple[float, ...]
    scaling: float
    files: dict[str, list]
    source: str = ""
    weights: str = ""
    version: int = 0


def weights_of(checkpoint: Checkpoint) -> str:
    """Hash of the weights. A hub model without a commit has none: its name must do."""
    return checkpoint.sha256 or str(checkpoint.where)


def key_of(checkpoint: Checkpoint, version: int) -> str:
    """Names the graph: weights, configuration and the graphs' version."""
    config = checkpoint.config.to_dict()
    for name in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):
        config.pop(name, None)
    said = json.dumps([version, weights_of(checkpoint), config], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def folder_of(checkpoint: Checkpoint) -> Path:
    """A complete folder of graphs for `checkpoint`, made now where there is none.

    Raises:
        OSError, RuntimeError, ValueError: the graph cannot be exported or written.
    """
    key, home = key_of(checkpoint, VERSION), cache_folder() / "graphs"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not os.access(home, os.W_OK):
            raise PermissionError(home)
    except OSError:
        if read(home / key) is not None:  # an image with its graphs made, and nothing to write to
            return home / key
        home = spare_folder()
        home.mkdir(mode=0o700, exist_ok=True)
        console.say("the cache folder cannot be written: graphs are kept in the temporary folder.")
    folder = home / key
    if read(folder) is None:
        make(checkpoint, folder)
    remove_older(checkpoint, home)
    return folder


def remove_older(checkpoint: Checkpoint, home: Path) -> None:
    """Remove from `home` what older versions of the graphs made of the same weights, unless somebody uses it, and what
    was left unfinished by a process that was killed."""
    older, weights = {key_of(checkpoint, v) for v in range(1, VERSION)}, weights_of(checkpoint)
    freed = 0
    for entry in entries():
        if entry.folder.parent != home or not settled(entry):
            continue
        graph = None if entry.folder.name in older else described(entry.folder)
        outdated = graph is not None and graph.weights == weights and graph.version < VERSION
        if (outdated or entry.folder.name in older or entry.folder.name.startswith(".")) and remove(entry.folder):
            freed += entry.size
    if freed:
        console.say(f"removed {freed / 1e6:.0f} MB of outdated graphs.")


def described(folder: Path) -> Graph | None:
    """What graph.json in `folder` says; None where it is none."""
    try:
        value = json.loads((folder / INFO).read_text(encoding="utf-8"))
        return Graph(**{**value, "cross": tuple(value["cross"]), "frequencies": tuple(value["frequencies"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read(folder: Path) -> Graph | None:
    """What lies in `folder`; None where it is not whole."""
    if (graph := described(folder)) is None:
        return None
    try:
        for name, (size, digest) in graph.files.items():
            file = folder / name
            if file.stat().st_size != size or (digest and _digest(file) != digest):
                return None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return graph


def _digest(file: Path) -> str:
    """See :attr:`Graph.files`."""
    if file.name != WEIGHTS:
        return file_sha256(file)
    found = 0
    with open(file, "rb") as f:
        while part := f.read(1 << 22):
            found = zlib.crc32(part, found)
    return f"{found:08x}"


def make(checkpoint: Checkpoint, folder: Path) -> None:
    """Export the model into `folder`, beside which it is made first."""
    console.say(f"making the ONNX Runtime graph of {Path(str(checkpoint.where)).name}, once ...")
    model = checkpoint.model
    graph = GRAPHS[checkpoint.config.model_type](model)
    with making(folder, lambda made: read(made) is not None) as half:
        names = ["decoder.onnx"]
        _export(graph.decoder, *_decoder_example(graph), half / "decoder.onnx")
        if graph.encoder is not None:
            names.append("encoder.onnx")
            outputs = [f"cross_{i}" for i in range(2 * graph.layers)]
            example = {"ids": (torch.zeros(5, dtype=torch.long), {0: "S"})}
            _export(graph.encoder, example, outputs, half / "encoder.onnx")
        _move_weights(half, names)
        info = Graph(
            columns=int(model.get_output_embeddings().weight.shape[0]),
            rows=int(model.get_input_embeddings().weight.shape[0]),
            layers=graph.layers,
            width=graph.width,
            cross=graph.cross,
            angles=graph.angles,
            frequencies=tuple(graph.frequencies),
            scaling=graph.scaling,
            files={n: [(half / n).stat().st_size, _digest(half / n)] for n in (*names, WEIGHTS)},
            source=Path(str(checkpoint.where)).name,
            weights=weights_of(checkpoint),
            version=VERSION,
        )
        (half / INFO).write_text(json.dumps(asdict(info)), encoding="utf-8")


def _decoder_example(graph: Any) -> tuple[dict, list[str]]:
    """Example inputs with their dynamic axes, and the outputs' names."""
    given: dict[str, tuple] = {
        "ids": (torch.zeros(3, dtype=torch.long), {0: "n"}),
        "rows": (torch.tensor([1, 2]), {0: "w"}),
        "distance": (torch.from_numpy(distances(4, 3)), {0: "n", 1: "T"}),
    }
    if graph.angles:
        given["angles"] = (torch.zeros(2, 3, graph.angles), {1: "n"})
    given |= {f"past_{i}": (torch.zeros(4, graph.width), {0: "P"}) for i in range(2 * graph.layers)}
    heads, d = graph.cross
    if heads:
        for i in range(2 * graph.layers):
            shape, axis = ((heads, d, 5), 2) if i % 2 == 0 else ((heads, 5, d), 1)
            given[f"cross_{i}"] = (torch.zeros(shape), {axis: "S"})
    return given, ["logits", "new"]


def _export(module: nn.Module, given: dict[str, tuple], outputs: list[str], file: Path) -> None:
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # torch's older exporter is deprecated, works in every version that we admit, and needs no further package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(example for example, _ in given.values()),
            str(file),
            input_names=list(given),
            output_names=outputs,
            dynamic_axes={name: axes for name, (_, axes) in given.items()},
            opset_version=17,
            dynamo=False,
            verbose=False,
        )


def _move_weights(folder: Path, names: list[str]) -> None:
    """Move the matrices of all graphs into one file, equal ones once, so that a start maps them instead of parsing."""
    import onnx
    from onnx.external_data_helper import set_external_data

    at: dict[str, tuple[int, int]] = {}
    with open(folder / WEIGHTS, "wb") as out:
        for name in names:
            model = onnx.load(folder / name)
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) < 1024:
                    continue
                digest = hashlib.sha256(tensor.raw_data).hexdigest()
                if digest not in at:
                    out.write(b"\0" * (-out.tell() % 4096))
                    at[digest] = (out.tell(), len(tensor.raw_data))
                    out.write(tensor.raw_data)
                set_external_data(tensor, WEIGHTS, *at[digest])
                tensor.ClearField("raw_data")
            onnx.save(model, folder / name)
