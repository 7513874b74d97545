"""Staged speculative decoding (Spector & Re 2023): a drafter whose own drafts are drafted by a far cheaper one.

Each token of the outer drafter's draft comes out distributed exactly as the outer q, because the inner round is the
ordinary rule with the outer drafter in the target's place. So q is the outer's, never the inner's, and the target's
test is unchanged. It pays where the outer call costs about the same for several tokens as for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastllm.drafters.base import Draft, Drafter, DrafterSession, ScoringSession
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.pair import PairDrafter
from fastllm.lengths import Lengths
from fastllm.sampling import Sampler, distribution
from fastllm.source import Source
from fastllm.verify import verify

# Tokens that the inner drafter proposes at once.
INNER_GAMMA = 4


class StagedSession(DrafterSession):
    """Sessions of both drafters over one sampler; neither needs to be told what to forget."""

    def __init__(self, outer: ScoringSession, inner: DrafterSession, names: tuple[str, str], sampler: Sampler) -> None:
        self._outer, self._inner, self._names, self._sampler = outer, inner, names, sampler

    def propose(self, prefix: Sequence[int], gamma: int, lengths: Lengths | None = None) -> Draft:
        """The outer's draft of up to `gamma` tokens; a length policy is asked row by row of each outer call."""
        greedy = self._sampler.settings.greedy
        asked = lengths if lengths and lengths.asks else None
        ids: list[int] = []
        by: list[str] = []
        rows: list[torch.Tensor] = []
        qs: list[torch.Tensor] = []
        calls, unsure = 0, False
        gamma = min(gamma, self._outer.room(prefix))
        while len(ids) < gamma and not unsure and not (ids and ids[-1] in self._sampler.eos_ids):
            text = [*prefix, *ids]
            room = min(INNER_GAMMA, gamma - len(ids) - 1)
            inner = self._inner.propose(text, room) if room else Draft(())
            logits = self._outer.score(text, inner.ids)
            calls += 1 + inner.calls
            masked = self._sampler.masked(logits, text, inner.ids)
            q = distribution(masked, self._sampler.settings)
            k = len(inner.ids)
            verdict = verify(inner.ids, q, inner.q, [0.0] * (k + 1) if greedy else self._sampler.uniform(k + 1),
                             self._sampler.eos_ids)  # fmt: skip
            new = [*inner.ids[: verdict.accepted], *(() if verdict.token is None else (verdict.token,))]
            probs = masked.softmax(-1) if asked else masked
            for i, token in enumerate(new):
                if asked and not asked.before(probs[i]):
                    unsure = True
                    break
                ids.append(token)
                by.append(self._names[i < verdict.accepted])
                rows.append(logits[i])
                qs.append(q[i])
                if asked and not asked.after(probs[i], token):
                    unsure = True
                    break
        if not ids:
            return Draft((), unsure=unsure, calls=calls)
        drawn = None if greedy else torch.stack(qs)
        return Draft(tuple(ids), drawn, lambda: torch.stack(rows), tuple(by), unsure, calls)


class StagedDrafter(PairDrafter):
    """`outer` drafts, `inner` drafts for it: ``t5+lookup``."""

    def __init__(self, outer: Drafter, inner: Drafter) -> None:
        """
        Raises:
            DrafterError: `outer` takes as long for several tokens as for each of them, so nothing could be gained.
        """
        if not outer.scores:
            raise DrafterError(
                f"{outer.name!r} drafts token by token, so nothing can draft for it: put a T5 or a language model "
                "before the +."
            )
        title = f"{outer.title}, drafted for by {inner.title}"
        super().__init__(outer, inner, f"{outer.name}+{inner.name}", title)

    def open(self, source: Source, sampler: Sampler) -> StagedSession:
        outer = self.first.open(source, sampler)
        assert isinstance(outer, ScoringSession)
        return StagedSession(outer, self.second.open(source, sampler), (self.first.name, self.second.name), sampler)
