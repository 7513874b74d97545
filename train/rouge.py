"""ROUGE of a set of summaries, by Google's rouge-score, with stemming."""

from __future__ import annotations

from collections.abc import Sequence

KINDS = ("rouge1", "rouge2", "rougeL")


def rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Mean F1, in percent, of ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), rounded to two places.

    Raises:
        ValueError: the two sequences differ in length or are empty.
    """
    from rouge_score.rouge_scorer import RougeScorer

    if len(texts) != len(references) or not texts:
        raise ValueError(f"ROUGE needs as many texts as references, at least one; got {len(texts)}, {len(references)}.")
    scorer = RougeScorer(list(KINDS), use_stemmer=True)
    scores = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    return {kind: round(100 * sum(s[kind].fmeasure for s in scores) / len(scores), 2) for kind in KINDS}
