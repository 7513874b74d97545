"""Text that is not ours, as it may be shown: what could disturb the page around it becomes visible. Pure."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """`text` with line breaks as ⏎ and every other control, direction or private character replaced by �."""
    shown = []
    for c in text:
        if c in "\n\r\u2028\u2029":
            shown.append("⏎")
        elif c in "\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"):
            shown.append(c)
        else:
            shown.append("\ufffd")
    return "".join(shown)
