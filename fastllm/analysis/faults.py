"""What the lab can judge drafts with: the rules as they are, and ways to break each, as mistakes in programs do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from fastllm.rules import RULES
from fastllm.rules.bild import bild
from fastllm.rules.block import block
from fastllm.rules.follow import follow
from fastllm.sampling import draw, one_hot
from fastllm.verify import Verdict, residual, verify


def keeps_with_the_weight(
    draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, u: Sequence[float], eos_ids: Sequence[int] = ()
) -> Verdict:
    """Block verification where each prefix passes with chance w_i, as the whole draft does, instead of h_i (Sun et al.
    2024, Algorithm 2). Arguments and shapes are those of :func:`fastllm.verify.verify`."""
    verdict = block(draft, p, q, u, eos_ids)
    weights = [1.0]
    for x, y in zip(verdict.p, verdict.q, strict=True):
        weights.append(min(1.0, weights[-1] * x / y))
    kept = max((i + 1 for i in range(len(draft)) if u[i] < weights[i + 1]), default=0)
    if kept == verdict.accepted:
        return verdict
    verdict = replace(verdict, accepted=kept, chances=tuple(weights[1:]))
    if kept == len(draft):
        ended = draft[-1] in eos_ids
        return replace(verdict, token=None if ended else draw(p[kept], u[-1]), kind=None if ended else "bonus")
    return _resampled_alike(replace(verdict, kind="resampled"), draft, p, q, u)


def keeps_the_first_that_passes(
    draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, u: Sequence[float], eos_ids: Sequence[int] = ()
) -> Verdict:
    """Block verification that stops at the first prefix that does not pass, as the token rule does. Arguments and
    shapes are those of :func:`fastllm.verify.verify`."""
    verdict = block(draft, p, q, u, eos_ids)
    kept = next((i for i, h in enumerate(verdict.chances) if u[i] >= h), len(draft))
    if kept == verdict.accepted:
        return verdict
    return _resampled_alike(replace(verdict, accepted=kept, kind="resampled"), draft, p, q, u)


def _resampled_alike(
    verdict: Verdict, draft: Sequence[int], p: torch.Tensor, q: torch.Tensor | None, u: Sequence[float]
) -> Verdict:
    """`verdict` with its resampled token, if any, drawn from norm(max(0, p - q))."""
    i = verdict.accepted
    if i == len(draft):
        return verdict
    row = one_hot([draft[i]], p.shape[1])[0] if q is None else q[i]
    return replace(verdict, token=draw(residual(p[i], row), u[-1]))


def not_renormalised(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """max(0, p - q), all of shape (vocabulary,), its sum below 1; p where that is 0 everywhere."""
    rest = (p - q).clamp_min(0.0)
    return rest if float(rest.sum()) > 0 else p


@dataclass(frozen=True)
class Fault:
    """A position of the lab's switch: a rule as it is, or one way to break it.

    Attributes:
        key, title: its key, and its name on the switch.
        why: why the text is the target's, or no longer the target's.
        judge: called as :func:`fastllm.verify.verify` is.
        right: whether nothing is broken: the text is the target's.
        least: fewest tokens and shortest draft with which the fault shows.
        width: siblings at each place of the draft; above 1 drafts are trees, and `judge` takes ``parents``.
        int8: whether the target itself is the broken part: its products are int8, with one scale a call.
    """

    key: str
    title: str
    why: str
    judge: Callable[..., Verdict] = verify
    right: bool = False
    least: int = 1
    width: int = 1
    int8: bool = False


FAULTS: dict[str, Fault] = {
    f.key: f
    for f in (
        Fault(
            "none",
            "The rule as it is",
            "Accepting with chance min(1, p/q) and resampling from norm(max(0, p − q)) adds up to exactly p.",
            right=True,
        ),
        Fault(
            "argmax",
            "Draft the argmax, call it softmax",
            "The drafter always proposes its favourite token, but the rule divides by q as if it had been drawn from "
            "q: the favourite gets tested every time instead of in a share q of the times, and so comes out too often.",
        ),
        Fault(
            "no-residual",
            "Skip the residual",
            "After a rejection the token is drawn from p instead of norm(max(0, p − q)): what the drafter proposes "
            "more often than the target wants has had its full share already, and now gets a second chance.",
        ),
        Fault(
            "same-seed",
            "Re-use the seed",
            "The generator is set back before each draw, so that drafting, testing and resampling read the same random "
            "number: which token was drafted already decides whether it is accepted, and the chance p/q is gone.",
        ),
        Fault(
            "block",
            "Block verification as it is",
            "Judging the draft as a whole and resampling from norm(max(0, w p − q)), where w is what the kept tokens "
            "have left of their chance, adds up to exactly p as well, and keeps more tokens.",
            RULES["block"].judge,
            right=True,
        ),
        Fault(
            "block-weight",
            "Block: keep with w",
            "Each prefix gets a test with its whole chance w, and one that failed is saved by any longer one that "
            "passes: so many chances add up to more than the drafter's favourites may have.",
            keeps_with_the_weight,
            least=2,
        ),
        Fault(
            "block-first",
            "Block: stop at the first failure",
            "The block's chances count on looking further after a prefix that does not pass: to stop there refuses "
            "tokens that a later prefix would have saved.",
            keeps_the_first_that_passes,
            least=2,
        ),
        Fault(
            "siblings",
            "Tree of drawn branches as it is",
            "Two guesses stand at each place, the second drawn from q without the first, and it is tested against what "
            "the first left of p, both renormalised: that adds up to exactly p, and keeps more.",
            follow,
            right=True,
            width=2,
        ),
        Fault(
            "siblings-rest",
            "Tree: forget to renormalise",
            "After a refused guess the next one is tested against max(0, p − q) as it stands, which no longer adds up "
            "to 1: it is refused too often, and what is left to draw from is out of proportion.",
            partial(follow, left_by=not_renormalised),
            width=2,
        ),
        Fault(
            "int8",
            "An int8 target whose p sees the draft",
            "The rule is right, but the target rounds its activations to 127 steps of the largest one among all tokens "
            "that it scores together. So p after the same text is one thing alone and another beside a draft, and what "
            "is accepted was tested against a p that the target alone does not have.",
            int8=True,
        ),
        Fault(
            "bild",
            "Big Little Decoder, 1 nat (lossy)",
            "A draft token stays wherever the target gives it e⁻¹ or more, and otherwise the target's favourite takes "
            "its place: no chance is left in it, so this is for greedy decoding, and there too it changes the text.",
            partial(bild, rollback=1.0),
        ),
    )
}
