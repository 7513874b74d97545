"""Traces for tests, built from a few words instead of a model."""

from __future__ import annotations

from dataclasses import replace

from fastllm.trace import Article, Candidate, DraftToken, Emitted, Step, Trace


def candidates(*rows: tuple[int, str, float, float]) -> tuple[Candidate, ...]:
    """Candidates from rows of id, text, raw, prob."""
    return tuple(Candidate(*row) for row in rows)


def trace_of(*steps: tuple[list[str], str | None], article: str = "An article.", **changes) -> Trace:
    """A trace from (draft, emitted) pairs.

    A draft text is accepted, with a leading ``~`` rejected, with ``.~`` ignored; `emitted` None ends the text inside
    the draft. Ids are counted up from 100, ``</s>`` is 1.
    """
    made, position, ids = [], 0, {"</s>": 1}
    for index, (draft, emitted) in enumerate(steps):
        tokens = []
        for text in draft:
            status = "rejected" if text.startswith("~") else "ignored" if text.startswith(".~") else "accepted"
            text = text.removeprefix(".~").removeprefix("~")
            token = ids.setdefault(text, 100 + len(ids))
            p, q = {"accepted": (0.6, 0.5), "rejected": (0.1, 0.5), "ignored": (0.2, 0.4)}[status]
            drawn = status != "ignored"
            tokens.append(DraftToken(token, text, status, p, q, 0.5 if drawn else None, 0.7 if drawn else None))
        kind = "resampled" if any(t.status == "rejected" for t in tokens) else "bonus" if tokens else "target"
        last = Emitted(ids.setdefault(emitted, 100 + len(ids)), emitted, kind, 0.4) if emitted is not None else None
        step = Step(index, position, tuple(tokens), last, 0.001, 0.008, 0.0004)
        made.append(step)
        position += len(step.tokens)
    text = "".join(t.text for s in made for t in s.draft if t.status == "accepted")
    values = {
        "mode": "speculative", "target": "mini", "drafter": "ngram:3", "gamma": 3, "temperature": 1.0, "top_k": 0,
        "top_p": 1.0, "no_repeat_ngram_size": 3, "seed": 1, "max_new_tokens": 96, "text": text, "ending": "eos",
        "versions": {"torch": "2"},
    }  # fmt: skip
    return Trace(**values | changes, article=Article(article, len(article.split()), 0), steps=tuple(made))


def block_trace() -> Trace:
    """Three steps under block verification, by hand: every token has u and chance, beta only the first accepted + 1.

    Of four tokens, " a" was refused alone and saved by " b"; " c" fell and took " d" along. Then two tokens are kept
    whole though the first failed alone, and last a whole draft falls, its only bonus the end of the text.
    """
    rows = (
        ("accepted", " a", 0.2, 0.4, 0.9, 0.5, 0.6), ("accepted", " b", 0.6, 0.3, 0.2, 0.7, 0.8),
        ("rejected", " c", 0.1, 0.5, 0.8, 0.3, 0.4), ("ignored", " d", 0.3, 0.3, 0.95, 0.1, None),
    ), (
        ("accepted", " e", 0.1, 0.2, 0.7, 0.4, 0.5), ("accepted", " f", 0.9, 0.4, 0.3, 1.0, 0.9),
    ), (
        ("rejected", " g", 0.1, 0.8, 0.6, 0.1, 0.3), ("ignored", " h", 0.2, 0.4, 0.5, 0.05, None),
    )  # fmt: skip
    last = Emitted(200, " x", "resampled", 0.4), Emitted(201, " y", "bonus", 0.5), Emitted(1, "</s>", "resampled", 0.6)
    steps, position = [], 0
    for index, (draft, emitted) in enumerate(zip(rows, last, strict=True)):
        tokens = tuple(
            DraftToken(300 + ord(text[1]), text, status, p, q, u, beta, chance=chance)
            for status, text, p, q, u, chance, beta in draft
        )
        steps.append(Step(index, position, tokens, emitted, 0.001, 0.008, 0.0004, cap=4))
        position += len(steps[-1].tokens)
    return replace(trace_of(gamma=4, rule="block"), steps=tuple(steps), text=" a b x e f y")
