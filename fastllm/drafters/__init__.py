"""Drafters by name. To add one: a file with a Drafter, a line in DRAFTERS, a test.

A drafter is named ``family``, ``family:parameter``, or either with ``@variant``: ``lookup``, ``ngram:3``, ``lstm``,
``ngram:3@baseline``, ``t5:google-t5/t5-small``, ``slem:smollm2``. The variant says what it was trained on:
``distilled`` (what the target says) or ``baseline`` (the reference summaries); left out, it is ``distilled`` where that
is there, else ``baseline``.

Two drafters make one: ``t5+lookup`` (the second drafts for the first), ``lookup-then-ngram:2`` (the second drafts where
the first is done), ``lookup-and-lstm`` (a tree of what both guess). Both sides are ordinary names, one
level deep: to add a way, a file and a line in COMPOSITES.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastllm.checkpoints import altered, file_sha256, folder_sha256
from fastllm.config import PRESETS, TargetPreset, is_folder
from fastllm.drafters.base import Drafter
from fastllm.drafters.cnn import CnnDrafter
from fastllm.drafters.errors import DrafterError
from fastllm.drafters.foreign import SlemDrafter, TliDrafter
from fastllm.drafters.lm import LmDrafter
from fastllm.drafters.lookup import LookupDrafter
from fastllm.drafters.lstm import LstmDrafter
from fastllm.drafters.neural import CopyDrafter
from fastllm.drafters.ngram import NgramDrafter
from fastllm.drafters.relay import RelayDrafter
from fastllm.drafters.skipping import FILE as SKIP_FILE
from fastllm.drafters.skipping import SkippingDrafter
from fastllm.drafters.staged import StagedDrafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.drafters.tree import TrieDrafter
from fastllm.targets.sources import at_hand

if TYPE_CHECKING:
    from fastllm.targets.base import Target

DRAFTERS: dict[str, type[Drafter]] = {
    "ngram": NgramDrafter,
    "cnn": CnnDrafter,
    "lstm": LstmDrafter,
    "t5": T5Drafter,
    "lm": LmDrafter,
    "self": SkippingDrafter,
    "slem": SlemDrafter,
    "tli": TliDrafter,
    "lookup": LookupDrafter,
}


@dataclass(frozen=True)
class Composite:
    """A way of making one drafter of two.

    Attributes:
        way: what stands between the two names.
        make: called with the two drafters.
        offered: a name with a place for the drafter that was chosen, to be offered beside each: ``{}+lookup``.
        title: what is offered, in a few words.
        about: what it does, in two sentences for people.
    """

    way: str
    make: Callable[[Drafter, Drafter], Drafter]
    offered: str
    title: str
    about: str


COMPOSITES: dict[str, Composite] = {
    c.way: c
    for c in (
        Composite(
            "+",
            StagedDrafter,
            "{}+lookup",
            "Lookup drafts for it",
            "Lookup proposes tokens to the drafter, which judges them as the target judges its own drafts. It needs a "
            "T5 or a language model as the drafter, and saves part of its calls.",
        ),
        Composite(
            "-then-",
            RelayDrafter,
            "lookup-then-{}",
            "Lookup first, then it",
            "Lookup drafts as long as the article holds the last words of the summary. Where it knows nothing more, "
            "the drafter goes on.",
        ),
        Composite(
            "-and-",
            TrieDrafter,
            "lookup-and-{}",
            "Lookup and it at once",
            "Both guess, and what they guess differently becomes a branch of one tree. It needs a rule for trees.",
        ),
    )
}
NEURAL = ("cnn", "lstm", "t5")  # families of one folder per variant
# Whole models, by folder or hub name; of another tokenizer by a preset's name, too.
WHOLE: dict[str, Any] = {"t5": T5Drafter, "lm": LmDrafter, "slem": SlemDrafter, "tli": TliDrafter}
# By whether the target is an encoder-decoder: the preset that drafts for it from the other side.
OTHER_KIND = {True: "smollm2", False: "mini"}
VARIANTS = ("distilled", "baseline")
ORDERS = range(1, 6)

# A parameter may be a place, so hold blanks and @: a variant is only what stands after the last of them.
_SPEC = re.compile(r"(?P<family>[a-z0-9]+)(?::(?P<parameter>.+?))?(?:@(?P<variant>[a-z]+))?", re.DOTALL)


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
    if pair := split_pair(spec):
        first, way, second = pair
        return COMPOSITES[way].make(load_drafter(target, first), load_drafter(target, second))
    family, parameter, variant = split_spec(spec)
    if variant and variant not in VARIANTS:
        raise DrafterError(f"{spec!r} names no variant: give @{' or @'.join(VARIANTS)}, or leave it out.")
    if family in SOLE:
        if parameter or variant:
            raise DrafterError(f"The {family} drafter takes no parameter and no variant: call it {family!r}.")
        return SOLE[family].make(target)
    if family == "ngram":
        if not (parameter and parameter in map(str, ORDERS)):
            raise DrafterError(
                f"An n-gram drafter needs its order, 1 to 5, as in 'ngram:3'; {spec!r} has none that fits."
            )
        drafter: Drafter = NgramDrafter.load(
            _weights(target.preset, "ngram", f"ngram-{parameter}.safetensors", variant), target.vocab_size
        )
    elif family in WHOLE and (where := parameter or _neural_drafter(target, family, variant)):
        if variant:
            raise DrafterError(f"A drafter given by its place has no variant: leave {'@' + variant!r} out.")
        drafter = WHOLE[family].load(where, target)
    elif family in WHOLE and family not in NEURAL:
        raise DrafterError(f"The {family} drafter needs its place, as in '{family}:owner/model' or '{family}:folder'.")
    elif parameter:
        raise DrafterError(f"The {family} drafter takes no parameter: call it '{family}' or '{family}@baseline'.")
    else:
        folder = _weights(target.preset, family, "model.safetensors", variant).parent
        kind: Any = DRAFTERS[family]
        drafter = kind.load(folder, target.vocab_size) if issubclass(kind, CopyDrafter) else kind.load(folder, target)
    drafter.name = spec.strip()
    return drafter


def _of_itself(target: Target) -> Drafter:
    """The target less some sublayers."""
    if not target.preset.drafters:
        raise DrafterError(
            f"Nobody has looked for what {target.preset.name} can leave out to draft for itself: run `python -m train "
            "skip`, or use 'lookup'."
        )
    return SkippingDrafter.load(_skip_file(target.preset), target)


def _skip_file(preset: TargetPreset) -> Path:
    return Path(preset.drafters or "") / "self" / SKIP_FILE


def _skip_sha256(preset: TargetPreset) -> str | None:
    file = _skip_file(preset)
    return file_sha256(file) if preset.drafters and file.is_file() else None


def _has_skips(target: Target) -> bool:
    return bool(target.preset.drafters) and SkippingDrafter.fits(_skip_file(target.preset), target)


@dataclass(frozen=True)
class Sole:
    """A family of which a target has one drafter at most, without parameter and variant.

    Attributes:
        make: called with the target.
        there: whether the target has it.
        sha256: as of :func:`sha256_of`, by the target's preset.
    """

    make: Callable[[Target], Drafter]
    there: Callable[[Target], bool]
    sha256: Callable[[TargetPreset], str | None]


SOLE: dict[str, Sole] = {
    "lookup": Sole(lambda target: LookupDrafter(target.vocab_size), lambda target: True, lambda preset: ""),
    "self": Sole(_of_itself, _has_skips, _skip_sha256),
}


def split_pair(spec: str) -> tuple[str, str, str] | None:
    """First name, way and second name of a drafter made of two; None where `spec` is one drafter's name, or none's.

    A place may hold a + of its own: only what divides into two drafters' names is a pair, and each side must be single.
    A place that is there as a whole is no pair.
    """
    spec = spec.strip()
    family, _, place = spec.partition(":")
    if family in DRAFTERS and DRAFTERS[family].takes_place and is_folder(place):
        return None
    for way in COMPOSITES:
        for found in re.finditer(re.escape(way), spec):
            first, second = spec[: found.start()].strip(), spec[found.end() :].strip()
            if _single(first) and _single(second):
                return first, way, second
    return None


def _single(spec: str) -> bool:
    found = _SPEC.fullmatch(spec.strip())
    if found is None or found["family"] not in DRAFTERS:
        return False
    return DRAFTERS[found["family"]].takes_place or not any(way in spec for way in COMPOSITES)


def split_spec(spec: str) -> tuple[str, str | None, str | None]:
    """Family, parameter and variant of a drafter's name. A folder that is there is a folder, whatever stands in it.

    Raises:
        DrafterError: no drafter has such a name.
    """
    found = _SPEC.fullmatch(spec.strip())
    if not found or found["family"] not in DRAFTERS:
        raise DrafterError(f"There is no drafter {spec!r}: give one of {', '.join(_known())}.")
    family, parameter, variant = found["family"], found["parameter"], found["variant"]
    placed = parameter and variant and DRAFTERS[family].takes_place
    if placed and (variant not in VARIANTS or is_folder(f"{parameter}@{variant}")):
        return family, f"{parameter}@{variant}", None
    return family, parameter, variant


def available(target: Target) -> list[DrafterInfo]:
    """What can be loaded for `target`, in the order in which to offer it: both variants where both are."""
    infos = [DrafterInfo(name, name, DRAFTERS[name].title, 0) for name, sole in SOLE.items() if sole.there(target)]
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
    if target.preset.neural_drafter:
        family, _, name = target.preset.neural_drafter.partition(":")
        infos.append(DrafterInfo(family, family, f"{DRAFTERS[family].title} ({name})", 0))
    return infos + (_foreign(target.preset.foreign) if target.preset.foreign else [])


def others(target: Target) -> list[DrafterInfo]:
    """What can be loaded beside :func:`available`, to be chosen but not measured unasked: a model of the other kind,
    decoder-only for an encoder-decoder, where the preset names none with another tokenizer."""
    return [] if target.preset.foreign else _foreign(OTHER_KIND[target.checkpoint.seq2seq])


def _foreign(preset: str) -> list[DrafterInfo]:
    """Both ways of drafting with a preset that has another tokenizer, where its weights are on this machine."""
    if not at_hand(PRESETS[preset]):
        return []
    return [DrafterInfo(f"{f}:{preset}", f, f"{DRAFTERS[f].title} ({preset})", 0) for f in ("slem", "tli")]


def sha256_of(preset: TargetPreset, spec: str) -> str | None:
    """The hash (``Drafter.sha256``) of the weights that `spec` stands for now, from their files: nothing is loaded.

    Returns:
        "" for a drafter without weights; None where the files cannot be found, or are a hub's.
    """
    if pair := split_pair(spec):
        hashes = [sha256_of(preset, pair[0]), sha256_of(preset, pair[2])]
        return None if None in hashes else "+".join(h for h in hashes if h)
    found = _SPEC.fullmatch(spec.strip())
    if not found or found["family"] not in DRAFTERS:
        return None
    family, parameter, variant = found["family"], found["parameter"], found["variant"]
    if family in SOLE:
        return SOLE[family].sha256(preset)
    if family in WHOLE and parameter:
        return folder_sha256(Path(parameter)) if is_folder(parameter) else None
    try:
        file = _weights(preset, family, f"ngram-{parameter}.safetensors" if parameter else "model.safetensors", variant)
    except DrafterError:
        return None
    return folder_sha256(file.parent) if family == "t5" else file_sha256(file)


def outdated(preset: TargetPreset, recorded: Mapping[str, str]) -> list[str]:
    """Which of the drafters, by spec, have other weights now than the hashes that were `recorded` of them.

    What cannot be told counts as unchanged, but for a drafter whose hash was not recorded at all.
    """
    now = {spec: sha256_of(preset, spec) for spec in recorded}
    return sorted(spec for spec, was in recorded.items() if now[spec] is not None and now[spec] != was)


def _known() -> list[str]:
    return [*(f"ngram:{n}" for n in ORDERS), *sorted(set(DRAFTERS) - {"ngram"})]


def _neural_drafter(target: Target, family: str, variant: str | None) -> str | None:
    """The hub's drafter that a preset names, if it is of that family, unless one trained here is there or asked for."""
    folder = target.preset.drafters
    here = folder and any((Path(folder) / f"{family}-{v}" / "model.safetensors").is_file() for v in VARIANTS)
    named, _, name = (target.preset.neural_drafter or "").partition(":")
    return None if variant or here or named != family else name


def _weights(preset: TargetPreset, family: str, name: str, variant: str | None) -> Path:
    """The weights `name` in the folder of `family`: as its variant says, or of the first variant that is there."""
    step = "ngram" if family == "ngram" else f"drafter --family {family}"
    if not preset.drafters:
        raise DrafterError(
            f"No {family} drafter has been trained for {preset.name}: run `python -m train {step}`, or use 'lookup'."
        )
    folder = Path(preset.drafters)
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
