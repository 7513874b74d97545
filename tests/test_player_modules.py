"""The player's pure modules by node: tests/player/. The page needs no node, nor does any other test."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "player"
OLDEST = 20  # of node: what the modules use is in every browser of that time


def test_the_pure_modules_do_what_they_say():
    """All files in one process: every test of theirs was run, and none failed."""
    node = shutil.which("node")
    if not node:
        pytest.skip("there is no node here: apt-get install nodejs")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST:
        pytest.skip(f"node {version} is older than {OLDEST}, the oldest that the tests are written for")
    files = sorted(FOLDER.glob("*.test.mjs"))
    code = "\n".join(f"import {file.as_uri()!r};" for file in files)
    done = subprocess.run(
        [node, "--test-reporter=tap", "--input-type=module", "--eval", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (
        "\n".join(re.findall(r"^not ok .*(?:\n  .*)*", done.stdout, re.MULTILINE)) or done.stderr
    )
    written = sum(len(re.findall(r"^test\(", file.read_text(encoding="utf-8"), re.MULTILINE)) for file in files)
    assert f"\n# pass {written}\n" in done.stdout
