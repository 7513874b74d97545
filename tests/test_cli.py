"""The command line: the stream, the figures, the trace, and refusals in one sentence."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

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
    for word in ("tau", "accepted/tested", "accepted/drafted", "mean beta", "the same text", "speedup"):
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
    """- reads standard input, with a byte order mark or without."""
    for mark in (b"", b"\xef\xbb\xbf"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(mark + ARTICLE.encode())))
        assert main(["-", "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "5"]) == 0
        assert "tau" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (ARTICLE.encode("utf-16"), "is UTF-16 text and UTF-8 is expected"),
        (ARTICLE.encode("utf-16-le"), "a null character at place 2"),
        (ARTICLE.encode("utf-32-be"), "a null character at place 1"),
        ("The caf\u00e9 of Port Ellery was open.".encode("latin-1"), "byte 8 is 0xe9"),
        ("\u20ac 12".encode("cp1252"), "byte 1 is 0x80"),
        (bytes(range(256)), "no UTF-8 text"),
        (b"", "The article is empty"),
        (b"\xef\xbb\xbf \n", "The article is empty"),
    ],
)
@pytest.mark.parametrize("by", ["file", "stdin"])
def test_what_is_no_utf8_text_is_refused(raw, words, by, tmp_path, monkeypatch, capsys):
    """Never garbage in, garbage summarised: one sentence that names the encoding expected, exit status 2."""
    file = tmp_path / "a.txt"
    file.write_bytes(raw)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert main([str(file) if by == "file" else "-"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "empty" in words or "iconv" in error
    assert error.count("\n") == 1


def test_a_folder_and_a_closed_standard_input_are_told(tmp_path, monkeypatch, capsys):
    """Neither is called a missing file."""
    assert main([str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", None)
    assert main(["-"]) == 2
    assert "Standard input is closed" in capsys.readouterr().err


def test_a_pipe_is_read_like_a_file(tiny_folder, tmp_path, capsys):
    """What a shell gives for <(command) is no regular file, and there."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(ARTICLE))
    writer.start()
    assert main([str(pipe), "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "5"]) == 0
    writer.join()


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
        (["--drafter", "lookup", "--n", "9"], "--n has no effect without --drafter ngram"),
        (["--drafter", "ngram:2", "--n", "4"], "--n has no effect without --drafter ngram"),
        (["--rollback", "nan"], "--rollback has no effect without --rule bild"),
        (["--rule", "block", "--rollback", "1"], "--rollback has no effect without --rule bild"),
        (["--rule", "bild", "--rollback", "inf"], "rollback threshold must be between"),
        (["--lengths", "confidence:nan"], "takes a threshold from 0 to 2"),
        (["--nodes", "4"], "--nodes has no effect without --rule follow or siblings"),
        (["--rule", "bild", "--width", "99"], "--width has no effect without --rule follow or siblings"),
        (["--json", "/no/such/folder/out.json"], "does not exist"),
        (["--json", "/tmp"], "/tmp is a folder"),
        (["--json", "/proc/out.json"], "cannot be written"),
        (["--gamma", "17"], "gamma must be between 1"),
        (["--max-new-tokens", "0"], "length limit"),
        (["--max-new-tokens", "-5"], "length limit"),
        (["--temperature", "nan"], "Temperature must be between"),
        (["--temperature", "inf"], "Temperature must be between"),
        (["--top-p", "nan"], "Top-p must be"),
        (["--top-p", "0"], "Top-p must be"),
        (["--top-k", "-1"], "Top-k"),
        (["--no-repeat-ngram-size", "-1"], "blocked n-grams"),
        (["--seed", "-1"], "The seed must be between 0"),
        (["--seed", str(2**63)], "The seed must be between 0"),
        (["--seed", str(10**30)], "The seed must be between 0"),
        (["--device", "mps"], "runs on cpu and cuda, not on 'mps'"),
        (["--device", "gpu"], "no kind of device 'gpu'"),
        (["--device", "cuda:7"], "no CUDA device 'cuda:7'"),
        (["--device", "cuda:x"], "no kind of device 'cuda:x'"),
        (["--device", "meta"], "not on 'meta'"),
        (["--drafter", "t5:/no such/folder@home"], "could not be loaded"),
        (["--drafter", "t5: "], "There is no drafter"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(tiny_folder, article_file, capsys, extra, words):
    """Exit status 2, one line on standard error, nothing like a traceback."""
    assert main([str(article_file), "--target", str(tiny_folder), *extra]) == 2
    out, error = capsys.readouterr()
    assert words in error
    assert error.count("\n") == 1
    assert out == ""


def test_the_greatest_seed_and_the_smallest_temperature_run(tiny_folder, article_file, tmp_path, capsys):
    """The ends of what is allowed: text comes out, and the trace is read again."""
    out = tmp_path / "out.json"
    arguments = [str(article_file), "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "8"]
    texts = set()
    for temperature in ("5e-324", "1e-300", "1e-38", "1e-20", "0"):
        seed = ["--seed", str(2**63 - 1), "--temperature", temperature, "--json", str(out)]
        assert main([*arguments, *seed]) == 0
        texts.add(tuple(from_json(out.read_text(encoding="utf-8")).tokens))
    assert len(texts) == 1  # so cold, sampling is greedy


def test_a_result_that_cannot_be_written_after_all_is_told(tiny_folder, article_file, capsys):
    """A full disk shows only when writing: the run stands, the sentence says so, and no traceback comes."""
    arguments = [str(article_file), "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "5"]
    assert main([*arguments, "--json", "/dev/full"]) == 2
    out, error = capsys.readouterr()
    assert "tau" in out
    assert "could not be written to /dev/full (No space left on device)" in error


def into(monkeypatch, stream: str, encoding: str) -> io.BytesIO:
    """Puts a stream of that encoding in the place of sys.stdout or sys.stderr; its bytes."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, stream, io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    return raw


def test_a_process_whose_streams_lack_signs_prints_all_the_same(tiny_folder, article_file):
    """The whole command under PYTHONIOENCODING: exit status 0, nothing on standard error."""
    command = [sys.executable, "-m", "fastllm", str(article_file), "--target", str(tiny_folder), "--drafter", "lookup"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([*command, "--max-new-tokens", "12"], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "[rejected:x" in done.stdout.decode("cp1252")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437", "utf-8"])
def test_output_fits_whatever_encoding_the_stream_has(tiny_folder, article_file, monkeypatch, encoding):
    """Every sign that the stream lacks becomes ASCII: exit status 0, all figures there."""
    raw = into(monkeypatch, "stdout", encoding)
    arguments = [str(article_file), "--target", str(tiny_folder), "--drafter", "lookup", "--max-new-tokens", "12"]
    assert main(arguments) == 0
    printed = raw.getvalue().decode(encoding)
    assert "accepted/tested" in printed
    assert ("[rejected:\u2717" if encoding == "utf-8" else "[rejected:x") in printed


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_refusals_fit_the_stream_too(encoding, monkeypatch, tmp_path):
    """A name that standard error cannot write is told all the same, in one line."""
    raw = into(monkeypatch, "stderr", encoding)
    assert main([str(tmp_path / "ni\u00f1o \u2192 \u4f60.txt")]) == 2
    said = raw.getvalue().decode(encoding)
    assert said.startswith("fastllm: There is no file")
    assert said.count("\n") == 1


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
