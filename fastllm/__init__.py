"""FastLLM: watch speculative decoding with small, forgotten drafters and a large target.

The public surface, loaded when it is first used, so that ``import fastllm`` needs no torch::

    target = fastllm.load_target("mini")
    drafter = fastllm.load_drafter(target, "lstm")
    run = fastllm.run(target, drafter, article, fastllm.Settings(gamma=4))
    print(run.text, fastllm.summarise(run).tau)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Sampling": "fastllm.config",
    "Settings": "fastllm.config",
    "PRESETS": "fastllm.config",
    "Trace": "fastllm.trace",
    "Step": "fastllm.trace",
    "from_json": "fastllm.trace",
    "to_json": "fastllm.trace",
    "load_target": "fastllm.targets.load",
    "load_drafter": "fastllm.drafters",
    "available": "fastllm.drafters",
    "speculative": "fastllm.decode",
    "autoregressive": "fastllm.decode",
    "make_trace": "fastllm.decode",
    "run": "fastllm.decode",
    "summarise": "fastllm.analysis.metrics",
    "to_html": "fastllm.export",
    "to_csv": "fastllm.export",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """A public name, from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fastllm' has no attribute {name!r}: it has {', '.join(_HOMES)}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
