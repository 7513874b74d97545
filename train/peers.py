"""Other people's decoders on the same articles: transformers' ``generate`` and assisted generation, and CTranslate2.

All decode greedily, encoder or prompt included, one article after the other, every peer in turn on each article and in
an order that turns round, with one thread and with two. CTranslate2 (``pip install ctranslate2``) is left out with a
word where it is absent or cannot read the model.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fastllm import console
from fastllm.config import Sampling, Settings
from fastllm.drafters import load_drafter
from fastllm.drafters.base import Drafter
from fastllm.drafters.t5 import T5Drafter
from fastllm.targets.base import Target
from fastllm.targets.load import open_engine
from train.claim import claim
from train.content import fingerprint
from train.data import Pair
from train.files import write_whole
from train.library import library_generate
from train.measure import Job, Method, decode
from train.results import method_of

THREADS = (1, 2)
QUANTIZATIONS = ("float32", "int8")

# Of a comparison the figures with so many threads stand in sentences.
SAID_OF = 1

Decode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Timing:
    """One decoding of one article, encoder included: seconds, tokens, and whether the text was not the target's own."""

    seconds: float
    tokens: int
    differs: bool

    @classmethod
    def of(cls, seconds: float, tokens: Sequence[int], wanted: Sequence[int]) -> Timing:
        return cls(seconds, len(tokens), list(tokens) != list(wanted))


@dataclass(frozen=True)
class Peer:
    """Somebody who writes a summary's tokens: `decode` takes the article. `drafter` and `gamma`: where there are."""

    name: str
    threads: int
    decode: Decode
    drafter: str = ""
    gamma: int = 0


@dataclass(frozen=True)
class Ours:
    """Our own entry beside plain decoding: the drafter and gamma that were fastest at T = 0."""

    spec: str
    gamma: int
    method: Method = field(default_factory=Method)

    @property
    def name(self) -> str:
        return ", ".join([f"{self.spec} γ={self.gamma}", *(f"{k} {v}" for k, v in self.method.departures().items())])

    def as_dict(self) -> dict[str, Any]:
        """What two comparisons must share."""
        return {"spec": self.spec, "gamma": self.gamma, **self.method.departures()}

    @classmethod
    def best(cls, rows: Sequence[dict]) -> Ours | None:
        """The fastest greedy row of a table; that of the highest tau where none could be timed."""
        greedy = [r for r in rows if r["temperature"] == 0]
        best = max(greedy, key=lambda r: (r["measured_speedup"] or 0, r["tau"]), default=None)
        return None if best is None else cls(best["drafter"], best["gamma"], Method(**method_of(best)))


@contextmanager
def threads_of(n: int) -> Iterator[None]:
    """torch's and the engines' pools of `n` threads, for what is loaded or run inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settings(target: Target, limit: int, gamma: int = 1, method: Method | None = None) -> Settings:
    sampling = Sampling(0.0, 0, 1.0, target.preset.no_repeat_ngram_size)
    return Settings(gamma, sampling, 0, limit, 0, **(method or Method()).settings())


def _ours(target: Target, drafter: Drafter | None, gamma: int, limit: int, method: Method | None = None) -> Decode:
    job = Job(drafter, gamma, 0.0)

    def run(article: str) -> Sequence[int]:
        session = target.open(article)
        try:
            return decode(session, job, _settings(target, limit, gamma, method)).tokens
        finally:
            session.close()

    return run


@torch.inference_mode()
def time_generate(
    target: Target, prompt_ids: Sequence[int], settings: Settings, assistant: T5Drafter | None = None
) -> tuple[float, list[int]]:
    """Seconds and tokens of transformers' own greedy generate on a prompt's ids, its encoder pass included.

    With `assistant`, assisted generation (its speculative decoding) with that T5 as it comes: twenty assistant tokens
    at most, fewer where the assistant is unsure.
    """
    ids = torch.tensor([list(prompt_ids)], device=target.device)
    model, helper = target.model, assistant.model if assistant else None
    started = time.perf_counter()
    out = library_generate(
        model,
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        settings.max_new_tokens,
        target.eos_ids,
        target.start_id if model.config.is_encoder_decoder else None,
        target.first_id,
        settings.sampling.no_repeat_ngram_size,
        assistant=helper,
    )
    before = 1 if model.config.is_encoder_decoder else ids.shape[1]
    return time.perf_counter() - started, out[0, before:].tolist()


def _library(target: Target, assistant: T5Drafter | None, limit: int) -> Decode:
    def run(article: str) -> Sequence[int]:
        return time_generate(target, target.read(article).ids, _settings(target, limit), assistant)[1]

    return run


def _ctranslate2(target: Target, folder: Path, threads: int, limit: int) -> Decode:
    """CTranslate2 over a converted model; ids go in and out as the pieces that its vocabulary names."""
    import ctranslate2

    model: Any
    blocked = target.preset.no_repeat_ngram_size
    pieces = target.tokenizer.convert_ids_to_tokens
    options = {"beam_size": 1, "no_repeat_ngram_size": blocked, "return_end_token": True}
    kind = ctranslate2.Translator if target.checkpoint.seq2seq else ctranslate2.Generator
    model = kind(str(folder), device="cpu", inter_threads=1, intra_threads=threads)
    ids_of = target.tokenizer.convert_tokens_to_ids

    def run(article: str) -> Sequence[int]:
        read = pieces(list(target.read(article).ids))
        if target.checkpoint.seq2seq:
            found = model.translate_batch([read], max_decoding_length=limit, **options)[0].hypotheses[0]
            return ids_of(found)
        out = model.generate_batch(
            [read], max_length=limit, include_prompt_in_result=False,
            end_token=[target.tokenizer.convert_ids_to_tokens(i) for i in target.eos_ids], **options,
        )  # fmt: skip
        return out[0].sequences_ids[0]

    return run


def _converted(target: Target, into: Path) -> dict[str, Path]:
    """The model's folder as CTranslate2 reads it, by quantization; empty, with a word, where that cannot be."""
    try:
        import ctranslate2
    except ImportError:
        console.say("CTranslate2 is not installed, and is left out (pip install -r requirements-dev.txt).")
        return {}
    found = {}
    for name in QUANTIZATIONS:
        try:
            converter = ctranslate2.converters.TransformersConverter(str(target.checkpoint.where))
            converter.convert(str(into / name), quantization=name)
        # A converter meets whatever transformers has changed: any error means that there is no such peer.
        except Exception as error:
            console.say(f"CTranslate2 cannot read {target.preset.name}, and is left out ({error}).")
            return {}
        found[name] = into / name
    return found


def peers_of(target: Target, ours: Sequence[Ours], assistant: T5Drafter | None, limit: int, into: Path) -> list[Peer]:
    """Everybody, with one thread and with two; our own plain decoding first, by which the texts are judged.

    Args:
        ours: of our drafters those to be compared.
        assistant: the T5 to time under transformers' assisted generation.
        into: an empty folder for CTranslate2's files.
    """
    converted, found = _converted(target, into), []
    for n in THREADS:
        with threads_of(n):
            # The engine's pool is made when it is opened.
            start = target.start_id if target.checkpoint.seq2seq else None
            engine = open_engine(target.checkpoint, start, target.engine.name)
            own = type(target)(target.preset, target.checkpoint, target.tokenizer, engine)
            found.append(Peer("plain", n, _ours(own, None, 1, limit)))
            for one in ours:
                run = _ours(own, load_drafter(own, one.spec), one.gamma, limit, one.method)
                found.append(Peer(one.name, n, run, one.spec, one.gamma))
            found.append(Peer("generate", n, _library(own, None, limit)))
            if assistant:
                found.append(Peer("assisted generation", n, _library(own, assistant, limit), assistant.name))
            for name, folder in converted.items():
                found.append(Peer(f"ctranslate2 {name}", n, _ctranslate2(own, folder, n, limit)))
    return found


def measure_peers(
    target: Target,
    ours: Sequence[Ours],
    assistant: T5Drafter | None,
    pairs: Sequence[Pair],
    limit: int,
    state: Path | None = None,
) -> list[dict]:
    """Rows ``{"name", "threads", "ms_token", "texts_equal", "articles", "drafter", "gamma"}``, greedy, encoder or
    prompt included.

    ``ms_token`` is all seconds over all tokens of the peer's own texts; ``texts_equal`` counts those that are plain
    decoding's. With `state`, each article is kept there, and a cut run goes on.

    Raises:
        ValueError: the state is of another target, drafter or length.
    """
    if state:
        state.mkdir(parents=True, exist_ok=True)
        made = {"target": fingerprint(target), "ours": [one.as_dict() for one in ours], "limit": limit,
                "assistant": assistant and assistant.sha256}  # fmt: skip
        claim(state, made, "a comparison with peers", any(state.glob("*.json")))
    with tempfile.TemporaryDirectory() as home:
        peers = peers_of(target, ours, assistant, limit, Path(home))
        found: list[list[Timing]] = []
        warm = False
        for number, pair in enumerate(tqdm(pairs, desc="peers", unit="article", mininterval=5)):
            file = state and state / f"{number:05d}.json"
            if file and file.exists():
                found.append([Timing(**t) for t in json.loads(file.read_text())])
                continue
            if not warm:
                one_article(peers, pair.article, number)
                warm = True
            found.append(one_article(peers, pair.article, number))
            if file:
                write_whole(file, json.dumps([asdict(t) for t in found[-1]]))
    return [
        {
            "name": peer.name,
            "threads": peer.threads,
            "ms_token": round(1e3 * sum(t.seconds for t in mine) / sum(t.tokens for t in mine), 3),
            "texts_equal": sum(not t.differs for t in mine),
            "articles": len(mine),
            "drafter": peer.drafter,
            "gamma": peer.gamma,
        }
        for peer, mine in zip(peers, zip(*found, strict=True), strict=True)
    ]


def compared(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """transformers' decoders beside ours, with one thread, from the rows of :func:`measure_peers`; None where there are
    none.

    Returns:
        Milliseconds a token and their ratios, and under ``assisted`` those of the T5 pair at our best gamma. Results
        from before the peers were measured by themselves have such a dictionary of their own.
    """
    found = {r["name"]: r for r in rows if r["threads"] == SAID_OF}
    if not {"plain", "generate"} <= set(found):
        return None
    generate, plain, assisted = found["generate"], found["plain"], found.get("assisted generation")
    result: dict[str, Any] = {
        "ms_per_token_generate": generate["ms_token"],
        "ms_per_token_ours": plain["ms_token"],
        "generate_over_ours": generate["ms_token"] / plain["ms_token"],
    }
    drafter = assisted and assisted.get("drafter")
    pair = next((r for r in found.values() if drafter and r["drafter"] == drafter and r["gamma"]), None)
    if assisted and pair:
        result["assisted"] = {
            "drafter": drafter,
            "ms_per_token_assisted": assisted["ms_token"],
            "ms_per_token_ours": pair["ms_token"],
            "ours_at_gamma": pair["gamma"],
            "assisted_over_ours": assisted["ms_token"] / pair["ms_token"],
            "speedup_over_generate": generate["ms_token"] / assisted["ms_token"],
        }
    return result


def one_article(peers: Sequence[Peer], article: str, number: int) -> list[Timing]:
    """Every peer on one article, in their order; odd numbers begin with the last."""
    order = peers if number % 2 == 0 else peers[::-1]
    timed = {id(p): _timed(p, article) for p in order}
    wanted = timed[id(peers[0])][1]
    return [Timing.of(*timed[id(p)], wanted) for p in peers]


def _timed(peer: Peer, article: str) -> tuple[float, list[int]]:
    with threads_of(peer.threads), torch.inference_mode():
        started = time.perf_counter()
        tokens = list(peer.decode(article))
        return time.perf_counter() - started, tokens
