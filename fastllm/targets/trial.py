"""What an engine must be able to do, tried on two dozen tokens when a model is loaded, before anybody runs it.

Speculative decoding asks after a text, after a longer one, and after another one that begins alike. A model whose
memory is no list of keys and values (Mamba, RWKV and their hybrids) cannot go back, and would answer wrongly or not
at all; weights that are no numbers any more answer with anything.
"""

from __future__ import annotations

import torch

from fastllm.targets.base import Engine
from fastllm.targets.pretrained import first_line
from fastllm.targets.torch_trees import decline

# Largest difference of two logits over the largest one, by another order of the same sums.
_NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.1}
_PROMPT, _TEXT = 12, 10


def trouble(engine: Engine, dtype: torch.dtype, known: bool) -> str:
    """Why `engine` cannot be used, as the end of a sentence; "" where it can.

    Args:
        known: whether caches of this kind of model are known to follow a text; then only the numbers are looked at.
    """
    most = min(engine.rows, engine.columns)
    ids = [(7 * i + 3) % most for i in range(_PROMPT + _TEXT)]
    prompt, text = ids[:_PROMPT], ids[_PROMPT:]
    try:
        fresh = engine.open(prompt)
        whole = fresh.score(text, _TEXT + 1)  # after 0 .. _TEXT tokens
        fresh.close()
        if bool(whole.isnan().any()) or not bool(whole.isfinite().any(-1).all()):
            return "its weights give no numbers (NaN): fetch them again, or load a checkpoint that was not overtrained"
        if known:
            return ""
        moving = engine.open(prompt)
        found = [moving.score(text[:1])]
        moving.score([*text[:4], *prompt[:5]], 3)
        found.append(moving.score(text[:8], 3))
        moving.close()
    except Exception as error:
        return (
            f"it fails on a text of {_TEXT} tokens ({first_line(error)}), so FastLLM does not know how to read with "
            "this kind of model: choose a T5, BART, Llama, Qwen, Mistral, Gemma, GPT-2 or one like them"
        )
    got, wanted = torch.cat(found), whole[[1, 6, 7, 8]]
    seen = wanted.isfinite()
    if float((got - wanted)[seen].abs().max()) > _NEAR.get(dtype, 1e-4) * float(wanted[seen].abs().max()):
        return (
            "its memory of a text cannot be cut back to an earlier word, which speculative decoding needs: choose a "
            "model with attention alone (T5, BART, Llama, Qwen, Mistral, Gemma, GPT-2 and their kin)"
        )
    _try_tree(engine, prompt, text)
    return ""


def _try_tree(engine: Engine, prompt: list[int], text: list[int]) -> None:
    """Let a torch model show now, on a cache that nobody needs, whether it scores a tree in one call."""
    decoder = engine.open(prompt)
    try:
        decoder.score_tree(text[:3], text[3:7], (-1, -1, 0, 1))
    except Exception:
        decline(getattr(engine, "model", None))
    finally:
        decoder.close()
