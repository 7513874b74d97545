"""Trees are lossless: greedy, sampled, over both engines; ways to get them wrong fail the same test."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch

from fastllm.analysis.faults import not_renormalised
from fastllm.analysis.metrics import summarise
from fastllm.analysis.timing import Calls
from fastllm.cli import main, render_step
from fastllm.config import Sampling, Settings
from fastllm.decode import speculative
from fastllm.drafters import load_drafter
from fastllm.drafters.base import DistributionSession, Draft, Drafter
from fastllm.drafters.tree import TrieDrafter, grow, without
from fastllm.export import to_csv, to_html
from fastllm.rules.follow import follow, overlaps
from fastllm.sampling import Sampler, draw
from fastllm.targets.load import load_target
from fastllm.trace import TraceError, from_json, to_json
from fastllm.trees import children, depths, path, trunk
from fastllm.verify import overlaps as overlaps_of_chain
from fastllm.verify import verify
from tests.conftest import ARTICLE, TEXTS
from tests.drafters import ScriptedDrafter
from tests.test_decode import drafter_named, end_after, run
from tests.test_verify import distributions, g_test
from tests.tiny_models import make_causal

P, Q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
# A first token and, by it, a second one. What a refused third word leaves of p is above q at one word and below it at
# others: else an unnormalised rest is drawn from in the right proportions all the same, and the mistake does not show.
P4, Q4 = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.1, 0.6])
P2, Q2 = torch.stack([P4.roll(i) for i in range(4)]), torch.stack([Q4.roll(i) for i in range(4)])
JOINT = (P4[:, None] * P2).flatten()


def two_levels(uniform, width: int, step=without) -> tuple[list[int], list[int], list[torch.Tensor]]:
    """A tree of `width` children of the root and as many of the first of them, drawn from Q4 and Q2."""
    ids, parents, rows = [], [], []
    for parent in (-1, 0):
        q = Q4 if parent < 0 else Q2[ids[0]]
        for _ in range(width):
            rows.append(q)
            ids.append(draw(q, uniform()))
            parents.append(parent)
            q = step(q, ids[-1])
    return ids, parents, rows


def counts(judge, width: int = 2, step=without, samples: int = 1500) -> torch.Tensor:
    """The first two tokens of that many steps, the second one drawn plainly where the step gave only one."""
    found = torch.zeros(16)
    generator = torch.Generator().manual_seed(7)
    draws = iter(torch.rand(samples * 20, generator=generator, dtype=torch.float64).tolist())
    for _ in range(samples):
        ids, parents, rows = two_levels(lambda: next(draws), width, step)
        p = torch.stack([P4, *(P2[i] for i in ids)])
        verdict = judge(ids, p, torch.stack(rows), [next(draws) for _ in range(len(ids) + 1)], (), parents)
        text = [ids[i] for i in verdict.order[: verdict.accepted]] + [verdict.token]
        if len(text) == 1:
            text.append(draw(P2[text[0]], next(draws)))
        found[4 * text[0] + text[1]] += 1
    return found


@pytest.mark.parametrize("width", [1, 2, 3])
def test_drawn_siblings_emit_the_target_distribution(width):
    """The joint of the first two tokens is the target's (G-test), for chains and for siblings without replacement."""
    assert g_test(counts(follow, width), JOINT) > 0.001


@pytest.mark.parametrize(
    ("judge", "step"),
    [
        (partial(follow, left_by=not_renormalised), without),
        # Drawn again from all of q, and reported as if what was drawn before were out of it.
        (lambda ids, p, q, u, eos, parents: follow(ids, p, _reported(ids, q), u, eos, parents), lambda q, token: q),
    ],
    ids=["forgets to renormalise p", "draws with replacement"],
)
def test_a_broken_tree_fails_the_same_test(judge, step):
    """Two mistakes that programs make."""
    assert g_test(counts(judge, 2, step), JOINT) < 1e-4


def _reported(ids, q):
    return torch.stack([q[0], without(q[0], ids[0]), q[2], without(q[2], ids[2])])


def test_siblings_keep_as_many_as_the_papers_say():
    """p = (.5, .3, .2), q = (.2, .2, .6), by enumeration: one draw keeps .60, two with replacement .76, two without
    .90, the two likeliest of q .70."""

    def kept(pairs):
        total = 0.0
        for chance, ids, q in pairs:
            rows = torch.stack([P] * (len(ids) + 1))
            parents = [-1] * len(ids)
            verdict = follow(ids, rows, q, [0.0] * (len(ids) + 1), (), parents)
            total += chance * overlaps(ids, rows, q, verdict, parents)[0]
        return total

    one = [(float(Q[a]), [a], Q[None]) for a in range(3)]
    again = [(float(Q[a] * Q[b]), [a, b], torch.stack([Q, Q])) for a, b in itertools.product(range(3), repeat=2)]
    rest = [without(Q, a) for a in range(3)]
    two = [
        (float(Q[a] * rest[a][b]), [a, b], torch.stack([Q, rest[a]])) for a, b in itertools.permutations(range(3), 2)
    ]
    assert kept(one) == pytest.approx(0.60)
    assert kept(again) == pytest.approx(0.76)
    assert kept(two) == pytest.approx(0.90)
    assert kept([(1.0, [2, 0], None)]) == pytest.approx(0.70)


def test_expected_tokens_are_one_and_the_probability_of_every_path():
    """E = 1 + sum over nodes of p(path to it), measured over 3,000 steps of a tree of chosen branches."""
    ids, parents = [2, 0, 1, 1], [-1, 0, 0, -1]
    p = torch.stack([P4, *(P2[i] for i in ids)])
    expected = 1.0
    for node in range(4):
        chance = 1.0
        for i in path(parents, node):
            chance *= float(p[parents[i] + 1, ids[i]])
        expected += chance
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(3000, 5, generator=generator, dtype=torch.float64).tolist()
    mean = sum(1 + follow(ids, p, None, one, (), parents).accepted for one in u) / 3000
    assert mean == pytest.approx(expected, abs=4 / 3000**0.5 * 0.8)


@pytest.mark.parametrize("seed", range(3))
def test_a_chain_is_judged_as_by_the_token_rule(seed):
    """The same verdict, drawn or chosen: tokens, chances, betas."""
    p, q = distributions(seed, 4), distributions(seed + 9, 3)
    for u in torch.rand(10, 4, generator=torch.Generator().manual_seed(seed)).tolist():
        ids = [draw(row, x) for row, x in zip(q, u, strict=False)]
        for rows in (q, None):
            ours, theirs = follow(ids, p, rows, u), verify(ids, p, rows, u)
            assert (ours.accepted, ours.token, ours.kind) == (theirs.accepted, theirs.token, theirs.kind)
            assert ours.chances == pytest.approx(theirs.chances, abs=1e-5)
            assert overlaps(ids, p, rows, ours) == pytest.approx(overlaps_of_chain(ids, p, rows, theirs), abs=1e-5)


class Fixed(DistributionSession):
    """A distribution after each text, by its last token."""

    def next_logits(self, prefix):
        return (Q2[prefix[-1]] if prefix else Q4).log()


def fixed(
    drawn: bool, nodes: int, width: int, depth: int = 9, eos: tuple = (), temperature: float = 1.0, least: float = 0.0
) -> Draft:
    sampler = Sampler(Sampling(temperature), 4, eos, 0, seed=nodes)
    return grow(Fixed(sampler), sampler, [], depth, nodes, width, drawn, least)


def test_a_tree_is_grown_where_its_path_is_likeliest():
    """Best-first: no node that was left out has a likelier path than one that was taken; depth, width, number and the
    end of text are kept to; the likeliest chain stands first."""
    draft = fixed(False, 7, 2, temperature=0.0)
    taken = [tuple(draft.ids[i] for i in path(draft.parents, n)) for n in range(7)]

    def chance(line):
        return float(
            torch.tensor([float((Q2[a] if a is not None else Q4)[b]) for a, b in itertools.pairwise(line)]).prod()
        )

    allowed = [
        line
        for n in (1, 2, 3, 4)
        for line in itertools.product(range(4), repeat=n)
        if all(b in (Q2[a] if a is not None else Q4).topk(2).indices for a, b in itertools.pairwise((None, *line)))
    ]
    left = [chance((None, *line)) for line in allowed if line not in taken]
    assert max(left) <= min(chance((None, *line)) for line in taken) + 1e-6
    assert len(set(taken)) == 7
    assert trunk(draft.parents) > 1
    for drawn in (False, True):
        wide = fixed(drawn, 16, 3, depth=2, eos=(1,))
        assert max(depths(wide.parents)) <= 1
        assert not any(children(wide.parents, i) for i, token in enumerate(wide.ids) if token == 1)
        for node in range(-1, len(wide.ids)):
            here = [wide.ids[i] for i in children(wide.parents, node)]
            assert len(here) == len(set(here)) <= 3
    assert fixed(False, 5, 1).parents == (-1, 0, 1, 2, 3)
    assert fixed(True, 0, 1).ids == fixed(True, 4, 1, depth=0).ids == ()


def test_two_drafters_chains_are_one_trie(tiny):
    """The common beginning once, each token by whoever guessed it first, place by place until there are enough."""
    names = [ScriptedDrafter(9, (1, 2, 3, 4)), ScriptedDrafter(9, (1, 2, 5, 6, 7))]
    sampler, source = Sampler(Sampling(), 9, (), 0), tiny.open(ARTICLE).source
    session = TrieDrafter(*names).open(source, sampler)
    draft = grow(session, sampler, [], 5, 16, 2, False)
    assert draft.ids == (1, 2, 3, 4, 5, 6, 7)
    assert draft.parents == (-1, 0, 1, 2, 1, 4, 5)
    assert grow(session, sampler, [], 5, 4, 2, False).ids == (1, 2, 3, 5)
    mixed = TrieDrafter(names[0], drafter_named("lstm", tiny, ARTICLE)).open(source, tiny.sampler(Settings()))
    draft = grow(mixed, tiny.sampler(Settings()), [], 3, 16, 2, False)
    assert set(draft.by) == {"scripted", "lstm"}
    assert draft.logits.shape == (len(draft.ids), tiny.vocab_size)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_tree_ends_where_every_path_is_too_unlikely(drawn):
    """No node whose path (drawn: whose parent's path) is less likely than asked for; greedy, all others; the draft says
    that it was unsure. Nothing asked for is the whole tree."""

    def chances(draft: Draft) -> list[float]:
        lines = [[None, *(draft.ids[i] for i in path(draft.parents, node))] for node in range(len(draft.ids))]
        return [
            float(torch.stack([(Q2[a] if a is not None else Q4)[b] for a, b in itertools.pairwise(line)]).prod())
            for line in lines
        ]

    whole = fixed(drawn, 16, 3)
    assert fixed(drawn, 16, 3, least=0.0).ids == whole.ids
    assert not whole.unsure
    for least in (0.1, 0.3, 1.01):
        some = fixed(drawn, 16, 3, least=least)
        assert some.unsure == (len(some.ids) < 16)
        found = chances(some)
        if drawn:
            assert all(found[parent] >= least for parent in some.parents if parent >= 0)
            assert (len(some.ids) == 0) == (least > 1)
        else:
            assert sorted(found) == sorted(x for x in chances(whole) if x >= least)
    assert 0 < len(fixed(drawn, 16, 3, least=0.3).ids) < 16


@pytest.fixture(scope="module")
def engines(tiny_folder, tmp_path_factory):
    """T5 and Llama on both engines."""
    llama = str(make_causal(tmp_path_factory.mktemp("rules") / "llama"))
    return {
        f"{kind} {engine}": load_target(where, engine=engine)
        for kind, where in (("t5", str(tiny_folder)), ("llama", llama))
        for engine in ("onnx", "torch")
    }


WHERE = ["t5 onnx", "t5 torch", "llama onnx", "llama torch"]


@pytest.mark.parametrize(
    ("where", "rule", "lengths"),
    [
        *((w, "follow", "constant") for w in WHERE),
        ("t5 onnx", "follow", "cumulative:0.05"),
        ("t5 onnx", "siblings", "constant"),
        ("llama torch", "siblings", "cumulative:0.001"),
    ],
)
def test_greedy_trees_give_the_plain_text(engines, where, rule, lengths):
    """Every kind of tree over both engines: wide, deep, of a chain, of two drafters, with blocking; a trace of it comes
    back from JSON, and has side branches."""
    target, sides, blocked = engines[where], 0, Sampling(no_repeat_ngram_size=3)
    for text, (gamma, nodes, width) in zip(TEXTS, ((4, 8, 2), (16, 16, 4), (6, 12, 3)), strict=False):
        plain = run(target, text, None, Settings(sampling=blocked, max_new_tokens=12))
        for name in ("sometimes", "lookup", "empty", "lstm"):
            settings = Settings(gamma, blocked, 0, 12, 2, rule=rule, lengths=lengths, nodes=nodes, width=width)
            drafter = drafter_named(name, target, text)
            if gamma == 6:
                drafter = TrieDrafter(drafter_named("lookup", target, text), drafter)
            trace = run(target, text, drafter, settings)
            assert trace.tokens == plain.tokens, (name, gamma)
            assert (trace.nodes, trace.width) == (nodes, width)
            assert all(s.drafted <= nodes and len(s.draft) <= gamma for s in trace.steps)
            assert from_json(to_json(trace)) == trace
            sides += sum(len(s.aside) for s in trace.steps)
    assert sides > (50 if lengths == "constant" else 20)


class Guess(Drafter):
    """The target's own first logits with noise, whatever the text: costs nothing, and is right sometimes."""

    name = "guess"

    def __init__(self, logits: torch.Tensor) -> None:
        self.vocab_size = len(logits)
        self._logits = logits + 2 * torch.randn(len(logits), generator=torch.Generator().manual_seed(4))

    def open(self, source, sampler):
        session = Fixed(sampler)
        session.next_logits = lambda prefix: self._logits
        return session


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("rule", ["follow", "siblings"])
@pytest.mark.parametrize("lengths", ["constant", "cumulative:0.2"])
def test_sampled_trees_emit_the_target_distribution(engines, where, rule, lengths):
    """Through the decoder: the first token over many seeds (G-test)."""
    target, sampling = engines[where], Sampling(4.0, top_k=6)
    session = target.open(ARTICLE)
    logits = session.score([])
    drafter, found = Guess(logits[0]), torch.zeros(target.vocab_size)
    p = target.sampler(Settings(sampling=sampling)).distribution(logits, [])[0]
    for seed in range(100):
        settings = Settings(2, sampling, seed=seed, top=0, max_new_tokens=4, rule=rule, lengths=lengths, nodes=4)
        found[next(speculative(session, drafter, settings)).tokens[0]] += 1
    assert g_test(found, p) > 0.001


def test_a_side_branch_may_end_the_text_and_the_limit_counts_depth(tiny, monkeypatch):
    """eos in a side branch is the last token; a limit inside the tree is met exactly."""
    script = end_after(tiny, monkeypatch, (5, 6))
    score = type(tiny.open(ARTICLE)).score

    def rows(self, prefix, draft=(), parents=None):
        texts = [list(prefix)] + [[*prefix, *(draft[j] for j in path(parents or (), i))] for i in range(len(draft))]
        return torch.cat([score(self, t) for t in texts])

    monkeypatch.setattr("fastllm.targets.base.TargetSession.score", rows)
    drafter = TrieDrafter(ScriptedDrafter(tiny.vocab_size, (5, 9, 9, 9)), ScriptedDrafter(tiny.vocab_size, script))
    trace = run(tiny, ARTICLE, drafter, Settings(8, max_new_tokens=20, rule="follow", nodes=16))
    assert trace.tokens == script
    assert len(trace.steps) == 1
    assert trace.steps[0].emitted is None
    assert [t.parent for t in trace.steps[0].aside] == [0, 3, 4]
    cut = run(tiny, ARTICLE, drafter, Settings(8, max_new_tokens=2, rule="follow", nodes=16))
    assert (cut.tokens, cut.ending) == (script[:2], "length")


def test_every_surface_tells_the_branches(tiny):
    """Figures count every node as drafted and a place once as tested; page, CSV and terminal show what lost."""
    trace = run(tiny, ARTICLE, drafter_named("sometimes", tiny, ARTICLE), Settings(4, max_new_tokens=12, rule="follow"))
    sides = sum(len(s.aside) for s in trace.steps)
    nodes = sum(len(s.draft) for s in trace.steps) + sides
    figures = summarise(trace)
    assert (figures.drafted, figures.accepted) == (nodes, sum(s.accepted for s in trace.steps))
    assert sum(Calls.of(trace.steps).drafted) == nodes
    page, rows = to_html(trace), to_csv(trace).splitlines()
    assert page.count('<details class="aside">') == sum(bool(s.aside) for s in trace.steps)
    assert "8 nodes at most, 2 siblings" in page
    assert sum("beside" in row for row in rows) == sides == len(rows) - 1 - sum(len(s.draft) for s in trace.steps)
    first = next(s for s in trace.steps if s.aside)
    assert f"[ignored:· {len(first.aside)} others]" in render_step(first, color=False)
    assert all(0 <= place < 4 for s in trace.steps for place in s.side_places)


def test_the_command_line_grows_trees(tmp_path, capsys, tiny_folder):
    """--rule follow --nodes --width reach the trace; a size out of range is told with exit status 2."""
    article = tmp_path / "a.txt"
    article.write_text(ARTICLE)
    made = [str(article), "--target", str(tiny_folder), "--drafter", "lookup-and-lookup", "--rule", "follow"]
    made += ["--nodes", "5", "--width", "3"]
    assert main([*made, "--max-new-tokens", "12", "--json", str(tmp_path / "t.json")]) == 0
    trace = from_json((tmp_path / "t.json").read_text())
    assert (trace.rule, trace.nodes, trace.width) == ("follow", 5, 3)
    assert "exact up to rounding" in capsys.readouterr().out
    assert main([*made, "--nodes", "99"]) == 2
    assert "nodes must be between 1 and 16" in capsys.readouterr().err


def test_what_goes_with_trees_and_what_does_not(tiny):
    """Two drafters at once need a tree rule; of draft length policies only those that know of paths; sizes and parents
    are checked."""
    drafter = load_drafter(tiny, "lookup-and-lookup")
    with pytest.raises(ValueError, match="guesses a tree, which the rule 'token' cannot judge"):
        run(tiny, ARTICLE, drafter, Settings())
    with pytest.raises(ValueError, match=r"policy 'heuristic' cannot say .* choose 'constant' or 'cumulative'"):
        run(tiny, ARTICLE, drafter, Settings(rule="follow", lengths="heuristic"))
    with pytest.raises(ValueError, match="tree's nodes must be between 1 and 16"):
        Settings(nodes=17)
    with pytest.raises(ValueError, match="width of a tree must be between 1 and 4"):
        Settings(width=0)
    settings = Settings(4, max_new_tokens=8, rule="follow")
    trace = run(tiny, ARTICLE, drafter_named("sometimes", tiny, ARTICLE), settings)
    text = to_json(trace)
    at = next(i for i, s in enumerate(trace.steps) if s.aside)
    wrong = text.replace(f'"parent":{trace.steps[at].aside[0].parent},"p"', '"parent":99,"p"', 1)
    with pytest.raises(TraceError, match=r"aside\[0\].parent should be -1 or stand before it"):
        from_json(wrong)
    older = text.replace('"version":6', '"version":4').replace(',"nodes":8,"width":2', "")
    assert (from_json(older).nodes, from_json(older).steps) == (0, trace.steps)
