"""The methods that are measured against each other, by name, each with the figure that its paper reports.

A method is a family of runs: drafters, rules and draft lengths of one idea. Of those that a target has, the table shows
the fastest.
"""

from __future__ import annotations

from dataclasses import dataclass

from train.measure import Method


@dataclass(frozen=True)
class Published:
    """What a paper reports of its method: figure, setting, and whether it is quoted from memory, unchecked."""

    paper: str
    figure: str
    setting: str
    memory: bool = False


@dataclass(frozen=True)
class Named:
    """One line of the table.

    Attributes:
        key: its name in the JSON.
        drafters: specs; those that a target does not have are left out.
        methods: rules and draft lengths to try with each.
        gammas: draft lengths; empty: those that were asked for.
        temperatures: which of 0 and above 0 it is for: ``greedy``, ``sampled`` or ``both``.
    """

    key: str
    title: str
    drafters: tuple[str, ...]
    methods: tuple[Method, ...] = (Method(),)
    gammas: tuple[int, ...] = ()
    temperatures: str = "both"
    published: Published | None = None

    def takes(self, temperature: float) -> bool:
        """Whether it is measured at that temperature."""
        return self.temperatures == "both" or (self.temperatures == "greedy") == (temperature == 0)


_ADAPTIVE = tuple(Method(lengths=x) for x in ("heuristic", "confidence:0.4", "cumulative", "entropy:0.3", "exit"))
# Whole trees, and those that end where every path is too unlikely.
_TREES = ("constant", "cumulative")

NAMED: tuple[Named, ...] = (
    Named(
        "lookup",
        "Lookup alone",
        ("lookup",),
        published=Published("Spec-Bench", "2.66×", "prompt lookup, Vicuna-7B, summarisation, A100"),
    ),
    Named("ngram", "N-gram alone", ("ngram:3",)),
    Named("cnn", "CNN alone", ("cnn",)),
    Named("lstm", "LSTM alone", ("lstm",)),
    Named(
        "model",
        "A small model alone",
        ("t5", "lm"),
        published=Published("Leviathan et al. 2023", "3.1×", "T5-XXL with T5-small, CNN/DailyMail, T = 0, γ = 5"),
    ),
    Named(
        "self",
        "Itself, parts skipped",
        ("self",),
        published=Published(
            "Zhang et al. 2023", "1.99×", "Draft & Verify, 70 B, CNN/DailyMail, greedy, the authors' later log"
        ),
    ),
    Named(
        "staged",
        "Staged",
        ("t5+lookup", "t5+lstm", "lm+lookup"),
        published=Published("Spector & Re 2023", "3.16×", "GPT-2-L, batch 1"),
    ),
    Named("self+lookup", "Itself, staged with lookup", ("self+lookup",)),
    Named(
        "relay",
        "Relay",
        ("lookup-then-ngram:2", "lookup-then-lstm", "lstm-then-lookup"),
        published=Published(
            "Chen et al. 2023", "up to 72 % over speculative decoding", "CS-Drafting, FLAN-T5, in standardised time"
        ),
    ),
    Named(
        "block",
        "Block verification",
        ("lookup", "lstm", "t5", "self"),
        (Method(rule="block"),),
        temperatures="sampled",
        published=Published("Sun et al. 2024", "5 to 8 % over the token rule", "wall clock", memory=True),
    ),
    Named(
        "adaptive",
        "Adaptive draft length",
        ("lstm", "t5", "self", "ngram:3"),
        _ADAPTIVE,
        (8,),
        published=Published("Agrawal et al. 2024", "10 to 57 % over constant lengths", "AdaEDL, its threshold steered"),
    ),
    Named(
        "tree",
        "Draft tree",
        ("lstm", "t5", "lookup-and-lstm", "ngram:3"),
        tuple(Method(rule="follow", nodes=8, width=2, lengths=x) for x in _TREES),
        (4, 8),
        published=Published("Li et al. 2024", "2.34×", "EAGLE-2 in Spec-Bench, Vicuna-7B, summarisation, A100"),
    ),
    Named(
        "siblings",
        "Draft tree, drawn",
        ("lstm", "t5", "ngram:3"),
        tuple(Method(rule="siblings", nodes=8, width=2, lengths=x) for x in _TREES),
        (4, 8),
        temperatures="sampled",
        published=Published("Chen et al. 2024", "up to 4.04×", "Sequoia, Llama-2 7B, A100"),
    ),
    Named(
        "foreign",
        "Another tokenizer",
        ("slem:mini", "tli:mini"),
        published=Published("Timor et al. 2025", "up to 2.8×", "SLEM and TLI, decoder-only models"),
    ),
    Named(
        "bild",
        "Big Little Decoder",
        ("t5", "lstm", "lookup"),
        (Method("bild", "bild:0.6", 2.0), Method("bild", "bild:0.3", 3.0)),
        (8,),
        temperatures="greedy",
        published=Published(
            "Kim et al. 2023", "1.71×", "T5-large with T5-small, CNN/DailyMail, fallback .4, rollback 3, T4"
        ),
    ),
)
