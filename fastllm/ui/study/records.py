"""Which targets something was recorded of, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastllm.config import ASSETS, PRESETS, TargetPreset
from fastllm.recorded import recorded_file
from fastllm.targets.base import Target


@dataclass(frozen=True)
class Records:
    """What was recorded of one target.

    Attributes:
        sha256: of its weights as the page has them; "" where the page has not loaded it.
        study, benchmark: files, which need not be there.
    """

    preset: TargetPreset
    sha256: str
    study: Path
    benchmark: Path

    @property
    def there(self) -> bool:
        """Whether there is anything to show."""
        return self.study.is_file() or self.benchmark.is_file()


def of(target: Target, folder: Path = ASSETS) -> list[Records]:
    """The records of all targets that there is something of, those of `target` first; where there is nothing at all,
    `target` alone."""
    own = target.preset.name
    found = []
    for name in (own, *(n for n in PRESETS if n != own)):
        study, benchmark = (recorded_file(kind, name, folder) for kind in ("study", "benchmark"))
        preset = target.preset if name == own else PRESETS[name]
        found.append(Records(preset, target.sha256 if name == own else "", study, benchmark))
    return [r for r in found if r.there] or found[:1]
