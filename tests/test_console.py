"""What every command does first: streams that cannot fail, quiet libraries, places checked."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastllm import console


def written(text: str, encoding: str) -> str:
    """What a stream of that encoding gets of `text`, under the handler."""
    return text.encode(encoding, "fastllm.plain").decode(encoding)


def test_signs_become_the_nearest_ascii():
    """Ours by a table, letters without their accents, all else a question mark."""
    assert written("✗→·–×…", "ascii") == "x>.-x..."
    assert written("café “τ” ½", "ascii") == 'cafe "tau" ?'
    assert written("漢🙂", "ascii") == "??"
    assert written("é✗", "latin-1") == "éx"


def test_lone_surrogates_do_not_stop_utf8():
    """Half of a pair has no UTF-8 form."""
    assert written("a\ud83db", "utf-8") == "a?b"


def test_streams_are_settled_and_streams_that_cannot_be_are_left(monkeypatch):
    """A text stream takes the handler; None (a closed stream) and a plain buffer are no error."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", None)
    console.settle_streams()
    print("→", file=out, flush=True)
    assert out.buffer.getvalue() == b">\n"
    monkeypatch.setattr("sys.stdout", io.StringIO())
    console.settle_streams()


@pytest.mark.parametrize("there", [True, False])
def test_a_place_is_tried_and_left_as_it_was(tmp_path, there):
    """A file that is there keeps its content; one that is not is not left behind."""
    file = tmp_path / "out.json"
    if there:
        file.write_text("kept")
    console.check_writable(file)
    assert file.exists() == there
    assert not there or file.read_text() == "kept"


def test_places_that_cannot_be_written_are_refused(tmp_path):
    """A folder, a folder that is not there, a file in place of a folder, a file system that takes no files."""
    (tmp_path / "file").write_text("")
    for place, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "out", "does not exist"),
        (tmp_path / "file" / "out", "does not exist"),
        ("/proc/fastllm", "cannot be written"),
    ):
        with pytest.raises(ValueError, match=words):
            console.check_writable(type(tmp_path)(place))


def test_addresses_are_tried_before_any_work():
    """Ports out of range, a port in use, a host that is not this machine; a free one is fine and stays free."""
    for port in (0, -1, 65536, 99999):
        with pytest.raises(ValueError, match="port must be between 1 and 65535"):
            console.check_address("127.0.0.1", port)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(ValueError, match=f"Port {port} is in use"):
            console.check_address("127.0.0.1", port)
    for host in ("nowhere.invalid", "192.0.2.7", "a" * 80):
        with pytest.raises(ValueError, match="no address of this machine"):
            console.check_address(host, port)
    console.check_address("127.0.0.1", port)
    console.check_address("127.0.0.1", port)


def test_libraries_are_quiet_for_commands_only():
    """`quieten` sets what transformers and the hub read; importing the library sets nothing."""
    code = (
        "import fastllm.console as c, os; before = dict(os.environ); import fastllm.cli; assert os.environ == before\n"
        "import warnings; c.quieten(); warnings.warn('loud')\n"
        "import transformers; print(transformers.logging.get_verbosity(), "
        "transformers.utils.logging.is_progress_bar_enabled())"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("TRANSFORMERS_VERBOSITY", "PYTHONWARNINGS")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["40", "False"], done.stderr
    assert done.stderr == ""


def test_libraries_imported_before_are_quietened_too():
    """app.py imports Gradio, and so the hub's client, before main() runs."""
    code = (
        "import transformers, fastllm.console as c; c.quieten(); print(transformers.logging.get_verbosity(), "
        "transformers.utils.logging.is_progress_bar_enabled())"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TRANSFORMERS_V", "HF_HUB_DISABLE_P"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["40", "False"], done.stderr


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", ""])
def test_a_name_that_cannot_be_one_is_a_sentence_everywhere(name, tmp_path):
    """As article, target, drafter's place and output: no error number of the system, no traceback."""
    from fastllm.config import is_folder, preset_for
    from fastllm.targets.pretrained import read_config

    assert not is_folder(name)
    with pytest.raises(ValueError, match="There is no target"):
        preset_for(name)
    with pytest.raises(ValueError, match="could not be had from the hub"):
        read_config(name)
    with pytest.raises(ValueError, match=r"cannot be read|There is no file|is a folder"):
        console.read_text(name)
    with pytest.raises(ValueError, match=r"cannot be written here|is a folder"):
        console.check_writable(Path(name))
