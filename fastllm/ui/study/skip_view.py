"""What a target leaves out to draft for itself: a grid of its sublayers with what was measured of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from fastllm.drafters.errors import DrafterError
from fastllm.drafters.skipping import FILE, SkipSet
from fastllm.recorded import read_object
from fastllm.targets.sublayers import WORDS


def recorded(folder: Path | None) -> dict[str, Any]:
    """What ``train skip`` wrote into `folder`: its record, the set under ``skip``; nothing where it is not whole."""
    if folder is None:
        return {}
    try:
        found = SkipSet.read(folder / FILE)
        record = read_object(folder / "record.json")
        needed = {"agreement_alone", "agreement", "predicted_speedup", "searches", "c", "gamma", "texts"}
        if needed <= set(record) and record["target_sha256"] == found.target_sha256:
            return {**record, "skip": found.skip}
    except (DrafterError, KeyError):
        pass
    return {}


def words(found: Mapping[str, Any]) -> str:
    """How the set was found and what it promises."""
    random = found["searches"]["random"]["predicted_speedup"]
    return (
        f"The target drafts for itself without {len(found['skip'])} of its {found['sublayers']} sublayers (hollow). "
        f"The rest agrees with {found['agreement']:.0%} of {found['texts']['tokens']:,} tokens of the target's own "
        f"texts and costs {found['c']:.2f} of a target call: Theorem 3.8 promises {found['predicted_speedup']:.2f}× at "
        f"γ = {found['gamma']}. A search at random, with as many evaluations, came to {random:.2f}×."
    )


def grid_html(found: Mapping[str, Any]) -> str:
    """A row a layer, a column a kind of sublayer; in each cell the agreement when that one alone is left out, hollow
    where the set leaves it out, a dash where it must stay."""
    alone: Mapping[str, Mapping[str, float]] = found["agreement_alone"]
    kinds = [kind for kind in WORDS if kind in alone]
    layers = sorted({int(layer) for kind in kinds for layer in alone[kind]} | {layer for layer, _ in found["skip"]})
    gone, rows = set(found["skip"]), []
    for layer in layers:
        cells = []
        for kind in kinds:
            value = alone[kind].get(str(layer))
            left = (layer, kind) in gone
            text = "must stay" if value is None else f"{value:.1%}" + (" left out" if left else "")
            cells.append(f'<td class="{"fl-left-out" if left else "fl-kept"}">{text}</td>')
        rows.append(f"<tr><th scope='row'>layer {layer + 1}</th>{''.join(cells)}</tr>")
    head = "".join(f"<th scope='col'>{escape(WORDS[kind])}</th>" for kind in kinds)
    return (
        '<div class="fl-league fl-skips" tabindex="0" role="region" aria-label="Sublayers"><table class="fl-table">'
        "<caption>Agreement with the target's own texts when only this sublayer is left out</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
