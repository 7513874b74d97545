"""Values and sentences lose the folders of a machine, and nothing else."""

from __future__ import annotations

import pytest

from fastllm.publishable import publishable, said_without_folders, without_folders


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/data/a.parquet", "a.parquet"),
        ("/data/my articles/a b.parquet", "a b.parquet"),
        ("~/a.parquet,../b.parquet,c.parquet", "a.parquet,b.parquet,c.parquet"),
        (r"C:\Users\ada\a.json", "a.json"),
        ("/runs/lstm/state", "lstm/state"),
        ("/runs/lstm/latest/record.json", "lstm/latest/record.json"),
        ("t5:/models/small", "t5:small"),
        ("lm:../models/small", "lm:small"),
        ("slem:~/models/small", "slem:small"),
        ("tli:/models/small", "tli:small"),
        ("t5:/models/small+lookup", "t5:small+lookup"),
        ("lookup-then-lm:/models/small", "lookup-then-lm:small"),
        ("t5:/models/a+b+lookup", "t5:a+b+lookup"),
        ("lookup-and-t5:~/x/small,lstm", "lookup-and-t5:small,lstm"),
        ("t5:google/t5-v1_1-small", "t5:google/t5-v1_1-small"),
        ("checkpoints/mini/target", "checkpoints/mini/target"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("0.9:0,0.6:1", "0.9:0,0.6:1"),
        ("and/or", "and/or"),
        ("", ""),
    ],
)
def test_a_value_names_files_only(text, said):
    """Paths of any system, drafters that are places, alone and in pairs; hub names, addresses and the rest stay."""
    assert without_folders(text) == said


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("There is no file /data/x/a.json here.", "There is no file a.json here."),
        ("The drafter 't5:/models/small' (in ~/models/small) fails.", "The drafter 't5:small' (in small) fails."),
        ("'lookup-then-lm:../a/small': damaged", "'lookup-then-lm:small': damaged"),
        ("tli:/models/small, slem:/models/big", "tli:small, slem:big"),
        ("See https://example.org/a/b or and/or 1/2.", "See https://example.org/a/b or and/or 1/2."),
        ("checkpoints/mini/lstm is missing", "checkpoints/mini/lstm is missing"),
    ],
)
def test_a_sentence_names_files_only(sentence, said):
    """Quoted, in brackets, behind a drafter's name."""
    assert said_without_folders(sentence) == said


def test_whole_records_are_cleaned_and_numbers_stay():
    """Keys, lists and nested mappings; a second time changes nothing."""
    rows = [{"drafter": "lm:/m/small", "gamma": 4, "interval": (1.0, 2.0)}]
    record = {"rows": rows, "lacking": {"t5:/m/x": "gone"}, "n": None}
    said = publishable(record)
    rows = [{"drafter": "lm:small", "gamma": 4, "interval": [1.0, 2.0]}]
    assert said == {"rows": rows, "lacking": {"t5:x": "gone"}, "n": None}
    assert publishable(said) == said
