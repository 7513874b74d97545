"""A visitor's turn in a tab: the place in line, Stop, and errors as sentences. For the lab and the league.

Their frames are three outputs, the first of which is the status as HTML; the player's own frames are in handlers.py.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import gradio as gr

from fastllm.ui import limits, render
from fastllm.ui.private import log_failure
from fastllm.ui.watch.handlers import Live

log = logging.getLogger(__name__)

Frame = tuple


def said(html: str) -> Frame:
    """A frame that changes the status only."""
    return html, gr.skip(), gr.skip()


async def taken(
    frames: AsyncGenerator[Frame, None], live: Live, failure: str, in_line: bool = True
) -> AsyncGenerator[Frame, None]:
    """`frames`, once it is this visitor's turn unless `in_line` is off, which is for work that uses no model.

    What goes wrong becomes a sentence: that of a ValueError, or `failure`; what was shown before stays.
    """
    try:
        if in_line:
            frames = limits.in_turn(frames, lambda text: said(render.waiting_html(text)), lambda: live.stop)
        # Closed at once when the visitor leaves, not whenever the garbage collector comes by.
        async with aclosing(frames):
            async for frame in frames:
                yield frame
    except ValueError as error:
        yield said(render.notices_html([str(error)], error=True))
    except Exception as error:
        log_failure(log, failure, error)
        yield said(render.notices_html([failure], error=True))
    finally:
        live.stop = False
