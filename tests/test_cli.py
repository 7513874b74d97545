"""The command line: the stream, the figures, the trace, and refusals in one sentence."""

from __future__ import annotations

import io

import pytest

from fastllm.cli import main
from fastllm.trace import from_json
from tests.conftest import ARTICLE


@pytest.fixture
def article_file(tmp_path):
    """A file with an article of our own."""
    file = tmp_path / "article.txt"
    file.write_text(ARTICLE, encoding="utf-8")
    return file


def test_it_prints_the_stream_the_text_and_the_figures(tiny_folder, article_file, tmp_path, capsys):
    """A run with a baseline and a trace: the printed summary is the trace's text, and equals plain decoding's."""
    out = tmp_path / "out.json"
    arguments = [str(article_file), "--target", str(tiny_folder), "--drafter", "lookup", "--gamma", "3"]
    assert main([*arguments, "--max-new-tokens", "16", "--baseline", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    trace = from_json(out.read_text(encoding="utf-8"))
    assert trace.text in printed
    assert len(trace.tokens) == 16
    for word in ("tau", "accepted/tested", "accepted/drafted", "mean beta", "the same text", "measured speedup"):
        assert word in printed
    assert "\x1b[" not in printed


def test_colour_on_request_and_signs_without_it(tiny_folder, article_file, capsys):
    """--color always paints; without colour every status but accepted is named."""
    arguments = [str(article_file), "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "12"]
    main([*arguments, "--color", "always"])
    assert "\x1b[" in capsys.readouterr().out
    main(arguments)
    assert "[rejected:" in capsys.readouterr().out


def test_it_reads_standard_input(tiny_folder, monkeypatch, capsys):
    """- reads standard input; bytes that are no UTF-8 do not stop it."""
    stdin = io.TextIOWrapper(io.BytesIO(ARTICLE.encode() + b"\xff\xfe"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["-", "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "5"]) == 0
    assert "tau" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--gamma", "0"], "gamma must be between 1"),
        (["--temperature", "-1"], "Temperature must be between"),
        (["--top-p", "2"], "Top-p must be"),
        (["--max-new-tokens", "5000"], "length limit"),
        (["--drafter", "psychic"], "There is no drafter 'psychic'"),
        (["--drafter", "ngram", "--n", "9"], "needs its order, 1 to 5"),
        (["--drafter", "ngram"], "is missing at"),
        (["--json", "/no/such/folder/out.json"], "does not exist"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(tiny_folder, article_file, capsys, extra, words):
    """Exit status 2, one line on standard error, nothing like a traceback."""
    assert main([str(article_file), "--target", str(tiny_folder), *extra]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("content", "words"), [(None, "There is no file"), ("  \n", "empty")])
def test_missing_and_empty_articles_are_told(tmp_path, capsys, content, words):
    """No file, or nothing in it."""
    file = tmp_path / "a.txt"
    if content is not None:
        file.write_text(content)
    assert main([str(file)]) == 2
    assert words in capsys.readouterr().err


def test_the_embedded_target_with_its_own_drafters(article_file, tmp_path, capsys):
    """`mini` from checkpoints/: n-gram and lookup give its own greedy text, with rejections to see."""
    texts = set()
    for arguments in (["--drafter", "ngram", "--n", "3"], ["--drafter", "lookup"], ["--drafter", "ngram:1"]):
        out = tmp_path / "out.json"
        assert main([str(article_file), *arguments, "--json", str(out)]) == 0
        trace = from_json(out.read_text(encoding="utf-8"))
        texts.add(trace.text)
        assert any(t.status == "rejected" for s in trace.steps for t in s.draft)
    assert len(texts) == 1
