"""What every tab is built on: the page's targets and the menu that says which one a visitor has chosen.

The menu stands in the header and serves all tabs. A handler that needs a target takes the menu's value and asks
:class:`~fastllm.ui.targets.Targets` for it. What depends on the target on the page (drafters, limits, counts) follows
:attr:`Stage.loaded`, which changes once the target is there, so that nothing waits for a load unseen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from fastllm.ui import parts, render
from fastllm.ui.private import log_failure
from fastllm.ui.targets import Targets

log = logging.getLogger(__name__)

_FAILED = "The target could not be loaded: choose another one, or try again."


@dataclass(frozen=True)
class Stage:
    """The page's targets, the Target menu, and the value of the target that the page shows."""

    targets: Targets
    menu: gr.Dropdown
    loaded: gr.State


def build(targets: Targets) -> Stage:
    """The menu, inside the current Blocks."""
    menu = gr.Dropdown(targets.choices(), value=targets.name, label="Target", elem_id="target", scale=0, min_width=300)
    return Stage(targets, menu, gr.State(targets.name))


def wire(stage: Stage, page: gr.Blocks) -> None:
    """The line of what the menu has to say, inside the current Blocks, and its events: what is here is looked up at
    each visit, and a choice is loaded."""
    said = parts.html(render.notices_html(stage.targets.first.notes), elem_id="target-said")
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(lambda: gr.update(choices=stage.targets.choices()), None, stage.menu, queue=False, **hidden)

    def choose(name: object, shown: str) -> Iterator[tuple]:
        yield from chosen(stage.targets, name, shown)

    stage.menu.change(
        choose,
        [stage.menu, stage.loaded],
        [stage.menu, stage.loaded, said],
        trigger_mode="always_last",
        concurrency_limit=4,
        **hidden,
    )


def chosen(targets: Targets, name: object, shown: str) -> Iterator[tuple]:
    """A choice in the menu. Yields the menu, the name of the target that is shown, and a line (HTML).

    What cannot be had is told with what to do, and the menu goes back to what was there.
    """
    if name == shown:
        yield gr.skip(), gr.skip(), gr.skip()
        return
    try:
        offer = targets.offer(name)
        if not targets.ready(name):
            yield gr.skip(), gr.skip(), render.loading_html(offer.title)
        notes = targets.of(name).notes
    except ValueError as error:
        yield gr.update(value=shown), gr.skip(), render.notices_html([str(error)], error=True)
    except Exception as error:
        log_failure(log, "a target could not be loaded", error)
        yield gr.update(value=shown), gr.skip(), render.notices_html([_FAILED], error=True)
    else:
        yield gr.skip(), name, render.notices_html(notes)
