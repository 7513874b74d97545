"""What each token id looks like to people, whatever alphabet its tokenizer keeps its pieces in."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def pieces_of(tokenizer: Any, size: int) -> list[str]:
    """The text of ids 0 .. size - 1; a leading space where the piece begins a word.

    A byte-level piece (Radford et al. 2019) is decoded; bytes that are no whole character are shown as ``‹e2 80›``. A
    SentencePiece piece has its sign for a space replaced.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(size)))
    added = {str(t) for t in tokenizer.get_added_vocab()}
    show = _from_bytes if _is_byte_level(tokenizer) else _from_pieces
    return [t if t in added else show(t or "") for t in tokens]


def _is_byte_level(tokenizer: Any) -> bool:
    decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
    return "ByteLevel" in [decoder.get("type"), *(d.get("type") for d in decoder.get("decoders", ()))]


def _from_bytes(token: str) -> str:
    try:
        raw = bytes(_bytes_of_letters()[c] for c in token)
    except KeyError:  # not of the byte alphabet: some token added by hand
        return token
    return _text(raw)


def _from_pieces(token: str) -> str:
    if byte := _BYTE.fullmatch(token):
        return _text(bytes.fromhex(byte[1]))
    return token.replace("▁", " ")


def _text(raw: bytes) -> str:
    """`raw` as UTF-8; whatever of it is only a part of a character in hexadecimal digits."""
    shown, at = [], 0
    while at < len(raw):
        try:
            shown.append(raw[at:].decode())
            break
        except UnicodeDecodeError as error:
            shown.append(raw[at : at + error.start].decode())
            shown.append(f"‹{raw[at + error.start : at + error.end].hex(' ')}›")
            at += error.end
    return "".join(shown)


@lru_cache(maxsize=1)
def _bytes_of_letters() -> dict[str, int]:
    """The byte that each letter of GPT-2's alphabet stands for: printable ones for themselves, the other 68 shifted
    behind the 256th character."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {chr(b): b for b in printable}
    others = (b for b in range(256) if b not in set(printable))
    return letters | {chr(256 + n): b for n, b in enumerate(others)}
