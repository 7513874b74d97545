"""The drafter picker: a card for each family with its name, a phrase, and a bar of recorded acceptance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from fastllm.drafters import DRAFTERS, DrafterInfo
from fastllm.ui.models import Choice
from fastllm.ui.watch.expected import USUAL_GAMMA, row_for
from fastllm.ui.watch.lessons import ORDER

# `element` outlives every redrawing of the cards, so one listener serves them all. A card stands for all menu lines of
# its family; it is checked whichever of them is chosen, and choosing it chooses its first. The prop that holds the HTML
# is never named here in quotes: Gradio takes every quoted word for an event.
_SCRIPT = """
const checked = () => {
  for (const input of element.querySelectorAll('input')) {
    input.checked = input.dataset.keys.split(' ').includes(props.value);
  }
  // Where the cards do not all fit, the row is moved, and the page is not.
  const row = element.querySelector('.fl-card-row');
  const card = row?.querySelector('.fl-card:has(:checked)');
  if (!card) return;
  const [outer, inner] = [row.getBoundingClientRect(), card.getBoundingClientRect()];
  row.scrollLeft += Math.max(0, inner.right - outer.right + 30) - Math.max(0, outer.left - inner.left + 30);
  edges();
};
// On either side on which there are more cards than are seen, the row fades.
const edges = () => {
  const row = element.querySelector('.fl-card-row');
  row?.classList.toggle('fl-before', row.scrollLeft > 3);
  row?.classList.toggle('fl-after', row.scrollLeft + row.clientWidth < row.scrollWidth - 3);
};
element.addEventListener('change', (event) => {
  event.stopPropagation();
  if (event.target.checked) props.value = event.target.value;
});
element.addEventListener('scroll', edges, true);
watch('value', checked);
// A link's drafter may be named before the cards of its target are dealt.
new MutationObserver(checked).observe(element, {childList: true, subtree: true});
new ResizeObserver(checked).observe(element);
checked();
"""


@dataclass(frozen=True)
class Card:
    """One family of drafters: `keys` are its lines of the menu, `share` the part of its tested guesses that the target
    kept when it was recorded, None where it was not."""

    keys: tuple[str, ...]
    name: str
    phrase: str
    share: float | None = None


def cards_of(menu: Sequence[Choice], benchmark: dict, target_sha256: str) -> list[Card]:
    """A card for each family of `menu`, in its order; figures are those of its first line at the usual draft length in
    greedy decoding, for n-grams at the order that the page begins with."""
    families: dict[str, list[Choice]] = {}
    for choice in menu:
        families.setdefault(choice.key.partition("@")[0], []).append(choice)
    return [_card(some, benchmark, target_sha256) for some in families.values()]


def _card(choices: Sequence[Choice], benchmark: dict, target_sha256: str) -> Card:
    first = choices[0]
    info = _usual(first.infos)
    row = row_for(benchmark, target_sha256, info.spec, USUAL_GAMMA, 0) if info else None
    kind = DRAFTERS.get(info.family) if info else None
    name = (kind.short if kind else "") or first.title
    phrase = (kind.phrase if kind else "") or first.title
    return Card(tuple(c.key for c in choices), name, phrase, row["accepted_tested"] if row else None)


def _usual(infos: Sequence[DrafterInfo]) -> DrafterInfo | None:
    return next((i for i in infos if i.spec.startswith(f"ngram:{ORDER}")), infos[0] if infos else None)


def cards_html(cards: Sequence[Card], value: str) -> str:
    """The cards as a group of radio buttons; the bar's figure is in words, too."""
    body = "".join(_card_html(card, value) for card in cards)
    note = "Bar: how much of its guesses the target kept, recorded." if any(c.share is not None for c in cards) else ""
    return (
        f'<fieldset class="fl-cards"><legend>Drafter <small>{note}</small></legend>'
        f'<div class="fl-card-row">{body}</div></fieldset>'
    )


def _card_html(card: Card, value: str) -> str:
    checked = " checked" if value in card.keys else ""
    keys = escape(" ".join(card.keys), quote=True)
    bar = ""
    if card.share is not None:
        words = f"{card.share:.0%}"
        bar = (
            f'<span class="fl-card-bar"><span style="width:{100 * card.share:.1f}%"></span></span>'
            f'<small class="fl-card-share">{words}<span class="fl-unseen"> of its guesses kept, recorded</span></small>'
        )
    return (
        f'<label class="fl-card" title="{escape(card.phrase, quote=True)}">'
        f'<input type="radio" name="fl-drafter" value="{escape(card.keys[0], quote=True)}" data-keys="{keys}"{checked}>'
        f'<span class="fl-card-name">{escape(card.name)}</span>{bar}'
        f'<span class="fl-card-phrase">{escape(card.phrase)}</span></label>'
    )


class Cards(gr.HTML):
    """The picker. Its value is a key of the drafter menu."""

    def __init__(self, value: str = "", **kwargs) -> None:
        """`kwargs` hold `markup`, made by `cards_html`. Gradio makes the component anew from them at each update."""
        kwargs |= {"html_template": "${markup}", "js_on_load": _SCRIPT, "apply_default_css": False}
        super().__init__(value, **kwargs)

    def api_info(self) -> dict[str, Any]:
        return {"type": "string", "description": "a drafter: ngram@distilled, lookup, lstm@baseline, ..."}

    def example_payload(self) -> str:
        return "lookup"

    def example_value(self) -> str:
        return "lookup"


def deal(cards: Sequence[Card], value: str) -> dict:
    """An update of the picker: other cards, one of them chosen."""
    return gr.update(value=value, markup=cards_html(cards, value))
