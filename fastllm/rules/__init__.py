"""Acceptance rules by name. To add one: a file with a function called as :func:`fastllm.verify.verify` is, a line here.

A rule says which tokens of a draft are kept and what the target adds after them. It knows no model and no drafter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastllm.config import Settings
from fastllm.lengths import LENGTHS, grows_trees
from fastllm.rules.bild import bild
from fastllm.rules.block import block
from fastllm.rules.follow import follow
from fastllm.rules.follow import overlaps as overlaps_of_siblings
from fastllm.verify import Verdict, overlaps, verify


@dataclass(frozen=True)
class Rule:
    """One way to judge a draft.

    Attributes:
        key: its name in settings, traces and on the command line.
        about: what it does, in two sentences for people.
        lossless: whether the text stays the target's own, or one of its distribution.
        judge: called with draft, p, q, u, eos_ids.
        soft: whether `judge` also takes ``soft``, the target's probabilities before temperature and the argmax (shape
            of p), and ``rollback``, in nats; such a rule is for greedy decoding only.
        rollback: the usual threshold of such a rule, in nats.
        lengths: the draft length policy that it was published with, or "".
        certain: whether `judge` also takes ``certain``, where the rows of a greedy p are one-hot.
        tree: whether drafts branch, and `judge` also takes ``parents`` (fastllm/trees.py).
        drawn: whether the branches of a tree are drawn from q, not its likeliest tokens.
        overlaps: beta of each token that was tested, of draft, p, q, the verdict and parents: for watchers only.
        tempered: whether traces hold what other temperatures had made of a token (fastllm/analysis/whatif.py).
    """

    key: str
    title: str
    about: str
    lossless: bool
    judge: Callable[..., Verdict]
    soft: bool = False
    rollback: float = 0.0
    lengths: str = ""
    certain: bool = False
    tree: bool = False
    drawn: bool = False
    overlaps: Callable[..., tuple[float, ...]] = overlaps
    tempered: bool = False

    def threshold(self, asked: float | None) -> float:
        """The rollback threshold of a run: `asked`, or the usual one; 0 for a rule that has none."""
        return self.rollback if asked is None or not self.soft else asked


RULES: dict[str, Rule] = {
    r.key: r
    for r in (
        Rule(
            "token",
            "Token by token",
            "Each draft token is kept with chance min(1, p/q), and the first refused one is replaced from what the "
            "drafter proposes too seldom (Leviathan et al. 2023). The text is exactly the target's.",
            True,
            verify,
            certain=True,
            tempered=True,
        ),
        Rule(
            "block",
            "Block verification",
            "The draft is judged as a whole, so that a token which would be refused alone can be saved by the ones "
            "after it (Sun et al. 2024). It keeps at least as many tokens on average, and the text is still exactly "
            "the target's; greedy decoding gains nothing.",
            True,
            block,
        ),
        Rule(
            "follow",
            "Tree of likely branches",
            "The drafter guesses several ways on at once, its likeliest ones, and the target scores the whole tree in "
            "one call and follows its own choice among them (Miao et al. 2023; Li et al. 2024). The text is exactly "
            "the target's; above temperature 0 drawn branches keep more.",
            True,
            follow,
            tree=True,
            overlaps=overlaps_of_siblings,
        ),
        Rule(
            "siblings",
            "Tree of drawn branches",
            "The branches are drawn from q, none twice, and each is tested against what those before it left of p "
            "(Chen et al. 2024). The text is exactly the target's; greedy decoding takes the likeliest branches.",
            True,
            follow,
            tree=True,
            overlaps=overlaps_of_siblings,
            drawn=True,
        ),
        Rule(
            "bild",
            "Big Little Decoder",
            "A draft token stays if the target does not find it too unlikely: -ln p at most the rollback threshold "
            "(Kim et al. 2023). The text is not the target's own, unless the threshold is 0.",
            False,
            bild,
            soft=True,
            rollback=2.0,
            lengths="bild",
        ),
    )
}


def rule_named(key: str) -> Rule:
    """The rule of that name.

    Raises:
        ValueError: there is none.
    """
    if key not in RULES:
        raise ValueError(f"There is no acceptance rule {key!r}: give one of {', '.join(RULES)}.")
    return RULES[key]


def rule_of(settings: Settings) -> Rule:
    """The rule that `settings` ask for.

    Raises:
        ValueError: there is none of that name, or it does not go with the temperature or the draft length policy.
    """
    rule = rule_named(settings.rule)
    if rule.soft and not settings.sampling.greedy:
        raise ValueError(f"The rule {rule.key!r} is for greedy decoding only: set the temperature to 0.")
    if rule.tree and not grows_trees(settings.lengths):
        kinds = " or ".join(repr(kind.key) for kind in LENGTHS.values() if kind.trees)
        raise ValueError(
            f"The rule {rule.key!r} grows trees, where the draft length policy {settings.lengths!r} cannot say which "
            f"token is the last: choose {kinds}."
        )
    return rule


def lossless(key: str, rollback: float = 0.0) -> bool:
    """Whether a run under the rule `key` is the target's own text. What is not known is not promised."""
    rule = RULES.get(key)
    return rule is not None and (rule.lossless or (rule.soft and rollback == 0))
