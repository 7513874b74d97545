"""Drafters by name. To add one: a file with a Drafter, a line in DRAFTERS, a test.

A drafter is named ``family``, ``family:parameter``, or either with ``@variant``: ``lookup``, ``ngram:3``,
``ngram:3@baseline``. The variant says what it was trained on: ``distilled`` (the target's own summaries) or
``baseline`` (the reference summaries); left out, it is ``distilled`` where that is there, else ``baseline``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastllm.checkpoints import altered, file_sha256
from fastllm.drafters.base import Drafter
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.lookup import LookupDrafter
from fastllm.drafters.ngram import NgramDrafter

if TYPE_CHECKING:
    from fastllm.target import Target

DRAFTERS: dict[str, type[Drafter]] = {"ngram": NgramDrafter, "lookup": LookupDrafter}
VARIANTS = ("distilled", "baseline")
ORDERS = range(1, 6)

_SPEC = re.compile(r"(?P<family>[a-z0-9]+)(?::(?P<parameter>[a-z0-9]+))?(?:@(?P<variant>[a-z]+))?")


@dataclass(frozen=True)
class DrafterInfo:
    """A drafter that can be loaded for a target: how to ask for it, and what to tell people of it."""

    spec: str
    family: str
    title: str
    size_bytes: int


def load_drafter(target: Target, spec: str) -> Drafter:
    """The drafter `spec` for `target`.

    Raises:
        DrafterError: there is none of that name, it was made for another vocabulary, or its file is missing or altered.
    """
    found = _SPEC.fullmatch(spec.strip())
    if not found or found["family"] not in DRAFTERS:
        raise DrafterError(f"There is no drafter {spec!r}: give one of {', '.join(_known())}.")
    family, parameter, variant = found["family"], found["parameter"], found["variant"]
    if variant and variant not in VARIANTS:
        raise DrafterError(f"{spec!r} names no variant: give @{' or @'.join(VARIANTS)}, or leave it out.")
    if family == "lookup":
        if parameter or variant:
            raise DrafterError("The lookup drafter takes no parameter and no variant: call it 'lookup'.")
        return LookupDrafter(target.vocab_size)
    if not (parameter and parameter.isdigit() and int(parameter) in ORDERS):
        raise DrafterError(f"An n-gram drafter needs its order, 1 to 5, as in 'ngram:3'; {spec!r} has none that fits.")
    drafter = NgramDrafter.load(_ngram_file(target, int(parameter), variant), target.vocab_size)
    drafter.name = spec.strip()
    return drafter


def available(target: Target) -> list[DrafterInfo]:
    """What can be loaded for `target`, in the order in which to offer it: both variants where both are."""
    infos = [DrafterInfo("lookup", "lookup", LookupDrafter.title, 0)]
    if target.preset.drafters:
        for variant in VARIANTS:
            for order in ORDERS:
                file = Path(target.preset.drafters) / f"ngram-{variant}" / f"ngram-{order}.safetensors"
                if file.is_file():
                    title = f"N-gram, N = {order} ({variant})"
                    infos.append(DrafterInfo(f"ngram:{order}@{variant}", "ngram", title, file.stat().st_size))
    return infos


def _known() -> list[str]:
    return [*(f"ngram:{n}" for n in ORDERS), *sorted(set(DRAFTERS) - {"ngram"})]


def _ngram_file(target: Target, order: int, variant: str | None) -> Path:
    if not target.preset.drafters:
        raise DrafterError(
            f"No n-gram drafter has been trained for {target.preset.name}: run `python -m train ngram`, or use "
            "'lookup'."
        )
    folder = Path(target.preset.drafters)
    files = [folder / f"ngram-{v}" / f"ngram-{order}.safetensors" for v in ([variant] if variant else VARIANTS)]
    present = [f for f in files if f.is_file()]
    if not present:
        raise DrafterError(
            f"The n-gram drafter of order {order} is missing at {files[-1]}: restore the file, run `make checkpoints`, "
            "or use 'lookup'."
        )
    if altered(present[0]):
        raise DrafterError(
            f"{present[0]} has been altered: its hash {file_sha256(present[0])[:12]} is not the manifest's. Restore it "
            "from git, or run `make checkpoints`."
        )
    return present[0]
