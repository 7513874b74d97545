"""The engine of the CPU: ONNX Runtime over a graph with the cache as inputs. The only file that imports onnxruntime.

Every call has at least two rows and at most :data:`MOST`: ONNX Runtime's float32 products of two and more rows give
each row the same bits whatever the other rows are, and a single row takes another path. A single token is therefore
scored beside a dummy, which is cut from the cache again. So p after a prefix is bit for bit the same whether it was
scored alone or in a draft; :meth:`OnnxEngine.check_bits` sees whether that holds on this processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from fastllm.cache import hold
from fastllm.loading import lazy
from fastllm.targets.base import Decoder, Engine
from fastllm.targets.graph_cut import cut, head_of
from fastllm.targets.graph_files import Graph, read
from fastllm.targets.sublayers import Family, Sublayer, kept_attentions
from fastllm.targets.torch_engine import FollowingDecoder
from fastllm.trees import distances

LEAST, MOST = 2, 32
# ONNX Runtime packs matrices for its products, which is a private copy of them. A graph with sublayers left out gets
# one of what it keeps where the whole file of weights has at most so many bytes; else it reads the file's own pages,
# which are no memory of the process's own: SmolLM2's self takes 0 instead of 551 MB so, and a run of it, gamma 4, 14 %
# longer.
PACKED_AT_MOST = 2**28
# Room for so many tokens at first; doubled when full.
CAPACITY = 128


@cache
def _options(threads: int, folder: str = "", packed: bool = True) -> onnxruntime.SessionOptions:
    """`folder`: where the weights of a graph lie that comes from memory."""
    options = onnxruntime.SessionOptions()
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    if not packed:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads take the cores from torch and NumPy beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def threads() -> int:
    """One pool's worth in all: as many as torch would use."""
    return max(1, torch.get_num_threads())


class OnnxDecoder(FollowingDecoder):
    """One prompt on one graph. Keys and values lie in one array (2 · layers, capacity, width); the past is a view."""

    def __init__(
        self,
        engine: OnnxEngine,
        prompt_ids: Sequence[int],
        start_id: int | None,
        read: Any = (),
        columns: np.ndarray | None = None,
    ) -> None:
        """`read`: as of :meth:`read`; `columns`: as of :meth:`Engine.open`."""
        super().__init__([start_id] if start_id is not None else prompt_ids[-1:])
        self._engine = engine
        self._least = engine.least if columns is None else 1
        self._graph = engine.decoder if columns is None else engine.headless
        # (columns, width): a row a token, of which each is read from end to end.
        self._head = None if columns is None else np.ascontiguousarray(engine.head[:, columns].T)
        self._past = np.zeros((len(engine.pasts), CAPACITY, engine.graph.width), np.float32)
        self._filled = 0
        self._first = 0  # rows of the prompt, which no text cuts
        self._cross: Sequence[np.ndarray] = ()
        self._feeds: dict[str, np.ndarray] = {}
        if engine.encoder is not None:
            self._cross = read or engine.encoder.run(None, {"ids": np.asarray(prompt_ids, np.int64)})
            self._feeds = {f"cross_{i}": self._cross[i] for i in engine.crosses}
        elif len(prompt_ids) > 1 and len(read):
            self._reserve(len(prompt_ids) - 1)
            self._first = self._filled = len(prompt_ids) - 1
            for mine, i in zip(self._past, engine.pasts, strict=True):
                mine[: self._first] = read[i]
        elif len(prompt_ids) > 1:
            self._call(prompt_ids[:-1], 1)
            self._first = self._filled

    def read(self) -> Sequence[np.ndarray] | np.ndarray:
        """Keys and values of every layer: of the cross-attention where there is an encoder, shapes as the encoder graph
        gives them, else of the n tokens of the prompt, (2 · layers, n, width)."""
        return self._cross if self._engine.encoder is not None else self._past[:, : self._first]

    def _cut(self, keep: int) -> None:
        self._filled = self._first + keep

    def _run(self, tokens: Sequence[int], wanted: int) -> torch.Tensor:
        found: list[np.ndarray] = []
        while len(tokens) > MOST:  # never two: what is left has no other bits for it
            part = min(MOST, len(tokens) - 1)
            found.append(self._call(tokens[:part], part))
            tokens = tokens[part:]
        found.append(self._call(tokens, min(wanted, len(tokens))))
        whole = found[0] if len(found) == 1 else np.concatenate(found)
        return torch.from_numpy(whole[-wanted:])

    def _run_tree(self, tokens: Sequence[int], nodes: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        if len(tokens) + len(nodes) > MOST:
            self._run(tokens[:-1], 1)
            tokens = tokens[-1:]
        return torch.from_numpy(self._call([*tokens, *nodes], len(nodes) + 1, parents))

    def _call(self, tokens: Sequence[int], wanted: int, parents: Sequence[int] = ()) -> np.ndarray:
        """Run `tokens` after what is cached; logits of the last `wanted`. Of the tokens the last len(parents) are nodes
        of a tree."""
        engine, n = self._engine, len(tokens)
        ids = np.zeros(max(n, self._least), np.int64)
        ids[:n] = tokens
        rows = np.arange(n - wanted, n) if wanted >= self._least else np.array([n - 1, 0 if n > 1 else 1])
        filled = self._filled
        feeds = dict(self._feeds)
        feeds["ids"], feeds["rows"] = ids, rows
        feeds["distance"] = far = distances(filled, len(ids) - len(parents), parents)
        if engine.graph.angles:
            feeds["angles"] = engine.angles(far[:, 0])
        for i, past in zip(engine.pasts, self._past, strict=True):
            feeds[f"past_{i}"] = past[:filled]
        logits, new = self._graph.run(None, feeds)
        self._reserve(filled + n)
        self._past[:, filled : filled + n] = new[:n].reshape(n, len(self._past), -1).transpose(1, 0, 2)
        self._filled = filled + n
        if self._head is None:
            return logits[:wanted]
        # Row by row: for a handful of rows a product of two matrices takes many times as long.
        return np.stack([self._head @ hidden for hidden in logits[:wanted]])

    def _reserve(self, tokens: int) -> None:
        capacity = self._past.shape[1]
        if tokens > capacity:
            wider = np.zeros((len(self._past), max(tokens, 2 * capacity), self._past.shape[2]), np.float32)
            wider[:, : self._filled] = self._past[:, : self._filled]
            self._past = wider

    def close(self) -> None:
        self._past = np.zeros((0, 0, 0), np.float32)
        self._feeds, self._cross, self._head = {}, (), None


class OnnxEngine(Engine):
    """One model's graphs, shared by all its decoders. ONNX Runtime's sessions may be run from several threads.

    Attributes:
        pasts, crosses: which of a layer's keys (even) and values (odd) the decoder takes.
        least: the fewest rows of a call.
    """

    name = "onnx"
    least = LEAST

    def __init__(self, folder: Path, start_id: int | None = None) -> None:
        """`start_id`: the decoder start token of an encoder-decoder, None for a decoder-only model.

        Raises:
            ValueError: the folder is not whole.
        """
        self._held = hold(folder)
        graph = read(folder)
        if graph is None:
            raise ValueError(f"{folder} holds no whole graph")
        self.graph: Graph = graph
        self.columns, self.rows = graph.columns, graph.rows
        self._start_id, self._folder = start_id, folder
        options = _options(threads())
        providers = ["CPUExecutionProvider"]
        self.decoder = onnxruntime.InferenceSession(str(folder / "decoder.onnx"), options, providers=providers)
        self.encoder = None
        if "encoder.onnx" in graph.files:
            self.encoder = onnxruntime.InferenceSession(str(folder / "encoder.onnx"), options, providers=providers)
        self._products: list[str] = []
        self._kept = list(range(graph.layers))
        self.pasts = list(range(2 * graph.layers))
        self.crosses = self.pasts if self.encoder is not None else []
        self._angles = np.zeros((2, 0, graph.angles), np.float32)
        self.to_the_last_bit = self.check_bits()

    def open(self, prompt_ids: Sequence[int], read: Any = None, columns: np.ndarray | None = None) -> Decoder:
        return OnnxDecoder(self, prompt_ids, self._start_id, () if read is None else read, columns)

    def prepare(self, narrow: bool) -> None:
        for name in ("headless", "head") if narrow else ("decoder",):
            getattr(self, name)

    @lazy
    def headless(self) -> onnxruntime.InferenceSession:
        """The decoder, less the same sublayers, up to what its head reads."""
        return self._cut(head=False)

    @lazy
    def head(self) -> np.ndarray:
        """The head's matrix, (width, columns)."""
        return head_of(self._folder)

    def _cut(self, head: bool) -> onnxruntime.InferenceSession:
        """A session over :func:`cut`."""
        graph = cut(self._folder, self._products, self._kept, head)
        packed = self.graph.files["weights.bin"][0] <= PACKED_AT_MOST
        options = _options(threads(), folder=str(self._folder), packed=packed)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def without(self, family: Family, skip: frozenset[Sublayer]) -> OnnxEngine:
        return _CutEngine(self, family, skip)

    def angles(self, at: np.ndarray) -> np.ndarray:
        """Cosines and sines of the n positions `at`, (2, n, d / 2) float32."""
        if (end := int(at.max()) + 1) > self._angles.shape[1]:
            positions = np.arange(max(1024, 2 * end), dtype=np.float32)
            turned = positions[:, None] * np.asarray(self.graph.frequencies, np.float32)
            both = np.stack([np.cos(turned), np.sin(turned)]) * np.float32(self.graph.scaling)
            self._angles = both.astype(np.float32)
        return np.ascontiguousarray(self._angles[:, at])

    def check_bits(self) -> bool:
        """Whether rows are bit for bit the same alone and in drafts of 2, 5 and 16, and after a cut cache: seven calls
        over a short text."""
        text = [(7 * i + 3) % self.rows for i in range(19)]
        prompt = [(11 * i + 5) % self.rows for i in range(8)]
        one, many = self.open(prompt), self.open(prompt)
        alone = [one.score(text[: 3 + i])[0].numpy() for i in range(3)]
        whole = many.score(text, 17).numpy()  # after 3 .. 19 tokens
        short = many.score([*text[:3], *text[3:5]], 3).numpy()  # cuts
        again = many.score(text[:8], 6).numpy()
        one.close()
        many.close()
        return (
            all(np.array_equal(a, w) for a, w in zip(alone, whole, strict=False))
            and np.array_equal(short, whole[:3])
            and np.array_equal(again, whole[:6])
        )


class _CutEngine(OnnxEngine):
    """Another engine's graphs less some sublayers: encoder and file of weights are the other's. Its rows are drafts, so
    nothing depends on their last bits, and a single row needs no dummy."""

    least = 1

    def __init__(self, whole: OnnxEngine, family: Family, skip: frozenset[Sublayer]) -> None:
        self.graph, self.columns, self.rows = whole.graph, whole.columns, whole.rows
        self.encoder, self._start_id = whole.encoder, whole._start_id
        self._folder, self._held = whole._folder, whole._held
        self._angles = whole._angles
        self._products = [family.products[kind].format(layer) for layer, kind in skip]
        self._kept = kept_attentions(skip, whole.graph.layers)
        self.pasts = [i for layer in self._kept for i in (2 * layer, 2 * layer + 1)]
        seen = kept_attentions(skip, whole.graph.layers, "cross")
        self.crosses = [i for i in whole.crosses if i // 2 in seen]

    @lazy
    def decoder(self) -> onnxruntime.InferenceSession:
        """With its head: the search for what to leave out asks for all columns, drafts do not."""
        return self._cut(head=True)
