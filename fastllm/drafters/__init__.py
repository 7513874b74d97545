"""Drafters by name. To add one: a file with a Drafter, a line in DRAFTERS, a test.

A drafter is named ``family``, ``family:parameter``, or either with ``@variant``: ``lookup``, ``ngram:3``, ``lstm``,
``ngram:3@baseline``, ``t5:google-t5/t5-small``. The variant says what it was trained on: ``distilled`` (what the target
says) or ``baseline`` (the reference summaries); left out, it is ``distilled`` where that is there, else ``baseline``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastllm.checkpoints import altered, file_sha256
from fastllm.drafters.base import Drafter
from fastllm.drafters.cnn import CnnDrafter
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.lookup import LookupDrafter
from fastllm.drafters.lstm import LstmDrafter
from fastllm.drafters.neural import CopyDrafter
from fastllm.drafters.ngram import NgramDrafter
from fastllm.drafters.t5 import T5Drafter

if TYPE_CHECKING:
    from fastllm.target import Target

DRAFTERS: dict[str, type[Drafter]] = {
    "ngram": NgramDrafter,
    "cnn": CnnDrafter,
    "lstm": LstmDrafter,
    "t5": T5Drafter,
    "lookup": LookupDrafter,
}
NEURAL = ("cnn", "lstm", "t5")  # families of one folder per variant
VARIANTS = ("distilled", "baseline")
ORDERS = range(1, 6)

_SPEC = re.compile(r"(?P<family>[a-z0-9]+)(?::(?P<parameter>[^@\s]+))?(?:@(?P<variant>[a-z]+))?")


@dataclass(frozen=True)
class DrafterInfo:
    """A drafter that can be loaded for a target: how to ask for it, and what to tell people of it.

    ``variant`` is "" where there is nothing to train.
    """

    spec: str
    family: str
    title: str
    size_bytes: int
    variant: str = ""


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
    if family == "ngram":
        if not (parameter and parameter.isdigit() and int(parameter) in ORDERS):
            raise DrafterError(
                f"An n-gram drafter needs its order, 1 to 5, as in 'ngram:3'; {spec!r} has none that fits."
            )
        drafter: Drafter = NgramDrafter.load(
            _weights(target, "ngram", f"ngram-{parameter}.safetensors", variant), target.vocab_size
        )
    elif family == "t5" and (where := parameter or _neural_drafter(target, variant)):
        if variant:
            raise DrafterError(f"A T5 drafter given by its place has no variant: leave {'@' + variant!r} out.")
        drafter = T5Drafter.load(where, target)
    elif parameter:
        raise DrafterError(f"The {family} drafter takes no parameter: call it '{family}' or '{family}@baseline'.")
    else:
        folder = _weights(target, family, "model.safetensors", variant).parent
        kind = DRAFTERS[family]
        drafter = kind.load(folder, target.vocab_size) if issubclass(kind, CopyDrafter) else kind.load(folder, target)
    drafter.name = spec.strip()
    return drafter


def available(target: Target) -> list[DrafterInfo]:
    """What can be loaded for `target`, in the order in which to offer it: both variants where both are."""
    infos = [DrafterInfo("lookup", "lookup", LookupDrafter.title, 0)]
    if target.preset.drafters:
        folder = Path(target.preset.drafters)
        for variant in VARIANTS:
            for order in ORDERS:
                file = folder / f"ngram-{variant}" / f"ngram-{order}.safetensors"
                if file.is_file():
                    title = f"N-gram, N = {order} ({variant})"
                    infos.append(DrafterInfo(f"ngram:{order}@{variant}", "ngram", title, file.stat().st_size, variant))
        for family in NEURAL:
            for variant in VARIANTS:
                file = folder / f"{family}-{variant}" / "model.safetensors"
                if file.is_file():
                    title = f"{DRAFTERS[family].title} ({variant})"
                    infos.append(DrafterInfo(f"{family}@{variant}", family, title, file.stat().st_size, variant))
    if name := target.preset.neural_drafter:
        infos.append(DrafterInfo("t5", "t5", f"T5 ({name})", 0))
    return infos


def _known() -> list[str]:
    return [*(f"ngram:{n}" for n in ORDERS), *sorted(set(DRAFTERS) - {"ngram"})]


def _neural_drafter(target: Target, variant: str | None) -> str | None:
    """The hub's T5 drafter of a preset, unless one trained here is there or asked for."""
    folder = target.preset.drafters
    here = folder and any((Path(folder) / f"t5-{v}" / "model.safetensors").is_file() for v in VARIANTS)
    return None if variant or here else target.preset.neural_drafter


def _weights(target: Target, family: str, name: str, variant: str | None) -> Path:
    """The weights `name` in the folder of `family`: as its variant says, or of the first variant that is there."""
    step = "ngram" if family == "ngram" else f"drafter --family {family}"
    if not target.preset.drafters:
        raise DrafterError(
            f"No {family} drafter has been trained for {target.preset.name}: run `python -m train {step}`, or use "
            "'lookup'."
        )
    folder = Path(target.preset.drafters)
    files = [folder / f"{family}-{v}" / name for v in ([variant] if variant else VARIANTS)]
    present = [f for f in files if f.is_file()]
    if not present:
        raise DrafterError(
            f"The {family} drafter is missing at {files[-1]}: restore the file, run `make checkpoints`, or use "
            "'lookup'."
        )
    if altered(present[0]):
        raise DrafterError(
            f"{present[0]} has been altered: its hash {file_sha256(present[0])[:12]} is not the manifest's. Restore it "
            "from git, or run `make checkpoints`."
        )
    return present[0]
