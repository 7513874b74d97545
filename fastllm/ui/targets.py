"""The Target menu: what can be run on this machine, what could be had and how, and which one a visitor has chosen.

A target is loaded when it is first chosen, once per process, and shared by all visitors.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastllm.config import PRESETS, TargetPreset
from fastllm.targets.base import Target
from fastllm.targets.sources import at_hand, how_to_get
from fastllm.ui import models


@dataclass(frozen=True)
class Offer:
    """A line of the Target menu.

    Attributes:
        name: preset, folder or hub name.
        title: for people.
        here: whether it can be loaded without any network.
        how: where it is not, what to do.
    """

    name: str
    title: str
    here: bool
    how: str = ""


def offers(started: TargetPreset) -> list[Offer]:
    """The target that the page was started with, then every other preset. Looked up anew each time: a model may have
    come meanwhile (``make demo`` fetches one while the page is up)."""
    found = [Offer(started.asked, started.title, True)]
    for preset in PRESETS.values():
        if preset.name != started.name:
            here = at_hand(preset)
            found.append(Offer(preset.name, preset.title, here, "" if here else how_to_get(preset)))
    return found


class Targets:
    """The targets of one page.

    Attributes:
        first: the one that the page was started with, loaded.
        name: what the menu calls it.
    """

    def __init__(self, first: Target) -> None:
        self.first, self.name = first, first.preset.asked
        self._loaded = {self.name}

    def offers(self) -> list[Offer]:
        """The menu's lines as of now."""
        return offers(self.first.preset)

    def choices(self) -> list[tuple[str, str]]:
        """The menu's lines as words and values; what is not here says so."""
        return [(o.title if o.here else f"{o.title} (not here yet)", o.name) for o in self.offers()]

    def offer(self, name: object) -> Offer:
        """The menu's line of that value.

        Raises:
            ValueError: it is not in the menu, or not on this machine, with what to do to have it.
        """
        found = next((o for o in self.offers() if o.name == name), None)
        if found is None:
            raise ValueError(f"There is no target {str(name)[:60]!r}: choose one of the menu.")
        if not found.here:
            raise ValueError(f"The target {found.name} is not on this machine. {found.how}")
        return found

    def ready(self, name: object) -> bool:
        """Whether :meth:`of` gives it at once."""
        return name in (None, "") or name in self._loaded

    def of(self, name: object) -> Target:
        """The target of the menu's value, loaded when it is first asked for; the first one where there is no value.

        Raises:
            ValueError: as :meth:`offer`, or it cannot be loaded.
        """
        if name in (None, "", self.name):
            return self.first
        if not self.ready(name):
            name = self.offer(name).name
        target = models.get_target(str(name))
        self._loaded.add(str(name))
        return target
