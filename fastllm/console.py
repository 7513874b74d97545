"""What every command of ours does before its work: streams that cannot fail on a sign, libraries that keep quiet, files
that are checked. Imports no torch.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import os
import socket
import sys
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path

from fastllm.config import is_folder, whole_number

_PLAIN = {
    "✗": "x",
    "→": ">",
    "·": ".",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "…": "...",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "τ": "tau",
    "β": "beta",
    "α": "alpha",
    "γ": "gamma",
    "\u2581": "_",
}


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: ASCII in place of what the stream cannot write."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = []
    for sign in error.object[error.start : error.end]:
        bare = unicodedata.normalize("NFD", sign).encode("ascii", "ignore").decode("ascii")
        found.append(_PLAIN.get(sign) or bare or "?")
    return "".join(found), error.end


codecs.register_error("fastllm.plain", _plain)


def say(text: str) -> None:
    """A word of progress, on standard error."""
    print(f"fastllm: {text}", file=sys.stderr, flush=True)


def tell(notes: Iterable[str]) -> None:
    """Say each note once, on standard error."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def settle_streams() -> None:
    """Let standard output and standard error write what their encoding has no sign for in ASCII, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="fastllm.plain")


def quieten() -> None:
    """No warning and no progress bar of a library before our own output: for commands, not for users of the library.

    Whoever asks for warnings (``-W``, PYTHONWARNINGS, TRANSFORMERS_VERBOSITY) gets them.
    """
    asked = "TRANSFORMERS_VERBOSITY" in os.environ
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Libraries that are imported already have read the environment.
    if (hub := sys.modules.get("huggingface_hub.utils")) and os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
        hub.disable_progress_bars()
    if transformers := sys.modules.get("transformers.utils.logging"):
        if os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
            transformers.disable_progress_bar()
        if not asked:
            transformers.set_verbosity_error()


def prepare() -> None:
    """:func:`settle_streams` and :func:`quieten`: the first thing that a command does."""
    settle_streams()
    quieten()


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """How drafts are judged and how long they get, for every command that decodes."""
    parser.add_argument(
        "--rule", default="token", help="how drafts are judged: token, block, follow or siblings (trees), bild (lossy)"
    )
    parser.add_argument("--nodes", type=int, default=8, help="most nodes of a draft tree, for follow and siblings")
    parser.add_argument("--width", type=int, default=2, help="most siblings in a draft tree")
    parser.add_argument(
        "--lengths",
        default="constant",
        help="how long drafts get, at most gamma: constant, heuristic, confidence:0.4, cumulative:0.15 (trees, too), "
        "entropy:0.3, exit:0.6, bild:0.6",
    )
    parser.add_argument("--rollback", type=float, default=None, help="nats that --rule bild forgives; 0 is lossless")


def decoded(raw: bytes, name: str) -> str:
    """Bytes of a text file as text: UTF-8, with or without a byte order mark.

    Args:
        name: what to call it in a refusal.

    Raises:
        ValueError: it is no UTF-8 text.
    """
    advice = "save it as UTF-8 (`iconv -f ENCODING -t UTF-8` converts it)."
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{name} is UTF-16 text and UTF-8 is expected: {advice}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is no UTF-8 text (byte {error.start + 1:,} is 0x{raw[error.start]:02x}): {advice}"
        ) from None
    if "\0" in text:
        at = text.index("\0") + 1
        raise ValueError(
            f"{name} is no UTF-8 text (a null character at place {at:,}: UTF-16, or a binary file): {advice}"
        )
    return text


def read_text(path: str | Path) -> str:
    """The text in a file, or on standard input where `path` is ``-``.

    Raises:
        ValueError: there is no such file, it cannot be read, or it is no UTF-8 text.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise ValueError("Standard input is closed: give a text file.")
        return decoded(sys.stdin.buffer.read(), "Standard input")
    file = Path(path)
    try:
        if file.is_dir():
            raise ValueError(f"{path} is a folder: give a text file.")
        if not file.exists():
            raise ValueError(f"There is no file {path}: give a text file, or - to read standard input.")
        raw = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{str(path)[:80]} cannot be read ({error.strerror}): give a text file.") from None
    return decoded(raw, str(path))


def check_writable(path: Path) -> None:
    """Refuse, before any work, a place where no file can be written.

    Raises:
        ValueError
    """
    if is_folder(path):
        raise ValueError(f"{path} is a folder: give the name of a file in it.")
    folder = path.absolute().parent
    if not is_folder(folder):
        raise ValueError(f"The folder of {path} does not exist: make it first.")
    try:
        if path.exists():
            writable = os.access(path, os.W_OK)
        else:
            # Only trying tells: root may write everywhere but on some file systems.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            path.unlink()
            writable = True
    except (OSError, ValueError):  # the name is too long, or holds a null
        writable = False
    if not writable:
        raise ValueError(f"{str(path)[:80]} cannot be written here: give a file in a folder of your own.")


def write_text(path: Path, text: str) -> None:
    """Write a result to a file as UTF-8.

    Raises:
        ValueError: it cannot be written; the sentence says that the work before it was done.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"The work is done, but its result could not be written to {path} ({error.strerror}): give another place."
        ) from None


def check_address(host: str, port: int) -> None:
    """Refuse, before any work, an address at which nothing can be served.

    Raises:
        ValueError: the port is no port, is taken, or `host` is no address of this machine.
    """
    whole_number(port, "The port", 1, 65535)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ValueError(f"Port {port} is in use already: stop what uses it, or give another --port.") from None
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
            raise ValueError(f"This user may not serve on port {port}: give a --port above 1023.") from None
        raise ValueError(
            f"The page cannot be served on {host}: it is no address of this machine. Give --host 127.0.0.1, or 0.0.0.0 "
            "to let others in."
        ) from None
