"""Trees of draft tokens: grown best-first from any drafter that has a distribution, or merged from several chains.

The best-first tree is EAGLE-2's (Li et al. 2024, section 4.1) with one node at a time: of all tokens that might be
added the one with the greatest product of q along its path, which is the greatest expected number of accepted tokens
where q is the chance of acceptance.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

import torch

from fastllm.drafters.base import DistributionSession, Draft, Drafter, DrafterSession
from fastllm.drafters.pair import PairDrafter
from fastllm.drafters.relay import logits_of
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler, distribution, draw
from fastllm.source import Source
from fastllm.trees import children
from fastllm.verify import residual


def grow(
    session: DrafterSession,
    sampler: Sampler,
    prefix: Sequence[int],
    depth: int,
    nodes: int,
    width: int,
    drawn: bool,
    least: float = 0.0,
) -> Draft:
    """A tree after `prefix` of at most `nodes` nodes, none deeper than `depth` tokens, none with more than `width`
    children. A drafter without a distribution gives its chain.

    Args:
        drawn: draw the children from q without replacement, and say so in ``Draft.q``; else they are its likeliest
            tokens, chosen with certainty. Greedy, there is nothing to draw.
        least: a node whose path has a smaller product of q is not added, and of a tree that is drawn gets no children:
            that is decided before any of them is drawn.
    """
    if isinstance(session, TrieSession):
        return session.trie(prefix, depth, nodes, least)
    if not isinstance(session, DistributionSession):
        draft = session.propose(prefix, min(depth, nodes))
        return _with_parents(draft, range(-1, len(draft.ids) - 1))
    if (depth := min(depth, session.room(prefix))) < 1:
        return _with_parents(Draft(()), ())
    grown = _Growing(session, sampler, prefix, depth, least)
    return grown.drawn(nodes, width) if drawn and not sampler.settings.greedy else grown.likely(nodes, width)


def _with_parents(draft: Draft, parents: Sequence[int]) -> Draft:
    return Draft(draft.ids, draft.q, draft.view, draft.by, draft.unsure, draft.calls, tuple(parents))


class _Growing:
    """A tree that grows: parallel lists of its nodes, in the order in which they came."""

    def __init__(
        self, session: DistributionSession, sampler: Sampler, prefix: Sequence[int], depth: int, least: float
    ) -> None:
        self._session, self._sampler, self._prefix, self._depth = session, sampler, list(prefix), depth
        self._least, self._unsure = least, False
        self._ids: list[int] = []
        self._parents: list[int] = []
        self._paths: list[list[int]] = []  # tokens from the root to each node
        self._logits: list[torch.Tensor] = []  # where each node was chosen
        self._q: list[torch.Tensor] = []
        self._calls = 0

    def _look(self, node: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The drafter's logits after a node (-1: the root), and its distribution there, both (vocabulary,).

        Greedy, the distribution that is drawn from is one-hot and says nothing of the second best: then it is the
        softmax.
        """
        text = self._prefix + (self._paths[node] if node >= 0 else [])
        self._calls += 1
        logits = self._session.next_logits(text)
        masked = self._sampler.masked(logits[None], text)[0]
        greedy = self._sampler.settings.greedy
        return logits, masked.softmax(-1) if greedy else distribution(masked, self._sampler.settings)

    def _add(self, parent: int, token: int, logits: torch.Tensor) -> int:
        self._ids.append(token)
        self._parents.append(parent)
        self._paths.append([*(self._paths[parent] if parent >= 0 else []), token])
        self._logits.append(logits)
        return len(self._ids) - 1

    def _ends(self, chance: float) -> bool:
        """Whether the likeliest path that is left is not worth a node; the draft then says that it was unsure."""
        self._unsure = chance < self._least
        return self._unsure

    def _open(self, node: int) -> bool:
        """Whether a node may have children."""
        return node < 0 or (self._ids[node] not in self._sampler.eos_ids and len(self._paths[node]) < self._depth)

    def likely(self, nodes: int, width: int) -> Draft:
        """`nodes` times the candidate whose path is the most probable."""
        # minus the path's probability, a number that settles ties, parent, token, logits at the parent.
        heap: list[tuple[float, int, int, int, torch.Tensor]] = []
        number = itertools.count()

        def offer(node: int, chance: float) -> None:
            logits, q = self._look(node)
            best, tokens = q.topk(min(width, len(q)))
            for x, token in zip(best.tolist(), tokens.tolist(), strict=True):
                if x > 0:
                    heapq.heappush(heap, (-chance * x, next(number), node, token, logits))

        if self._depth > 0:
            offer(-1, 1.0)
        while heap and len(self._ids) < nodes:
            minus, _, parent, token, logits = heapq.heappop(heap)
            if self._ends(-minus):
                break
            node = self._add(parent, token, logits)
            if self._open(node) and len(self._ids) < nodes:
                offer(node, -minus)
        return self._draft(False)

    def drawn(self, nodes: int, width: int) -> Draft:
        """Of all nodes without children, up to `width` are drawn for the one whose path is the most probable.

        How many children a node gets is decided before any of them is drawn, so that no token is dropped for what it
        is: that would change what the others were drawn from.
        """
        heap: list[tuple[float, int]] = [(-1.0, -1)] if self._depth > 0 else []
        while heap and len(self._ids) < nodes:
            minus, parent = heapq.heappop(heap)
            if self._ends(-minus):
                break
            logits, q = self._look(parent)
            whole = q
            for _ in range(min(width, nodes - len(self._ids), int((q > 0).sum()))):
                token = draw(q, self._sampler.uniform(1)[0])
                node = self._add(parent, token, logits)
                self._q.append(q)
                if self._open(node):
                    heapq.heappush(heap, (minus * float(whole[token]), node))
                q = without(q, token)
        return self._draft(True)

    def _draft(self, drawn: bool) -> Draft:
        """The nodes depth first, so that the likeliest chain stands first and a cache can keep it."""
        order: list[int] = []
        todo = [-1]
        while todo:
            if (node := todo.pop()) >= 0:
                order.append(node)
            todo += reversed(children(self._parents, node))
        place = {node: i for i, node in enumerate(order)} | {-1: -1}
        return Draft(
            ids=tuple(self._ids[i] for i in order),
            q=torch.stack([self._q[i] for i in order]) if drawn and order else None,
            view=(lambda: torch.stack([self._logits[i] for i in order])) if order else None,
            unsure=self._unsure,
            calls=self._calls,
            parents=tuple(place[self._parents[i]] for i in order),
        )


def without(q: torch.Tensor, token: int) -> torch.Tensor:
    """q, shape (vocabulary,), without `token`, renormalised; q itself where nothing else is left (Chen et al. 2024,
    Sequoia, Algorithm 2)."""
    gone = torch.zeros_like(q)
    gone[token] = q[token]
    return residual(q, gone)


class TrieSession(DrafterSession):
    """Two sessions over one sampler, whose chains are laid over each other (SpecInfer's merged trees)."""

    def __init__(self, sessions: Sequence[DrafterSession], names: Sequence[str], sampler: Sampler) -> None:
        self._sessions, self._names, self._sampler = sessions, names, sampler

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """The first drafter's chain, for whoever asks for one."""
        return self._sessions[0].propose(prefix, gamma, lengths)

    def trie(self, prefix: Sequence[int], depth: int, nodes: int, least: float = 0.0) -> Draft:
        """Both chains, their common beginning once, place by place until there are `nodes`.

        However a token was found, it is tested as one that was chosen with certainty: the target's own draw is
        followed where it stands in the tree, which is exact for any tree. So a drafter with a distribution gives its
        likeliest chain, of which more is kept then than of one that it drew.
        """
        chains = [grow(s, self._sampler, prefix, depth, depth, 1, False, least) for s in self._sessions]
        found: dict[tuple[int, ...], tuple[int, int]] = {}  # path -> whose chain, place in it
        for place in range(depth):
            for who, chain in enumerate(chains):
                if place < len(chain.ids) and len(found) < nodes:
                    found.setdefault(chain.ids[: place + 1], (who, place))
        # A chain stays together: depth first, the first drafter's branch before the other's.
        order = sorted(found, key=lambda line: [found[line[: i + 1]][0] for i in range(len(line))])
        index = {line: i for i, line in enumerate(order)}

        def view() -> torch.Tensor:
            rows = logits_of(chains)
            return torch.stack([rows[who][place] for who, place in (found[line] for line in order)])

        return Draft(
            ids=tuple(line[-1] for line in order),
            view=view if order and any(c.view for c in chains) else None,
            by=tuple(self._names[found[line][0]] for line in order),
            unsure=len(found) < nodes and any(c.unsure for c in chains),
            calls=sum(c.calls for c in chains),
            parents=tuple(index.get(line[:-1], -1) for line in order),
        )


class TrieDrafter(PairDrafter):
    """Two drafters at once: ``lookup-and-lstm``."""

    branches = True

    def __init__(self, first: Drafter, second: Drafter) -> None:
        super().__init__(first, second, f"{first.name}-and-{second.name}", f"{first.title} and {second.title} at once")

    def open(self, source: Source, sampler: Sampler) -> TrieSession:
        sessions = self.first.open(source, sampler), self.second.open(source, sampler)
        return TrieSession(sessions, (self.first.name, self.second.name), sampler)
