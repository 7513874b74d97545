"""What visitors send reaches neither disk nor log, whatever goes wrong: also where Gradio itself refuses a call.

Gradio's own errors quote the values that were sent, and print them with a traceback. Here every error of a call becomes
one sentence for the caller, and the log gets the places in the code that it came through, without a value.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

import gradio as gr

log = logging.getLogger(__name__)


def log_failure(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log an error's type and the lines of code it came through; its message may hold what a visitor pasted."""
    places = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s: %s\n%s", what, type(error).__name__, places)


def _quiet(sentence: str) -> gr.Error:
    return gr.Error(sentence, print_exception=False)


class PrivateBlocks(gr.Blocks):
    """Blocks whose calls are refused in one sentence that quotes nothing, and are not logged."""

    async def preprocess_data(self, block_fn, inputs: list[Any], state=None, explicit_call: bool = False) -> list[Any]:
        """Gradio's own; too few values, and values that a component cannot take, are told by the component's name."""
        wanted = block_fn.inputs
        if not isinstance(inputs, list):
            raise _quiet("A call needs a list of values.")
        if len(inputs) < len(wanted):
            raise _quiet(
                f"This call needs {len(wanted)} values and has {len(inputs)}: give all that the page's API names."
            )
        for block, value in zip(wanted, inputs, strict=False):
            name = getattr(block, "label", None) or type(block).__name__
            # A field may be left empty, which the page tells beside it; a slider cannot.
            if isinstance(block, gr.Slider) or (isinstance(block, gr.Number) and value not in (None, "")):
                _check_number(name, value)
            elif isinstance(block, gr.Textbox) and not isinstance(value, str | None):
                raise _quiet(f"{name} must be text.")
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)

    async def process_api(self, *args, **kwargs) -> dict[str, Any]:
        """Gradio's own; what goes wrong in it becomes an error that is not printed."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            log_failure(log, "a call failed", error)
            raise _quiet("The page could not take what was sent: reload it and try again.") from None


def _check_number(name: str, value: object) -> None:
    if value is None or value == "":
        raise _quiet(f"{name} is empty: give a number.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _quiet(f"{name} must be a number.")
    if value - value != 0:  # NaN and the infinities
        raise _quiet(f"{name} must be a finite number.")
