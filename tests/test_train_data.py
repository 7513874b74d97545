"""Training data: cleaning, sentences, extracts, and batches that are pure functions of their step."""

from __future__ import annotations

import json

import numpy as np
import pytest

from train.corpus import Ragged, build_corpus, oracle_sentences, split_sentences
from train.curriculum import (
    MINI_STAGES,
    Ids,
    Stage,
    batch_rows,
    copy_example,
    learning_rate,
    make_batch,
    task_of,
    with_steps,
)
from train.data import Pair, clean_article, clean_highlights, load_pairs
from train.rouge import rouge

LONG = "The harbour of Port Ellery was closed on Tuesday after a ferry lost power near the quay. " * 6


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("LONDON, England (CNN) -- A ferry sank.", "A ferry sank."),
        ("(CNN) -- A ferry sank.", "A ferry sank."),
        ("(CNN)A ferry sank.", "A ferry sank."),
        (
            "A ferry\n\n sank in  the harbour of Port Ellery on Tuesday at noon, (CNN) -- it",
            "A ferry sank in the harbour of Port Ellery on Tuesday at noon, (CNN) -- it",
        ),
        ("A ferry sank, CNN said.", "A ferry sank, CNN said."),
    ],
)
def test_agency_marks_are_removed_only_at_the_start(raw, clean):
    """The opening "(CNN) --" is no news; the same letters inside are."""
    assert clean_article(raw) == clean


def test_highlights_become_one_paragraph():
    """Lines are joined, closed by a full stop, and freed of NEW:."""
    assert clean_highlights("NEW: A ferry sank .\nNobody was hurt") == "A ferry sank. Nobody was hurt."


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_local_files_load_through_datasets(tmp_path, suffix):
    """Parquet and jsonl give the same pairs; too short articles are left out."""
    from datasets import Dataset

    rows = [
        {"id": "a", "article": LONG, "highlights": "Ferry lost power."},
        {"id": "b", "article": "Too short.", "highlights": "x"},
        {"id": "c", "article": LONG, "highlights": "word " * 95},
    ]
    file = tmp_path / f"pairs{suffix}"
    data = Dataset.from_list(rows)
    data.to_parquet(str(file)) if suffix == ".parquet" else data.to_json(str(file))
    assert load_pairs(str(file)) == [Pair("a", clean_article(LONG), "Ferry lost power.")]


def test_a_file_without_the_columns_is_refused(tmp_path):
    """The sentence names the columns that are needed."""
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"text": "x"}) + "\n")
    with pytest.raises(ValueError, match="'article' and 'highlights'"):
        load_pairs(str(file))
    with pytest.raises(FileNotFoundError, match="no data file"):
        load_pairs(str(tmp_path / "nothing.parquet"))


def test_sentences_split_at_marks_before_capitals():
    """A full stop before a capital or a digit ends a sentence; one inside a number does not."""
    text = 'It cost 5.50 euros. "We won," she said. 40 boats came! Why? Nobody knew.'
    assert split_sentences(text) == [
        "It cost 5.50 euros.", '"We won," she said.', "40 boats came!", "Why?", "Nobody knew."
    ]  # fmt: skip


def test_oracle_picks_the_overlapping_sentences_in_order():
    """Greedy search takes what the summary shares words with and stops when F1 no longer grows."""
    sentences = ["Rain fell all day.", "The ferry lost power.", "Birds sang.", "Two tugs towed the ferry home."]
    assert oracle_sentences(sentences, "Two tugs towed a ferry that lost power.", 2) == [1, 3]
    assert oracle_sentences(sentences, "Quite unrelated words here", 2) == []


def test_ragged_rows_come_back():
    """Rows of any length, empty ones too."""
    rows = [[1, 2], [], [3]]
    ragged = Ragged.of(rows)
    assert [ragged[i].tolist() for i in range(3)] == rows
    assert ragged.lengths().tolist() == [2, 0, 1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Forty small pairs under a tokenizer of characters."""

    class Characters:
        def __call__(self, texts, add_special_tokens):
            ids = [[3 + ord(c) % 200 for c in t] for t in texts]
            return type("Encoding", (), {"input_ids": ids})

        backend_tokenizer = type("Backend", (), {"to_str": lambda self: "{}"})()

    pairs = [
        Pair(str(i), f"The boat {i} lost power at noon. It rained. " * 3, f"Boat {i} lost power.") for i in range(40)
    ]
    cache = tmp_path_factory.mktemp("corpus")
    first = build_corpus(pairs, Characters(), 60, 20, cache)
    again = build_corpus(pairs, Characters(), 60, 20, cache)
    assert np.array_equal(first.extracts.flat, again.extracts.flat)
    return first


def test_rows_are_cut_to_the_lengths_asked_for(corpus):
    """Articles to 60, summaries to 20."""
    assert corpus.articles.lengths().max() == 60
    assert corpus.summaries.lengths().max() <= 20


def test_one_pass_over_the_data_sees_every_row_once():
    """Batches of an epoch are a partition, whatever the pool; the next epoch has another order."""
    lengths = np.random.default_rng(0).integers(1, 50, 120)
    seen = np.concatenate([batch_rows(lengths, 3, s, seed=1) for s in range(40)])
    assert sorted(seen.tolist()) == list(range(120))
    assert not np.array_equal(seen, np.concatenate([batch_rows(lengths, 3, s, seed=1) for s in range(40, 80)]))


def test_a_batch_holds_rows_of_like_length():
    """Sorting inside a pool keeps padding small."""
    lengths = np.arange(400) % 97
    spread = [np.ptp(lengths[batch_rows(lengths, 8, s, seed=3)]) for s in range(40)]
    assert np.mean(spread) < 10


def test_batches_are_pure_functions_of_their_step(corpus):
    """The same step twice is the same batch: a resumed run loses nothing and repeats nothing."""
    ids = Ids((9, 9), 8, 1)
    for stage in MINI_STAGES:
        small = Stage(stage.name, 10, 4, stage.mix)
        assert make_batch(corpus, small, 3, 1, ids) == make_batch(corpus, small, 3, 1, ids)
        assert make_batch(corpus, small, 3, 1, ids) != make_batch(corpus, small, 4, 1, ids)


def test_a_copy_example_asks_for_the_span_that_begins_with_its_two_tokens(corpus):
    """Output is a span of the window, and the input begins with its first two tokens and the separator."""
    rng = np.random.default_rng(0)
    for short in (True, False):
        source, output = copy_example(corpus.articles[0], rng, short, Ids((), 8, 1))
        assert source[:2] == output[:2]
        assert source[2] == 8
        assert " ".join(map(str, output[:-1])) in " ".join(map(str, source[3:]))
        assert source[-1] == output[-1] == 1


def test_the_mix_is_kept():
    """A stage of 80 and 20 per cent draws its tasks so."""
    stage = Stage("x", 1, 1, {"summarize": 0.8, "extract": 0.2})
    share = np.mean([task_of(stage, s, 1) == "summarize" for s in range(2000)])
    assert share == pytest.approx(0.8, abs=0.03)


def test_the_rate_warms_up_and_decays():
    """Linear from zero over the first hundred steps of all, then linear within the stage."""
    stage = Stage("x", 100, 1, {}, lr=0.02, lr_end=0.0)
    assert learning_rate(stage, 0, 49) == pytest.approx(0.01)
    assert learning_rate(stage, 50, 1000) == pytest.approx(0.01)


def test_steps_of_stages_can_be_changed_by_name():
    """An unknown stage is told with the names there are."""
    assert with_steps(MINI_STAGES, "extract=7")[2].steps == 7
    with pytest.raises(ValueError, match="the stages are"):
        with_steps(MINI_STAGES, "warp=7")


def test_rouge_against_hand_computed_values():
    """ROUGE-1 of "a b c" against "a b d e": P 2/3, R 2/4, F 4/7; stemming makes boats and boat equal."""
    assert rouge(["alpha beta gamma"], ["alpha beta delta epsilon"])["rouge1"] == pytest.approx(100 * 4 / 7, abs=0.01)
    assert rouge(["boats"], ["boat"])["rouge1"] == 100
    with pytest.raises(ValueError, match="as many texts"):
        rouge([], [])
