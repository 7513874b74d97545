"""How a drafter can be taught, as data: which texts, which loss, how much of its own text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from train.losses import DIVERGENCES

Texts = Literal["highlights", "pseudo"]


@dataclass(frozen=True)
class Recipe:
    """One way to teach a drafter.

    Attributes:
        texts: reference summaries, or what the target says of the articles.
        loss: ``ce`` on the text's own tokens, ``imitate`` cross-entropy on the target's most probable token, or a
            divergence to the target's distribution: ``kl``, ``rkl``, ``js``, ``tvd``.
        on_policy: share of batches whose text the drafter draws itself; their answers are always the target's.
        temperature: of p and q inside a divergence.
        source: where it comes from.
    """

    name: str
    texts: Texts
    loss: str
    on_policy: float = 0.0
    temperature: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        if self.loss not in ("ce", "imitate", *DIVERGENCES):
            raise ValueError(f"There is no loss {self.loss!r}: give ce, imitate, {', '.join(DIVERGENCES)}.")
        if not (0 <= self.on_policy <= 1 and 0 < self.temperature < math.inf):
            raise ValueError("The share of own texts lies between 0 and 1, and a temperature above 0.")
        if self.on_policy and self.loss == "ce":
            raise ValueError("The drafter's own text has no reference: take imitate or a divergence.")

    @property
    def needs_teacher(self) -> bool:
        """Whether the target's distributions over the texts are needed."""
        return self.loss != "ce"


RECIPES = {
    r.name: r
    for r in (
        Recipe("baseline", "highlights", "ce", source="maximum likelihood"),
        Recipe("seqkd", "pseudo", "ce", source="sequence-level KD, Kim & Rush 2016"),
        Recipe("kl", "pseudo", "kl", source="word-level KD, Hinton et al. 2015, Kim & Rush 2016"),
        Recipe("rkl", "pseudo", "rkl", source="reverse KL, Gu et al. 2023"),
        Recipe("js", "pseudo", "js", source="f-distill, Wen et al. 2023"),
        Recipe("tvd", "pseudo", "tvd", source="TVD, Wen et al. 2023, Zhou et al. 2023"),
        Recipe("imitkd", "pseudo", "imitate", 0.5, source="ImitKD, Lin et al. 2020"),
        Recipe("gkd", "pseudo", "js", 0.5, source="on-policy GKD, Agarwal et al. 2023"),
        Recipe("distillspec", "pseudo", "kl", 0.5, source="DistillSpec, Zhou et al. 2023"),
    )
}
