"""Uploaded traces: read once, then gone from the server."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fastllm.trace import MAX_BYTES, Trace, TraceError, from_json


def read_trace(path: str | None) -> Trace:
    """The trace in an uploaded file, which is deleted whatever it holds: visitors' files are stored nowhere.

    Raises:
        TraceError: no file, too large, no UTF-8, or no trace; one sentence that names the field.
    """
    if not path:
        raise TraceError("There is no file: choose a trace saved by FastLLM.")
    file = Path(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise TraceError(f"This trace is too large: the limit is {MAX_BYTES // 1_000_000} MB.")
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TraceError("This is not a FastLLM trace: it is not UTF-8 text.") from None
    except OSError:
        raise TraceError("The file did not arrive: upload it again.") from None
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
    return from_json(text)
