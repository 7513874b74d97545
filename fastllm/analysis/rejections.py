"""Every rejection of a run, and what kind of token the drafter failed to foresee. Pure; imports no torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fastllm import places, sheet
from fastllm.trace import DraftToken, Trace

NAME, FUNCTION, PIECE, SENTENCE, END, OTHER = KINDS = (
    "name/number",
    "function word",
    "word piece",
    "sentence boundary",
    "end of text",
    "other",
)

END_TEXT = "</s>"  # how every T5 tokenizer writes its end-of-text token

# Words without a content of their own: articles, pronouns, prepositions, conjunctions, auxiliaries, a few adverbs.
_FUNCTION = """
    a about above across after again against ago all along also although am among an and another any are around as
    at away back be because been before behind being below beneath beside between beyond both but by can cannot could
    did do does doing down during each either else even ever every few for from further had has have having he her here
    hers herself him himself his how however i if in inside instead into is it its itself just least less like many may
    me might mine more most much must my myself near neither no nor not now of off often on once one only onto or other
    others ought our ours ourselves out outside over own per quite rather same shall she should since so some still such
    than that the their theirs them themselves then there these they this those though through throughout thus to
    together too toward towards under until unto up upon us very was we were what whatever when where whether which
    while who whoever whom whose why will with within without would yet you your yours yourself yourselves"""
_NUMBERS = """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion dozen
    hundreds thousands millions billions dozens"""
FUNCTION_WORDS, NUMBER_WORDS = frozenset(_FUNCTION.split()), frozenset(_NUMBERS.split())
_CONTRACTION = re.compile(r"(?:n['’]t|['’](?:s|re|ve|ll|d|m))$", re.IGNORECASE)
CSV_COLUMNS = (
    *places.COLUMNS, "token", "u", "p", "q", "chance", "beta", "rank", "drafter_rank", "replacement",
    "kind_of_target_token", "context", "rule",
)  # fmt: skip
# Summary tokens before a rejection that are its context.
CONTEXT = 8
_CLOSING = "\"'’”»)]"
_OPENING = "‘“«"


@dataclass(frozen=True)
class Rejection:
    """One refused draft token and what the target put in its place.

    Attributes:
        step: index of the step, from 0.
        offset: place in the draft, from 0: so many draft tokens of the step were accepted before it.
        position: place in the summary, from 0: where the draft token would have stood and the replacement stands.
        token, replacement: texts, with a leading space where a word begins.
        u: the draw that refused it; None where nothing was drawn (greedy).
        p, q: probability of the *draft* token under the target and under the drafter.
        chance: what it would have been kept with, see :func:`chance_of`.
        beta: the chance that a draft token is kept at this place.
        rank, drafter_rank: its place among all tokens by raw p and q, from 1; None where the run did not record them.
        kind: of the target's token, one of KINDS; see :func:`rejections`.
        context: the summary before it, its last CONTEXT tokens, draft tokens of the same step that were kept included.
        rule: the rule that refused it (fastllm/rules).
    """

    step: int
    offset: int
    position: int
    token: str
    u: float | None
    p: float
    q: float
    chance: float | None
    beta: float | None
    rank: int | None
    drafter_rank: int | None
    replacement: str
    kind: str
    context: str
    rule: str


def chance_of(token: DraftToken, rule: str) -> float | None:
    """What a draft token is kept with: as it was recorded, in [0, 1].

    Traces before version 4 do not say it; under the token rule, the only one of their time, it is min(1, p / q)
    (Leviathan et al. 2023, section 2.3). None for a token that was not tested, and where another rule's was not
    recorded.
    """
    if token.chance is not None or token.status == "ignored" or rule != "token":
        return token.chance
    return min(1.0, token.p / token.q) if token.q > 0 else 1.0


def rejections(trace: Trace) -> tuple[Rejection, ...]:
    """Every rejection of a run, in order, each with its kind.

    The kind says what the drafter failed to foresee, so it is that of the *target's replacement*, within the words of
    the finished summary; the refused draft token matters to the first rule only. The first rule that fits decides:

    1. ``end of text``: the draft token or the replacement is the end-of-text token: the models disagree on the end.
    2. ``sentence boundary``: the replacement has no letter or digit, holds one of ``. ! ? …``, and the next summary
       token begins a new word, is the end, or is missing. (The point of ``3.5`` is no boundary.)
    3. ``word piece``: it has no leading space and continues a word: there is a letter or digit between the last space
       and it. A piece without letter or digit counts only where the word goes on after it (``3`` ``.`` ``5``, a
       hyphen). A piece right after an opening quote or bracket continues nothing.
    4. ``name/number``: it begins a word, which is read to its end, and the word holds a digit, or is a number word
       (two .. trillions), or is capitalised in the middle of a sentence ("I" is not a name). At the start of a
       sentence a capital letter proves nothing: there the word must have two capitals (``NATO``), or stand capitalised
       in the middle of a sentence somewhere in the article or in the summary.
    5. ``function word``: it begins a word of FUNCTION_WORDS (contractions without their ending: ``didn't`` is ``did``).
    6. ``other``: any other word, and commas, quotes, dashes and the like.
    """
    pieces = _summary_texts(trace)
    corpus = f"{trace.article.text}\n{''.join(pieces)}"
    found = []
    for step in trace.steps:
        for offset, token in enumerate(step.draft):
            if token.status != "rejected":
                continue
            at = step.position + offset
            replacement = step.emitted.text if step.emitted else ""
            if END_TEXT in (token.text, replacement):
                kind = END
            else:
                kind = _kind(pieces, at, corpus) if step.emitted else OTHER
            found.append(
                Rejection(
                    step=step.index,
                    offset=offset,
                    position=at,
                    token=token.text,
                    u=token.u,
                    p=float(token.p),
                    q=float(token.q),
                    chance=chance_of(token, trace.rule),
                    beta=token.beta,
                    rank=token.p_rank,
                    drafter_rank=token.q_rank,
                    replacement=replacement,
                    kind=kind,
                    context="".join(pieces[max(0, at - CONTEXT) : at]),
                    rule=trace.rule,
                )
            )
    return tuple(found)


def kinds(trace: Trace) -> tuple[str, ...]:
    """The kind of every summary token, by rules 1 to 6 of :func:`rejections`; rule 1 for the end-of-text token."""
    pieces = _summary_texts(trace)
    corpus = f"{trace.article.text}\n{''.join(pieces)}"
    return tuple(_kind(pieces, i, corpus) if text else END for i, text in enumerate(pieces))


def _summary_texts(trace: Trace) -> list[str]:
    """Texts of the summary's tokens; position i of the summary is item i. The end of the text reads ""."""
    texts = []
    for step in trace.steps:
        texts += [t.text for t in step.draft if t.status == "accepted"]
        if step.emitted:
            texts.append(step.emitted.text)
    return ["" if text == END_TEXT else text for text in texts]


def _kind(pieces: list[str], at: int, corpus: str) -> str:
    """Rules 2 to 6 for the token at `at` of the summary."""
    piece = pieces[at]
    before, after = "".join(pieces[:at]), pieces[at + 1] if at + 1 < len(pieces) else ""
    stem = "" if piece.startswith(" ") else before.rpartition(" ")[2]
    continues = any(map(str.isalnum, stem))
    if not any(map(str.isalnum, piece)) and piece.strip():
        inside = continues and after[:1].isalnum()
        if any(c in ".!?…" for c in piece) and not inside and not after[:1].isalnum():
            return SENTENCE
        if not (piece.startswith(" ") and after[:1].isdigit()):  # a currency sign and its figures are one word
            return PIECE if inside else OTHER
    if continues:
        return PIECE
    word = _word(pieces, at)
    if any(map(str.isdigit, word)) or word.lower() in NUMBER_WORDS:
        return NAME
    if _is_name(word, before, corpus):
        return NAME
    return FUNCTION if word.lower() in FUNCTION_WORDS else OTHER


def _word(pieces: list[str], at: int) -> str:
    """The word that begins at `at`, without punctuation around it and without a contraction's ending."""
    text = pieces[at].lstrip()
    for piece in pieces[at + 1 :]:
        if not piece or piece.startswith(" "):
            break
        text += piece
    found = re.search(r"\w[\w'’.-]*", text)
    return _CONTRACTION.sub("", found[0].rstrip("'’.-")) if found else ""


def _is_name(word: str, before: str, corpus: str) -> bool:
    if not word[:1].isupper() or word == "I":
        return False
    if not _starts_sentence(before):
        return True
    if sum(map(str.isupper, word)) > 1:
        return True
    return re.search(rf"[a-z,;] {re.escape(word)}(?!\w)", corpus) is not None


def _starts_sentence(before: str) -> bool:
    """Whether a word after this text begins a sentence: nothing before it, a sentence's end, or an opening quote."""
    text = before.rstrip()
    # A straight quote opens where a space or nothing is before it, and closes elsewhere.
    if not text or text[-1] in _OPENING or (text[-1] in "\"'" and text[-2:-1] in ("", " ")):
        return True
    return text.rstrip(_CLOSING).endswith((".", "!", "?", "…", ":"))


def to_csv(found: Iterable[Rejection]) -> str:
    """The rejections as CSV, a column for each field, places counted from 1 as the columns say; texts are safe to open
    in a spreadsheet (fastllm/sheet.py). Empty cells: nothing drawn, or not recorded."""
    rows = []
    for r in found:
        step, offset, position, *rest = dataclasses.astuple(r)
        rows.append((*places.counted(step, offset, position), *rest))
    return sheet.to_csv(CSV_COLUMNS, rows)


def picked(trace: Trace, wanted: Iterable[tuple[int, int]]) -> tuple[Rejection, ...]:
    """Those rejections of `trace` that stand at the (step, offset) of `wanted`, in its order; others it names are left
    out."""
    at = {(r.step, r.offset): r for r in rejections(trace)}
    return tuple(at[place] for place in wanted if place in at)
