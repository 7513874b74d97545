"""Rows as CSV that a spreadsheet opens as data, never as formulas. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

# What a spreadsheet may take for the beginning of a formula (OWASP, "CSV Injection"), full-width forms included.
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Cell = str | int | float | None


def cell(value: Cell) -> str:
    """One cell. A text that could be read as a formula is prefixed by an apostrophe; numbers and None (empty) are safe.

    Lone surrogates, which no file can hold, become question marks; null characters, which readers refuse, are dropped.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    text = value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    return f"'{text}" if text.startswith(_DANGEROUS) else text


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A header line and a line for each row, RFC 4180: commas, CRLF, quotes where needed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([cell(v) for v in row] for row in rows)
    return out.getvalue()
