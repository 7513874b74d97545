"""The example articles in assets/examples: invented events, people and places."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fastllm.config import ASSETS

FOLDER = ASSETS / "examples"


@dataclass(frozen=True)
class Example:
    """One article to try; ``topic`` is the word on its button."""

    title: str
    topic: str
    text: str


def load_examples(folder: Path = FOLDER) -> list[Example]:
    """Every example, in the order of their topics.

    Raises:
        ValueError: a file is not an object with exactly the texts title, topic and text.
    """
    examples = []
    for file in sorted(folder.glob("*.json")):
        value = json.loads(file.read_text(encoding="utf-8"))
        if not (isinstance(value, dict) and set(value) == {"title", "topic", "text"}):
            raise ValueError(f"{file} should hold exactly title, topic and text.")
        if not all(isinstance(v, str) and v.strip() for v in value.values()):
            raise ValueError(f"{file} has a field that is no text, or an empty one.")
        examples.append(Example(**value))
    return sorted(examples, key=lambda e: e.topic)
