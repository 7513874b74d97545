"""Drafts that branch, as arithmetic on parents: knows no model.

A tree of k nodes is given by `parents`, k whole numbers: the index of each node's parent, -1 for a child of the root
(the text so far). A parent stands before its children, and siblings stand in the order in which they are tested. A
chain is the tree -1, 0, 1, ..., and every function takes it like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastllm.config import MAX_NODES


def check(parents: Sequence[int]) -> None:
    """Refuse what is no tree.

    Raises:
        ValueError: a parent does not stand before its child, or there are more nodes than a call takes.
    """
    if len(parents) > MAX_NODES or any(not -1 <= p < i for i, p in enumerate(parents)):
        raise ValueError(f"a draft tree has at most {MAX_NODES} nodes, each behind its parent; got {list(parents)}")


def path(parents: Sequence[int], node: int) -> tuple[int, ...]:
    """The nodes from the root's child down to `node`, itself included; of -1, none."""
    found: list[int] = []
    while node >= 0:
        found.append(node)
        node = parents[node]
    return tuple(reversed(found))


def depths(parents: Sequence[int]) -> list[int]:
    """How deep each node lies: 0 for a child of the root."""
    found: list[int] = []
    for p in parents:
        found.append(0 if p < 0 else found[p] + 1)
    return found


def children(parents: Sequence[int], node: int) -> tuple[int, ...]:
    """The children of `node`, -1 for the root's, in order."""
    return tuple(i for i, p in enumerate(parents) if p == node)


def trunk(parents: Sequence[int]) -> int:
    """How many nodes at the front are a chain from the root: what a cache may keep as text."""
    return next((i for i, p in enumerate(parents) if p != i - 1), len(parents))


def prefixes(prefix: Sequence[int], ids: Sequence[int], parents: Sequence[int] | None) -> list[list[int]]:
    """The texts that the k + 1 rows of a draft follow: `prefix`, then `prefix` with the path to each node. `parents`
    None is a chain."""
    text = [*prefix]
    if parents is None:
        return [[*text, *ids[:i]] for i in range(len(ids) + 1)]
    return [text, *([*text, *(ids[j] for j in path(parents, i))] for i in range(len(ids)))]


def distances(past: int, chain: int, parents: Sequence[int] = ()) -> np.ndarray:
    """How far back each token lies that a new one might look at, int64, (n, past + n); negative: it must not look.

    The n new tokens are `chain` tokens one after the other, the last of which is the root, and then the nodes. A node
    looks at all before the root, and along its own path.
    """
    at = np.concatenate([past + np.arange(chain), past + chain + np.asarray(depths(parents), np.int64)])
    found = at[:, None] - np.concatenate([np.arange(past), at])
    first = past + chain
    for i in range(len(parents)):
        others = np.ones(len(parents), bool)
        others[list(path(parents, i))] = False
        found[chain + i, first:][others] = -1
    return found
