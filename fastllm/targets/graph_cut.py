"""An exported decoder graph with sublayers left out, over the same file of weights.

In the graph a sublayer ends in an addition of what it was given and what its last product gives. Whoever reads the sum
is made to read what was given instead; what nobody reads any more is dropped, the keys and values of an attention that
is left out with it. So the graph needs no export, and no weight is written twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def cut(folder: Path, products: Iterable[str], kept: Iterable[int]) -> bytes:
    """The graph of ``folder/decoder.onnx`` less the sublayers that end in `products`, as ONNX Runtime takes it.

    Its weights are still to be found in `folder`. Its ``past_i`` keep their names; ``new`` has only the columns of
    the layers in `kept`.

    Raises:
        ValueError: a product is not in the graph.
    """
    import onnx

    model = onnx.load(folder / "decoder.onnx", load_external_data=False)
    graph, layers = model.graph, sorted(kept)
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
