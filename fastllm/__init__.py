"""FastLLM: watch speculative decoding with small, forgotten drafters and a large T5 target."""

__version__ = "0.1.0"
