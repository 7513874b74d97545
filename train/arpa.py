"""ARPA text, as KenLM's lmplz writes it, into the arrays of ``fastllm/drafters/ngram.py``.

Words are token ids in decimal; ``<s>`` is the begin of the text, ``</s>`` the end-of-text token, ``<unk>`` any id that
the training text does not hold.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fastllm.drafters.ngram import FORMAT, MAX_VOCAB, decode_log10, encode_log10

EOS_ID = 1  # T5's end-of-text token


@dataclass(frozen=True)
class Order:
    """The E n-grams of one order, ascending by (context, token).

    Attributes:
        context: int64 (E,), the first n - 1 tokens as digits to the base V + 1; V stands for ``<s>``.
        token: int64 (E,), the last one.
        logp, backoff: float32 (E,), log10.
    """

    context: np.ndarray
    token: np.ndarray
    logp: np.ndarray
    backoff: np.ndarray


def read_arpa(path: Path, vocab_size: int, eos_id: int = EOS_ID) -> tuple[list[Order], float]:
    """All orders of an ARPA file, and log10 P of ``<unk>``. The unigram order leaves ``<unk>`` out.

    Raises:
        ValueError: not a complete ARPA file, or its words are not ids of this vocabulary.
    """
    base = vocab_size + 1
    ids = {str(i): i for i in range(vocab_size) if i != eos_id} | {"</s>": eos_id, "<s>": vocab_size}
    sizes: list[int] = []
    orders: list[Order] = []
    unknown = None
    with open(path, encoding="utf-8") as file:
        lines = (line.rstrip("\n") for line in file)
        if next(lines, None) != "\\data\\":
            raise ValueError(f"{path} is not an ARPA file: its first line should be \\data\\.")
        for line in lines:
            if line.startswith("ngram "):
                sizes.append(int(line.partition("=")[2]))
            elif line:
                break
        for n, size in enumerate(sizes, 1):
            if line != f"\\{n}-grams:":
                raise ValueError(f"{path} is cut short or damaged: \\{n}-grams: should stand where {line!r} does.")
            context, token, logp, backoff = array("q"), array("q"), array("f"), array("f")
            for line in lines:
                if not line:
                    continue
                if line[0] == "\\":
                    break
                fields = line.split()
                if n == 1 and fields[1] == "<unk>":
                    unknown = float(fields[0])
                    continue
                key = 0
                try:
                    for word in fields[1:n]:
                        key = key * base + ids[word]
                    token.append(ids[fields[n]])
                    context.append(key)
                    logp.append(float(fields[0]))
                    backoff.append(float(fields[n + 1]) if len(fields) > n + 1 else 0.0)
                except (KeyError, IndexError, ValueError):
                    raise ValueError(f"{path} has the line {line!r}, no {n}-gram of ids below {vocab_size}.") from None
            if len(token) + (n == 1 and unknown is not None) != size:
                raise ValueError(f"{path} is cut short: it has {len(token)} of its {size} {n}-grams.")
            table = Order(*(np.array(a) for a in (context, token, logp, backoff)))
            order = np.lexsort((table.token, table.context))
            orders.append(Order(*(a[order] for a in (table.context, table.token, table.logp, table.backoff))))
    if line != "\\end\\" or unknown is None:
        raise ValueError(f"{path} is cut short: it lacks {'<unk>' if unknown is None else 'its end mark'}.")
    return orders, unknown


def without_mark(orders: list[Order], unknown: float, vocab_size: int) -> tuple[list[Order], float]:
    """A model of texts whose cut ones end in a mark, conditioned on no mark coming: P(w | h, w is not the mark).

    lmplz ends every line with ``</s>``. Where a length limit cut a text, that end is none: such lines end in the mark
    first, so that P(``</s>`` | h) counts true ends only. With c(h) = P(mark | h) every P(w | h) is then divided by
    1 - c(h), and the backoff weight b(h) becomes b(h) (1 - c(h')) / (1 - c(h)), h' being h without its first token:
    again a backoff model, and the conditional distribution exactly. (A cut text says that no end came so far and
    nothing of what would have come: censoring, as in Kaplan & Meier 1958.)

    Args:
        orders, unknown: of :func:`read_arpa` with `vocab_size` + 1 words, the mark the last of them.
        vocab_size: without the mark.

    Returns:
        orders and log10 P of ``<unk>`` as :func:`read_arpa` gives them for `vocab_size`.
    """
    mark, base = vocab_size, vocab_size + 2
    first = orders[0].token == mark
    # Of every context, by length: its key, ascending, and c.
    keys, chance = [np.zeros(1, np.int64)], [10.0 ** orders[0].logp[first].astype(np.float64)]
    if not len(chance[0]):
        raise ValueError("The ARPA file lacks the mark of cut texts.")

    def of_context(wanted: np.ndarray, n: int) -> np.ndarray:
        """c of contexts of n tokens; one that the model lacks is seen as the shorter one that it backs off to."""
        at = np.minimum(np.searchsorted(keys[n], wanted), len(keys[n]) - 1)
        known = keys[n][at] == wanted
        out = chance[n][at]
        if not known.all():
            out[~known] = of_context(wanted[~known] % base ** (n - 1), n - 1)
        return out

    out = []
    for n, order in enumerate(orders, 1):
        own = order.context * base + order.token
        kept = (order.token != mark) & (order.context % base != mark)
        logp = order.logp - np.log10(1 - of_context(order.context, n - 1))
        backoff = order.backoff.astype(np.float64)
        if n < len(orders):
            shorter = of_context(own % base ** (n - 1), n - 1)
            own_chance = 10.0**backoff * shorter
            longer = orders[n]
            marked = longer.token == mark
            at = np.searchsorted(own, longer.context[marked])
            own_chance[at] = 10.0 ** longer.logp[marked].astype(np.float64)
            own_chance = np.minimum(own_chance, 1 - 1e-6)
            keys.append(own)
            chance.append(own_chance)
            backoff += np.log10(1 - shorter) - np.log10(1 - own_chance)
        # Keys to the base without the mark: <s> moves down by one.
        context, rest = np.zeros(int(kept.sum()), np.int64), order.context[kept]
        for place in range(n - 1):
            digit = rest // base**place % base
            context += np.where(digit > mark, mark, digit) * (vocab_size + 1) ** place
        token = np.where(order.token > mark, mark, order.token)[kept]
        out.append(Order(context, token, logp[kept].astype(np.float32), backoff[kept].astype(np.float32)))
    return out, unknown - float(np.log10(1 - chance[0][0]))


def full_unigram(unigram: Order, unknown: float, vocab_size: int) -> np.ndarray:
    """log10 P of every id of the vocabulary, float32 (V,).

    The U ids that the text does not hold share the mass of ``<unk>`` equally. With ``lmplz --vocab_pad V`` the entry
    of ``<unk>`` is already the share of one id; without it, it is the mass of all of them and is divided by U. Which
    of the two it is shows in the sum over the vocabulary.
    """
    seen = unigram.token != vocab_size  # <s> is never predicted
    out = np.full(vocab_size, np.nan)
    out[unigram.token[seen]] = unigram.logp[seen]
    unseen = np.isnan(out)
    if unseen.any():
        mass, count = (10.0 ** out[~unseen]).sum(), int(unseen.sum())
        padded = abs(mass + count * 10.0**unknown - 1) <= abs(mass + 10.0**unknown - 1)
        out[unseen] = unknown if padded else unknown - np.log10(count)
    return out.astype(np.float32)


def pack(orders: list[Order], unknown: float, vocab_size: int) -> tuple[dict[str, np.ndarray], float]:
    """The arrays of the file format.

    Returns:
        arrays by name, and the largest change that rounding made to a log10 probability.

    Raises:
        ValueError: the vocabulary does not fit uint16, or an n-gram's context is no n-gram.
    """
    if vocab_size > MAX_VOCAB:
        raise ValueError(f"A vocabulary of {vocab_size} tokens is too large: n-gram files hold {MAX_VOCAB} at most.")
    base = vocab_size + 1
    arrays = {"unigram": full_unigram(orders[0], unknown, vocab_size)}
    # `rows` are the keys of what contexts of the next order point to, `weights` their backoffs.
    rows = np.arange(base, dtype=np.int64)
    weights = np.zeros(base, np.float32)
    weights[orders[0].token] = orders[0].backoff
    worst = 0.0
    for n, order in enumerate(orders[1:], 2):
        at = np.searchsorted(rows, order.context)
        if not np.array_equal(rows[np.minimum(at, len(rows) - 1)], order.context):
            raise ValueError(f"The ARPA file has a {n}-gram whose first {n - 1} tokens are no {n - 1}-gram.")
        # A context without successors (all pruned) matters only if it has a backoff weight of its own.
        context = np.union1d(at, np.flatnonzero(weights))
        floor = np.float32(min(order.logp.min(initial=0.0), -1e-9))
        code = encode_log10(order.logp.astype(np.float64), float(floor))
        worst = max(worst, float(np.abs(decode_log10(code, float(floor)) - order.logp).max(initial=0.0)))
        arrays |= {
            f"{n}.context": context.astype(np.uint32),
            f"{n}.backoff": weights[context],
            f"{n}.count": np.bincount(np.searchsorted(context, at), minlength=len(context)).astype(np.uint16),
            f"{n}.token": order.token.astype(np.uint16),
            f"{n}.code": code,
            f"{n}.floor": np.array([floor], np.float32),
        }
        rows, weights = order.context * base + order.token, order.backoff
    return arrays, worst


def save(arrays: dict[str, np.ndarray], path: Path, order: int, kind: str, text: str) -> None:
    """Write ``ngram-N.safetensors``; `kind` is ``baseline`` or ``distilled``, `text` says what it was made from."""
    metadata = {
        "format": FORMAT,
        "order": str(order),
        "vocab_size": str(len(arrays["unigram"])),
        "kind": kind,
        "text": text,
    }
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path, metadata)
