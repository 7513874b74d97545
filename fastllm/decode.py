"""Decoding as generators of Step: plain and speculative, one loop for both, over the same cached session."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata

import torch

from fastllm.config import Settings
from fastllm.drafters.base import Draft, Drafter
from fastllm.target import TargetSession
from fastllm.trace import Candidate, DraftToken, Emitted, Ending, Step, Trace
from fastllm.verify import Verdict, verify


def autoregressive(session: TargetSession, settings: Settings) -> Iterator[Step]:
    """Plain decoding: one target call a token, no draft. The baseline of every speedup."""
    return _decode(session, None, settings)


def speculative(session: TargetSession, drafter: Drafter, settings: Settings) -> Iterator[Step]:
    """Speculative decoding (Leviathan et al. 2023, Algorithm 1): exactly the target's own text or distribution.

    The generator may be closed after any step. It ends after an end-of-text token or at ``settings.max_new_tokens``.
    """
    return _decode(session, drafter, settings)


@torch.inference_mode()
def _decode(session: TargetSession, drafter: Drafter | None, settings: Settings) -> Iterator[Step]:
    target, sampler = session.target, session.target.sampler(settings)
    prefix: list[int] = []
    drafting = None
    for index in range(settings.max_new_tokens):
        clock = [time.perf_counter()]
        if drafter and drafting is None:
            drafting = drafter.open(session.source, sampler)
        # The target adds a token of its own: a draft longer than this could only be cut at the limit.
        room = settings.max_new_tokens - len(prefix) - 1
        draft = drafting.propose(prefix, min(settings.gamma, room)) if drafting and room else Draft(())
        clock.append(time.perf_counter())
        logits = session.score(prefix, draft.ids)
        clock.append(time.perf_counter())
        p = sampler.distribution(logits, prefix, draft.ids)
        k = len(draft.ids)
        q = draft.q
        if q is None and draft.logits is not None and not settings.sampling.greedy:
            raise ValueError("a drafter that samples must say which distribution it sampled from")
        u = [0.0] * (k + 1) if settings.sampling.greedy else sampler.uniform(k + 1)
        verdict = verify(draft.ids, p, q, u, target.eos_id)
        # What follows is for whoever watches: no decoder needs it, so no clock counts it.
        clock.append(time.perf_counter())
        step = _record(session, settings, index, len(prefix), draft, logits, p, u, verdict, clock)
        prefix += step.tokens
        yield step
        if prefix[-1] == target.eos_id or len(prefix) >= settings.max_new_tokens:
            return


def _record(
    session: TargetSession,
    settings: Settings,
    index: int,
    position: int,
    draft: Draft,
    logits: torch.Tensor,
    p: torch.Tensor,
    u: Sequence[float],
    verdict: Verdict,
    clock: list[float],
) -> Step:
    """The Step of one target call. `clock`: the times at its start, after drafting, the target and verification."""
    piece = session.target.piece
    k, tested = len(draft.ids), len(verdict.betas)
    p_top = _candidates(session, logits, p, settings.top)
    q_top: list[tuple[Candidate, ...]] = [()] * k
    if k and draft.logits is not None:
        q_top = _candidates(session, draft.logits, draft.q, settings.top, draft.ids)
    drawn = not settings.sampling.greedy
    tokens = tuple(
        DraftToken(
            id=token,
            text=piece(token),
            status="accepted" if i < verdict.accepted else "rejected" if i == verdict.accepted else "ignored",
            p=verdict.p[i],
            q=verdict.q[i],
            u=u[i] if drawn and i < tested else None,
            beta=verdict.betas[i] if i < tested else None,
            p_top=p_top[i],
            q_top=q_top[i],
        )
        for i, token in enumerate(draft.ids)
    )
    emitted = None
    if verdict.token is not None:
        row = verdict.accepted
        emitted = Emitted(verdict.token, piece(verdict.token), verdict.kind, float(p[row, verdict.token]), p_top[row])
    started, drafted, scored, verified = clock
    return Step(index, position, tokens, emitted, drafted - started, scored - drafted, verified - scored)


def _candidates(
    session: TargetSession, logits: torch.Tensor, probs: torch.Tensor | None, top: int, ids: Sequence[int] = ()
) -> list[tuple[Candidate, ...]]:
    """Each row's most probable tokens by raw probability. `probs` None: one-hot at `ids`."""
    if not top:
        return [()] * len(logits)
    piece = session.target.piece
    legal = logits[:, : session.target.legal_size]
    best, index = legal.topk(top, -1)
    raw = (best - legal.logsumexp(-1, keepdim=True)).exp().tolist()
    index_list = index.tolist()
    if probs is None:
        after = [[float(t == chosen) for t in row] for row, chosen in zip(index_list, ids, strict=True)]
    else:
        after = probs.gather(-1, index).tolist()
    return [
        tuple(Candidate(t, piece(t), _seven_digits(r), _seven_digits(a)) for t, r, a in zip(*row, strict=True))
        for row in zip(index_list, raw, after, strict=True)
    ]


def _seven_digits(value: float) -> float:
    return float(f"{value:.7g}")


def ending_of(session: TargetSession, settings: Settings, steps: Sequence[Step]) -> Ending:
    """How a run over `steps` ended: at an end-of-text token, at the length limit, or stopped by whoever consumed it."""
    ids = [t for s in steps for t in s.tokens]
    if ids and ids[-1] == session.target.eos_id:
        return "eos"
    return "length" if len(ids) >= settings.max_new_tokens else "stopped"


def make_trace(
    session: TargetSession,
    drafter: Drafter | None,
    settings: Settings,
    steps: Sequence[Step],
    ending: Ending | None = None,
) -> Trace:
    """The trace of a run: `drafter` None says that it was plain decoding."""
    target, sampling = session.target, settings.sampling
    return Trace(
        mode="speculative" if drafter else "autoregressive",
        target=target.preset.name,
        drafter=drafter.name if drafter else "",
        gamma=settings.gamma if drafter else 0,
        temperature=float(sampling.temperature),
        top_k=sampling.top_k,
        top_p=float(sampling.top_p),
        no_repeat_ngram_size=sampling.no_repeat_ngram_size,
        seed=settings.seed,
        max_new_tokens=settings.max_new_tokens,
        article=session.article,
        steps=tuple(steps),
        text=target.text([t for s in steps for t in s.tokens]),
        ending=ending or ending_of(session, settings, steps),
        seconds_encode=session.seconds_encode,
        target_hash=target.sha256,
        drafter_hash=drafter.sha256 if drafter else "",
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": metadata.version("transformers"),
        },
        eos_id=target.eos_id,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )
