"""The user's cache folder: what takes long to make and can always be made again.

``python -m fastllm.cache`` lists it, ``--clear`` removes what no program uses.

An entry is a folder in ``graphs`` or ``models``, swapped in whole. Whoever reads from one holds it: a shared lock on
its mark, the file that is written last, which ends with the process. Only what nobody holds, and nobody made a moment
ago, is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastllm import console

try:
    import fcntl
except ImportError:  # Windows, which keeps open files by itself
    fcntl = None  # type: ignore[assignment]

KINDS = ("graphs", "models")
MARKS = ("graph.json", "config.json")
UNFINISHED = "unfinished"
# Seconds between an entry's last file and its first reader's lock, and between the files of one that is being made.
GRACE, MAKING = 60, 3600


def cache_folder() -> Path:
    """``FASTLLM_CACHE``, else ``fastllm`` in ``XDG_CACHE_HOME`` or ``~/.cache``. Need not exist."""
    if own := os.environ.get("FASTLLM_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fastllm"


def spare_folder() -> Path:
    """Where graphs are kept instead by whoever may not write the cache folder. Need not exist."""
    return Path(tempfile.gettempdir()) / f"fastllm-graphs-{os.getuid() if hasattr(os, 'getuid') else 0}"


@dataclass(frozen=True)
class Entry:
    """A folder of the cache.

    Attributes:
        what: what it was made from, in words.
        size: bytes on disk.
        used: when it was made or last taken, seconds since 1970.
    """

    folder: Path
    what: str
    size: int
    used: float


def _homes() -> tuple[Path, ...]:
    """The folders that entries lie in."""
    return *(cache_folder() / kind for kind in KINDS), spare_folder()


def entries() -> list[Entry]:
    """What lies in the cache, the largest first; what vanishes meanwhile is left out."""
    folders: list[Path] = []
    for home in _homes():
        with suppress(OSError):
            folders += [f for f in home.iterdir() if f.is_dir()]
    found = []
    for folder in folders:
        with suppress(OSError):
            facts = [f.stat() for f in (folder, *folder.rglob("*"))]
            size, used = sum(s.st_size for s in facts[1:]), max(s.st_mtime for s in facts)
            found.append(Entry(folder, _what(folder), size, used))
    return sorted(found, key=lambda e: -e.size)


def _what(folder: Path) -> str:
    if folder.name.startswith("."):
        return UNFINISHED
    if folder.parent.name == "models":
        return f"model {folder.name}"
    try:
        info = json.loads((folder / MARKS[0]).read_text(encoding="utf-8"))
        return f"graph of {info['source']}, version {info['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "graph, of an older version or damaged"


def _mark(folder: Path) -> Path | None:
    return next((folder / name for name in MARKS if (folder / name).is_file()), None)


class Hold:
    """An entry that stays where it is for as long as this object lives."""

    def __init__(self, mark: Path) -> None:
        """Raises OSError where it cannot be locked."""
        file = os.open(mark, os.O_RDONLY)
        # Not in __del__, which may come when the interpreter has already taken `os` down.
        weakref.finalize(self, os.close, file)
        fcntl.flock(file, fcntl.LOCK_SH)
        with suppress(OSError):
            os.utime(mark)


def hold(folder: Path) -> Hold | None:
    """Keep an entry from being removed; None for a folder that is none, or where nothing can be locked."""
    mark = _mark(folder)
    if fcntl is None or mark is None or folder.parent not in _homes():
        return None
    try:
        return Hold(mark)
    except OSError:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Raises OSError where somebody holds the entry."""
    mark = _mark(folder)
    if fcntl is None or mark is None:
        yield
        return
    with open(mark, encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def in_use(folder: Path) -> bool:
    """Whether some process holds the entry."""
    try:
        with _alone(folder):
            return False
    except OSError:
        return True


def remove(folder: Path) -> bool:
    """Take an entry away, unless somebody holds it; whether it is gone. Nobody ever sees half of it."""
    gone = folder.with_name(f".gone-{folder.name.strip('.')}-{os.getpid()}")
    try:
        with _alone(folder):
            os.replace(folder, gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


@contextmanager
def making(folder: Path, whole: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder beside the entry `folder`, which becomes it at the end; a failure leaves nothing. Where another
    process was faster, and what it made is `whole`, that stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=".half-", dir=folder.parent))
    try:
        yield half
        if folder.exists() and not whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(half, folder)
        except OSError:  # another process may have come in between
            if not whole(folder):
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)


def settled(entry: Entry) -> bool:
    """Whether nobody may be making it, or taking it for the first time, just now."""
    return time.time() - entry.used > (MAKING if entry.what == UNFINISHED else GRACE)


def main(argv: list[str] | None = None) -> int:
    """List the cache, or remove what no program uses; the exit status is 0."""
    console.prepare()
    parser = argparse.ArgumentParser(prog="python -m fastllm.cache", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--clear", action="store_true", help="remove what no program uses: it is made again when needed"
    )
    clear = parser.parse_args(argv).clear
    found, freed = entries(), 0
    print(cache_folder())
    for entry in found:
        day = datetime.fromtimestamp(entry.used, UTC).date()
        busy = "in use" if in_use(entry.folder) else "" if settled(entry) else "just made or used"
        if gone := clear and not busy and remove(entry.folder):
            freed += entry.size
        state = "removed" if gone else busy
        print(f"{entry.size / 1e6:9.1f} MB  {entry.what}, last used {day}" + f", {state}" * bool(state))
    whole = sum(e.size for e in found)
    print(f"{(whole - freed) / 1e6:9.1f} MB in all" + (f", {freed / 1e6:.1f} MB freed" if clear else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
