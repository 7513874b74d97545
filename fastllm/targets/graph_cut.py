"""An exported decoder graph with sublayers or its head left out, over the same file of weights.

In the graph a sublayer ends in an addition of what it was given and what its last product gives. Whoever reads the sum
is made to read what was given instead; what nobody reads any more is dropped, the keys and values of an attention that
is left out with it. So the graph needs no export, and no weight is written twice.

The head, one product with the whole vocabulary, is more than half of what a small decoder reads for a token. Who wants
few columns takes the graph without it and multiplies by those columns himself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


def cut(folder: Path, products: Iterable[str], kept: Iterable[int], head: bool = True) -> bytes:
    """The graph of ``folder/decoder.onnx`` less the sublayers that end in `products`, as ONNX Runtime takes it.

    Its weights are still to be found in `folder`. Its ``past_i`` keep their names; ``new`` has only the columns of
    the layers in `kept`.

    Args:
        head: whether ``logits`` stay; else what they are the product of with :func:`head_of` comes in their place,
            (wanted, width).

    Raises:
        ValueError: a product is not in the graph.
    """
    import onnx

    model = onnx.load(folder / "decoder.onnx", load_external_data=False)
    graph, layers = model.graph, sorted(kept)
    if not head:
        _behead(graph)
    instead = _instead(graph, set(products))
    for node in graph.node:
        for i, name in enumerate(node.input):
            while name in instead:
                name = instead[name]
            node.input[i] = name
    last = next(n for n in graph.node if "new" in n.output)
    columns = [name for i, name in enumerate(last.input) if i // 2 in layers]
    del last.input[:]
    last.input.extend(columns)
    _drop_unread(graph)
    return model.SerializeToString()


def _instead(graph: Any, products: set[str]) -> dict[str, str]:
    """For the sum at the end of each sublayer that is left out: what the sublayer was given."""
    # /own.0/o/MatMul is a node of the module own.0.o; a bias is added by a node of the same module.
    module = {output: n.name.strip("/").rpartition("/")[0].replace("/", ".") for n in graph.node for output in n.output}
    found, seen = {}, set()
    for node in graph.node:
        if node.op_type != "Add":
            continue
        mine = module[node.output[0]]
        for i, name in enumerate(node.input):
            if (theirs := module.get(name)) in products and theirs != mine:
                found[node.output[0]] = node.input[1 - i]
                seen.add(theirs)
    if missing := sorted(products - seen):
        raise ValueError(f"the graph has no sublayer that ends in {missing[0]}")
    return found


def head_of(folder: Path) -> np.ndarray:
    """The head's matrix, float32 (width, columns): a view of the file of weights, where it is not tiny."""
    import onnx

    graph = onnx.load(folder / "decoder.onnx", load_external_data=False).graph
    name = _head(graph).input[1]
    weight = next(w for w in graph.initializer if w.name == name)
    place = {x.key: x.value for x in weight.external_data}
    if not place:
        return np.asarray(onnx.numpy_helper.to_array(weight))
    offset, shape = int(place.get("offset", 0)), tuple(weight.dims)
    return np.memmap(folder / place["location"], np.float32, "r", offset, shape)


def _head(graph: Any) -> Any:
    return next(n for n in graph.node if "logits" in n.output)


def _behead(graph: Any) -> None:
    """Let what the head is given come out where its logits did."""
    import onnx

    node = _head(graph)
    at = next(i for i, output in enumerate(graph.output) if output.name == "logits")
    hidden = onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, ["wanted", "width"])
    graph.output[at].CopyFrom(hidden)


def _drop_unread(graph: Any) -> None:
    """Leave only what the outputs are made of."""
    makes = {output: node for node in graph.node for output in node.output}
    read, todo = set(), [output.name for output in graph.output]
    while todo:
        name = todo.pop()
        if name not in read:
            read.add(name)
            todo += list(makes[name].input) if name in makes else []
    nodes = [n for n in graph.node if read & set(n.output)]
    del graph.node[:]
    graph.node.extend(nodes)
    for field in (graph.initializer, graph.input):
        stay = [x for x in field if x.name in read]
        del field[:]
        field.extend(stay)
