"""What others rely on: the public names, the README's snippet, and an installed copy that works from any folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import fastllm
from fastllm.config import data_folder

ROOT = Path(__file__).resolve().parent.parent


def test_every_public_name_is_there_and_documented():
    """Lazily loaded; what is no name is told with those that are."""
    for name in fastllm.__all__:
        found = getattr(fastllm, name)
        assert name == "__version__" or found.__doc__ or name == "PRESETS"
    assert set(fastllm.__all__) <= set(dir(fastllm))
    with pytest.raises(AttributeError, match="load_target"):
        _ = fastllm.nothing


def test_importing_needs_no_torch():
    """`import fastllm` is quick; torch comes with the first model."""
    code = "import sys, fastllm; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_readmes_snippet_runs(capsys):
    """Exactly as it is printed there."""
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    assert "tokens a target call, computed by" in capsys.readouterr().out


def test_every_folder_of_the_library_is_packed():
    """A new package is named in pyproject.toml, or it would be missing from an installed copy."""
    packed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    here = {str(f.parent.relative_to(ROOT)).replace("/", ".") for f in (ROOT / "fastllm").rglob("__init__.py")}
    assert packed - {"fastllm.data.assets", "fastllm.data.checkpoints"} == here


def test_an_installed_copy_works_from_any_folder(tmp_path):
    """Built as a wheel and unpacked elsewhere: `fastllm` summarises with the embedded target and its drafters."""
    wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet",
             "--disable-pip-version-check", "--wheel-dir", str(tmp_path),
             "--config-settings=--build-option=--compression=stored"]  # fmt: skip
    try:
        import setuptools

        assert int(setuptools.__version__.split(".")[0]) >= 77
    except (ImportError, AssertionError):
        pytest.skip("setuptools 77 or later is not installed here: pip would fetch it")
    done = subprocess.run([*wheel, str(ROOT)], capture_output=True, text=True, cwd=tmp_path)
    for left in (ROOT / "build", ROOT / "fastllm.egg-info"):
        shutil.rmtree(left, ignore_errors=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = tmp_path.glob("fastllm-*.whl")
    with zipfile.ZipFile(file) as packed:
        assert any(n.endswith("entry_points.txt") and b"fastllm.cli:main" in packed.read(n) for n in packed.namelist())
        packed.extractall(tmp_path / "site")
    assert data_folder(tmp_path / "site" / "fastllm") == tmp_path / "site" / "fastllm" / "data"
    (tmp_path / "a.txt").write_text("Two tugs towed a ferry back to Port Ellery on Tuesday. Nobody was hurt. " * 3)
    code = "import sys; from fastllm.cli import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", code, "a.txt", "--drafter", "lstm", "--max-new-tokens", "12"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert "tokens" in run.stdout
