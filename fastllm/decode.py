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
from fastllm.drafters.tree import grow
from fastllm.inspection import TEMPERATURES, inspect
from fastllm.lengths import lengths_of
from fastllm.rules import rule_of
from fastllm.sampling import Sampler, one_hot
from fastllm.targets.base import Target, TargetSession
from fastllm.trace import DraftToken, Emitted, Ending, SideToken, Step, Stop, Trace
from fastllm.verify import Verdict


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
    if session.limit is not None and settings.max_new_tokens > session.limit:
        raise ValueError(
            f"{target.preset.name} has positions for {session.limit} new tokens after this article, and the length "
            f"limit is {settings.max_new_tokens}: lower it."
        )
    rule, lengths = rule_of(settings), lengths_of(settings)
    if drafter and drafter.branches and not rule.tree:
        raise ValueError(
            f"{drafter.name!r} guesses a tree, which the rule {rule.key!r} cannot judge: choose the rule 'follow'."
        )
    prefix: list[int] = []
    drafting = None
    for index in range(settings.max_new_tokens):
        clock = [time.perf_counter()]
        if drafter and drafting is None:
            drafting = drafter.open(session.source, sampler)
        # The target adds a token of its own: a draft longer than this could only be cut at the limit.
        room = settings.max_new_tokens - len(prefix) - 1
        cap = lengths.limit() if drafting else 0
        if not (drafting and room):
            draft = Draft(())
        elif rule.tree:
            size = settings.nodes, settings.width, rule.drawn, lengths.least
            draft = grow(drafting, sampler, prefix, min(cap, room), *size)
        else:
            draft = drafting.propose(prefix, min(cap, room), lengths)
        clock.append(time.perf_counter())
        rows = (prefix, draft.ids) if draft.parents is None else (prefix, draft.ids, draft.parents)
        logits = session.score(*rows)
        clock.append(time.perf_counter())
        certain = sampler.best(logits, *rows) if settings.sampling.greedy else None
        p = one_hot(certain, logits.shape[1]) if certain else sampler.distribution(logits, *rows)
        k = len(draft.ids)
        q = draft.q
        if q is None and draft.view is not None and draft.parents is None and not settings.sampling.greedy:
            raise ValueError("a drafter that samples must say which distribution it sampled from")
        u = [0.0] * (k + 1) if settings.sampling.greedy else sampler.uniform(k + 1)
        more: dict = {"certain": certain} if rule.certain else {}
        if rule.soft:
            more = {
                "soft": sampler.masked(logits, prefix, draft.ids).softmax(-1),
                "rollback": settings.rollback,
            }
        if rule.tree:
            more = {"parents": draft.parents}
        verdict = rule.judge(draft.ids, p, q, u, target.eos_ids, **more)
        lengths.learn(k, verdict.accepted)
        # What follows is for whoever watches: no decoder needs it, so no clock counts it.
        clock.append(time.perf_counter())
        stop = _stop(draft, settings.nodes if draft.parents else cap, room, target.eos_ids)
        aside = _aside(session, settings, draft, u, verdict)
        betas = rule.overlaps(draft.ids, p, q, verdict, draft.parents)
        if verdict.order is not None:
            draft, logits, p, u = _along(verdict.order, draft, logits, p, u)
        facts = verdict, betas, clock, stop, cap, aside
        step = _record(session, sampler, settings, index, prefix, draft, logits, p, u, *facts)
        prefix += step.tokens
        yield step
        if prefix[-1] in target.eos_ids or len(prefix) >= settings.max_new_tokens:
            return


def run(target: Target, drafter: Drafter | None, article: str, settings: Settings) -> Trace:
    """Summarise one article and return the whole run; plain decoding where `drafter` is None.

    Raises:
        fastllm.targets.base.TargetError: the article holds no token.
    """
    session = target.open(article)
    try:
        steps = autoregressive(session, settings) if drafter is None else speculative(session, drafter, settings)
        return make_trace(session, drafter, settings, list(steps))
    finally:
        session.close()


def _record(
    session: TargetSession,
    sampler: Sampler,
    settings: Settings,
    index: int,
    prefix: Sequence[int],
    draft: Draft,
    logits: torch.Tensor,
    p: torch.Tensor,
    u: Sequence[float],
    verdict: Verdict,
    betas: Sequence[float],
    clock: list[float],
    stop: Stop,
    cap: int,
    aside: tuple[SideToken, ...],
) -> Step:
    """The Step of one target call. `clock`: the times at its start, after drafting, the target and verification."""
    piece = session.target.piece
    tested = verdict.tested
    seen = inspect(session.target, sampler, settings, prefix, draft, logits, p, tested)
    drawn = not settings.sampling.greedy
    tokens = tuple(
        DraftToken(
            id=token,
            text=piece(token),
            status="accepted" if i < verdict.accepted else "rejected" if i == verdict.accepted else "ignored",
            p=verdict.p[i],
            q=verdict.q[i],
            u=u[i] if drawn and i < len(verdict.chances) else None,
            beta=betas[i] if i < tested else None,
            p_top=seen.p_top[i],
            q_top=seen.q_top[i],
            by=draft.by[i] if draft.by else "",
            chance=verdict.chances[i] if i < len(verdict.chances) else None,
            p_rank=seen.p_ranks[i],
            q_rank=seen.q_ranks[i],
            tempered=seen.tempered[i],
        )
        for i, token in enumerate(draft.ids)
    )
    emitted = None
    if verdict.token is not None and verdict.kind is not None:
        row = verdict.accepted
        chosen = float(p[row, verdict.token])
        rank = seen.rank(row, verdict.token)
        emitted = Emitted(verdict.token, piece(verdict.token), verdict.kind, chosen, seen.p_top[row], rank)
    started, drafted, scored, verified = clock
    seconds = drafted - started, scored - drafted, verified - scored
    return Step(index, len(prefix), tokens, emitted, *seconds, stop=stop, cap=cap, calls=draft.calls, aside=aside)


def _along(
    order: Sequence[int], draft: Draft, logits: torch.Tensor, p: torch.Tensor, u: Sequence[float]
) -> tuple[Draft, torch.Tensor, torch.Tensor, list[float]]:
    """A tree's nodes in `order`, a path from the root, as a chain: its draft, the rows of logits and p that follow the
    text and each of them, their draws and the last."""
    nodes, rows = list(order), [0, *(i + 1 for i in order)]
    chain = Draft(
        tuple(draft.ids[i] for i in nodes),
        None if draft.q is None else draft.q[nodes],
        None if (view := draft.view) is None else lambda: view()[nodes],
        tuple(draft.by[i] for i in nodes) if draft.by else (),
        draft.unsure,
        draft.calls,
    )
    return chain, logits[rows], p[rows], [*(u[i] for i in nodes), u[-1]]


def _aside(
    session: TargetSession, settings: Settings, draft: Draft, u: Sequence[float], verdict: Verdict
) -> tuple[SideToken, ...]:
    """A tree's nodes beside the path that was followed."""
    place = {node: i for i, node in enumerate([*(verdict.order or ()), *(a.node for a in verdict.aside)])} | {-1: -1}
    drawn = not settings.sampling.greedy
    return tuple(
        SideToken(
            id=draft.ids[a.node],
            text=session.target.piece(draft.ids[a.node]),
            parent=place[draft.parents[a.node]] if draft.parents else -1,
            p=a.p,
            q=a.q,
            u=u[a.node] if drawn and a.chance is not None else None,
            chance=a.chance,
            by=draft.by[a.node] if draft.by else "",
        )
        for a in verdict.aside
    )


def _stop(draft: Draft, cap: int, room: int, eos_ids: Sequence[int]) -> Stop:
    """Why a draft ended that might have had min(cap, room) tokens."""
    if draft.ids and draft.ids[-1] in eos_ids:
        return "eos"
    if draft.unsure:
        return "unsure"
    if len(draft.ids) < min(cap, room):
        return "nothing"
    return "limit" if room < cap else "gamma"


def ending_of(session: TargetSession, settings: Settings, steps: Sequence[Step]) -> Ending:
    """How a run over `steps` ended: at an end-of-text token, at the length limit, or stopped by whoever consumed it."""
    ids = [t for s in steps for t in s.tokens]
    if ids and ids[-1] in session.target.eos_ids:
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
    tree = drafter is not None and rule_of(settings).tree
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
        eos_ids=target.eos_ids,
        engine=target.engine.name,
        # A side branch is scored between the others' rows, which shifts the order of its sums.
        to_the_last_bit=target.engine.to_the_last_bit and not tree,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        rule=settings.rule if drafter else "token",
        lengths=settings.lengths if drafter else "constant",
        rollback=float(settings.rollback) if drafter else 0.0,
        nodes=settings.nodes if tree else 0,
        width=settings.width if tree else 0,
        temperatures=TEMPERATURES if drafter and settings.top and rule_of(settings).tempered else (),
    )
