"""Save, load and verify what lies in checkpoints/: safetensors and KenLM files only, listed with their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

WEIGHTS = (".safetensors", ".binary", ".arpa")


@dataclass(frozen=True)
class Problem:
    """One file that is not what the manifest says; ``what`` is a sentence."""

    path: str
    what: str


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    stat = path.stat()
    return _file_sha256(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _file_sha256(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """One hash over the weight files of a folder, in the order of their names; over its ``.bin`` files where it has no
    others."""
    digest = hashlib.sha256()
    here = [f for f in folder.iterdir() if f.is_file()]
    for file in sorted([f for f in here if f.suffix in WEIGHTS] or [f for f in here if f.suffix == ".bin"]):
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return digest.hexdigest()


def listed_files(folder: Path) -> Iterable[Path]:
    """Every file under `folder` that a manifest lists: all but the manifest itself and notes for people."""
    return sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "manifest.json" and f.suffix != ".md")


def write_manifest(folder: Path) -> dict:
    """Write ``manifest.json``: size and hash of every file, and for each record.json how its folder was made."""
    files: dict[str, dict[str, Any]] = {
        str(f.relative_to(folder)): {"bytes": f.stat().st_size, "sha256": file_sha256(f)} for f in listed_files(folder)
    }
    made: dict[str, Any] = {}
    for name in files:
        if name.endswith("record.json"):
            record = json.loads((folder / name).read_text())
            made[str(Path(name).parent)] = {
                k: record.get(k) for k in ("step", "command", "commit", "finished", "seconds")
            }
    manifest = {"version": 1, "bytes": sum(f["bytes"] for f in files.values()), "made": made, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def check_manifest(folder: Path) -> list[Problem]:
    """What differs between a folder and its manifest: missing, altered and unlisted files. Empty when all is well."""
    try:
        listed = json.loads((folder / "manifest.json").read_text())["files"]
    except (OSError, ValueError, KeyError):
        return [Problem("manifest.json", f"{folder / 'manifest.json'} is missing or damaged: run `make manifest`.")]
    problems = []
    for name, facts in listed.items():
        file = folder / name
        if not file.is_file():
            problems.append(Problem(name, f"{name} is missing from {folder}."))
        elif file.stat().st_size != facts["bytes"] or file_sha256(file) != facts["sha256"]:
            problems.append(Problem(name, f"{name} in {folder} is not the file that the manifest lists."))
    present = {str(f.relative_to(folder)) for f in listed_files(folder)}
    return problems + [Problem(n, f"{n} in {folder} is not in the manifest.") for n in sorted(present - set(listed))]


def altered(file: Path) -> bool:
    """Whether `file` is listed in a manifest of a folder above it with another hash."""
    for folder in file.resolve().parents:
        manifest = folder / "manifest.json"
        if manifest.is_file():
            listed = json.loads(manifest.read_text())["files"].get(str(file.resolve().relative_to(folder)))
            return listed is not None and listed["sha256"] != file_sha256(file)
    return False


if __name__ == "__main__":
    from fastllm.config import CHECKPOINTS

    manifest = write_manifest(CHECKPOINTS)
    print(f"{len(manifest['files'])} files, {manifest['bytes'] / 1e6:.1f} MB")
