"""How long a draft may get: policies by name. To add one: a class, a line in LENGTHS. Plain objects, no model.

The one rule that keeps every policy lossless: a token may be refused a place *before* it is drawn, from the drafter's
distribution alone, or be the last one *after* it was drawn, and then it stays. A policy that draws a token, looks at it
and drops it changes what the drafter sampled from, and with it the text (tests/test_lengths.py shows by how much).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

import torch

from fastllm.config import MAX_GAMMA, Settings
from fastllm.trace import Step, Trace


class Lengths:
    """A constant draft length; base of the policies.

    Attributes:
        asks: whether :meth:`before` and :meth:`after` look at the distribution, which costs one softmax a token.
        least: the least product of q along its path that a node of a draft tree must have to be grown.
    """

    asks = False
    least = 0.0

    def __init__(self, gamma: int, threshold: float) -> None:
        self.cap, self.threshold = gamma, threshold

    def limit(self) -> int:
        """The most tokens that this step's draft may have; asked once, before it begins."""
        return self.cap

    def before(self, probs: torch.Tensor) -> bool:
        """Whether to draft a token here at all; `probs`, shape (vocabulary,): the drafter's softmax at temperature 1,
        forbidden tokens left out."""
        return True

    def after(self, probs: torch.Tensor, token: int) -> bool:
        """Whether to go on after `token`, which was drawn and stays; `probs` as in :meth:`before`."""
        return True

    def learn(self, drafted: int, accepted: int) -> None:
        """What became of a draft: numbers of its tokens, of which the first `accepted` were kept."""


class Heuristic(Lengths):
    """transformers' schedule: two more after a draft that was accepted whole, else one less, at least 1."""

    def learn(self, drafted: int, accepted: int) -> None:
        if drafted:
            self.cap = min(MAX_GAMMA, self.cap + 2) if accepted == drafted else max(1, self.cap - 1)


class Confidence(Lengths):
    """Stop after a token whose probability is below the threshold (transformers, after DISCO, Mamou et al. 2024)."""

    asks = True

    def after(self, probs: torch.Tensor, token: int) -> bool:
        return float(probs[token]) >= self.threshold


class Cumulative(Lengths):
    """Stop before a token where the product of q along the draft, the likeliest token next, is below the threshold.

    Where q is the chance of acceptance, that product is the chance that a token is kept, since none is behind a refused
    one; what it must be worth is the price of one more row in the target's call. Huang et al. 2024 (SpecDec++, theorem
    3.1): the best policy compares the chance that nothing was refused yet with a threshold; theirs is foretold by a
    trained head. A tree grows its nodes in the order of the same product (EAGLE-2, Li et al. 2024, section 4.1).
    """

    asks = True

    def __init__(self, gamma: int, threshold: float) -> None:
        super().__init__(gamma, threshold)
        self.least = threshold
        self._chance = 1.0

    def limit(self) -> int:
        self._chance = 1.0
        return self.cap

    def before(self, probs: torch.Tensor) -> bool:
        return self._chance * float(probs.max()) >= self.threshold

    def after(self, probs: torch.Tensor, token: int) -> bool:
        self._chance *= float(probs[token])
        return True


# Draft & Verify's adaptive exit (Zhang et al. 2023, section 3.3): the acceptance it steers towards, its step.
_WANTED, _STEP = 0.9, 0.1


class Exit(Confidence):
    """:class:`Confidence` whose threshold is steered until nine tenths of the drafted tokens are accepted.

    r = (r + accepted / k) / 2; th' = th + e where r is below a, else th - e, unchanged after a full draft;
    th = .9 th + .1 th'. The paper's e is .01, which moves nothing within one summary: here it is .1.
    """

    def __init__(self, gamma: int, threshold: float) -> None:
        super().__init__(gamma, threshold)
        self._rate = _WANTED

    def learn(self, drafted: int, accepted: int) -> None:
        if not drafted:
            return
        self._rate = (self._rate + accepted / drafted) / 2
        if self._rate < _WANTED:
            self.threshold += 0.1 * _STEP
        elif drafted < self.cap:
            self.threshold -= 0.1 * _STEP
        self.threshold = min(1.0, max(0.0, self.threshold))


# AdaEDL's factor of the entropy (Agrawal et al. 2024).
_GAIN = 0.2


class Entropy(Lengths):
    """Stop before a token where 1 - sqrt(.2 H(q)), a lower bound of its acceptance (AdaEDL, Agrawal et al. 2024; H in
    nats), is below the threshold."""

    asks = True

    def before(self, probs: torch.Tensor) -> bool:
        entropy = max(0.0, float(torch.special.entr(probs).sum()))
        return 1 - math.sqrt(_GAIN * entropy) >= self.threshold


class Fallback(Lengths):
    """Hand over before a token where no token reaches the threshold (Big Little Decoder, Kim et al. 2023)."""

    asks = True

    def before(self, probs: torch.Tensor) -> bool:
        return float(probs.max()) >= self.threshold


@dataclass(frozen=True)
class Length:
    """A policy in the table: name, two sentences for people, how to make it, and its threshold where it has one.

    ``trees``: it can say where a draft tree ends, too. ``carried``: the threshold is learnt, and slowly: where none was
    asked for, a run begins with what the last one with the same drafter left (:class:`Carried`).
    """

    key: str
    title: str
    about: str
    make: Callable[[int, float], Lengths]
    threshold: float | None = None
    carried: bool = False
    trees: bool = False


LENGTHS: dict[str, Length] = {
    x.key: x
    for x in (
        Length(
            "constant", "Constant", "Every draft has gamma tokens. Nothing is asked or learnt.", Lengths, trees=True
        ),
        Length(
            "heuristic",
            "By success",
            "A draft that was accepted whole makes the next one two tokens longer, any other one token shorter. It "
            "begins with gamma.",
            Heuristic,
        ),
        Length(
            "confidence",
            "While confident",
            "Drafting ends after a token that the drafter gave less than the threshold. Gamma is the most.",
            Confidence,
            0.4,
        ),
        Length(
            "cumulative",
            "While likely",
            "Drafting ends before a token that the whole draft makes unlikely: where the product of the drafter's "
            "probabilities, from the draft's first token on, falls below the threshold. Gamma is the most.",
            Cumulative,
            0.15,
            trees=True,
        ),
        Length(
            "entropy",
            "While certain",
            "Drafting ends before a token where the drafter's entropy promises too little acceptance. Gamma is the "
            "most.",
            Entropy,
            0.3,
        ),
        Length(
            "exit",
            "Steered exit",
            "As with confidence, but the threshold is moved after every draft until nine tenths of the tokens are "
            "accepted; the next article begins with what this one learnt. Gamma is the most.",
            Exit,
            0.6,
            carried=True,
        ),
        Length(
            "bild",
            "Fallback",
            "The drafter hands over to the target where its best token has less than the threshold. Gamma is the most.",
            Fallback,
            0.6,
        ),
    )
}


def lengths_named(spec: str, gamma: int) -> Lengths:
    """A fresh policy: `spec` is a name, or a name and a threshold: ``constant``, ``confidence:0.4``.

    Raises:
        ValueError: no such name, no threshold where one stands, or none in [0, 2].
    """
    name, colon, text = spec.partition(":")
    if name not in LENGTHS:
        raise ValueError(f"There is no draft length policy {spec!r}: give one of {', '.join(LENGTHS)}.")
    kind = LENGTHS[name]
    if not colon:
        return kind.make(gamma, kind.threshold or 0.0)
    try:
        threshold = float(text) if kind.threshold is not None else math.nan
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 2:
        wanted = "takes no threshold" if kind.threshold is None else "takes a threshold from 0 to 2"
        raise ValueError(f"The draft length policy {name!r} {wanted}, not {text!r}: call it as in '{_example(kind)}'.")
    return kind.make(gamma, threshold)


def _example(kind: Length) -> str:
    return kind.key if kind.threshold is None else f"{kind.key}:{kind.threshold:g}"


def grows_trees(spec: str) -> bool:
    """Whether the policy of that spec can say where a draft tree ends; what there is none of is told elsewhere."""
    kind = LENGTHS.get(spec.partition(":")[0])
    return kind is None or kind.trees


def lengths_of(settings: Settings) -> Lengths:
    """The policy that `settings` ask for, as at the beginning of a run.

    Raises:
        ValueError: as :func:`lengths_named`.
    """
    return lengths_named(settings.lengths, settings.gamma)


def threshold_after(lengths: str, gamma: int, steps: Iterable[Step]) -> float:
    """The threshold that a run with the policy `lengths` ends with: a policy learns from its drafts alone, so the steps
    tell it again."""
    policy = lengths_named(lengths, gamma)
    for step in steps:
        policy.learn(len(step.draft), step.accepted)
    return policy.threshold


class Carried:
    """Thresholds that runs left for the next ones, as Draft & Verify's script carries them from article to article.

    They are kept outside the decode loop, and a run that begins with one says so in its settings, and so in its trace:
    it is repeated by these settings alone.
    """

    def __init__(self) -> None:
        self._left: dict[Hashable, float] = {}

    def begin(self, settings: Settings, who: Hashable) -> Settings:
        """`settings` with the threshold that the run begins with, where it is carried and none was asked for.

        Args:
            who: whose threshold it is: target and drafter.
        """
        kind = LENGTHS.get(settings.lengths)
        if kind is None or not kind.carried:
            return settings
        return replace(settings, lengths=f"{kind.key}:{self._left.get(who, kind.threshold or 0.0):.4f}")

    def end(self, asked: Settings, who: Hashable, trace: Trace) -> float | None:
        """Keep what `trace` learnt, a run that was begun here with the settings `asked`, and return it; None where
        nothing is carried."""
        kind = LENGTHS.get(asked.lengths)
        if kind is None or not kind.carried:
            return None
        self._left[who] = left = threshold_after(trace.lengths, asked.gamma, trace.steps)
        return left
