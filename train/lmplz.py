"""``python -m train.lmplz``: build KenLM's estimator ``lmplz``, which the PyPI package of kenlm leaves out.

The source distribution on PyPI holds it (Heafield et al. 2013, "Scalable Modified Kneser-Ney Language Model
Estimation"). It is compiled with cmake into ``build/kenlm/bin/lmplz``, outside version control.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build" / "kenlm"
LMPLZ = BUILD / "bin" / "lmplz"

PROGRAMS = ("cmake", "g++")  # each in the Debian package of its own name
# The last three are optional to kenlm: they only let lmplz read compressed text.
LIBRARIES = (
    "libboost-program-options-dev",
    "libboost-system-dev",
    "libboost-thread-dev",
    "libboost-test-dev",
    "zlib1g-dev",
    "libbz2-dev",
    "liblzma-dev",
)


class BuildError(ValueError):
    """lmplz could not be built; the message is one sentence that says what to do."""


def works(binary: Path) -> bool:
    """Whether `binary` is there and estimates a model of a three-word text."""
    try:
        done = subprocess.run(
            [str(binary), "-o", "2", "-S", "64M", "--discount_fallback"],
            input=b"1 2 3\n",
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.startswith(b"\\data\\")


def find() -> Path:
    """Path of the built lmplz.

    Raises:
        FileNotFoundError: it was not built yet.
    """
    if not LMPLZ.is_file():
        raise FileNotFoundError(f"There is no lmplz at {LMPLZ}: run `make lmplz` (or `python -m train.lmplz`) first.")
    return LMPLZ


def missing_packages() -> list[str]:
    """Debian packages to install: programs that are not on the path, libraries that dpkg (if any) does not know."""
    missing = [p for p in PROGRAMS if not shutil.which(p)]
    if shutil.which("dpkg-query"):
        for package in LIBRARIES:
            query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
            if subprocess.run(query, capture_output=True, text=True).stdout != "installed":
                missing.append(package)
    return missing


def _explain(failure: str) -> BuildError:
    """`failure` (a clause without its full stop) with the apt line that is most likely to mend it."""
    if missing := missing_packages():
        return BuildError(f"{failure}: run `apt-get install {' '.join(missing)}` and try again.")
    return BuildError(f"{failure}: the last lines of {BUILD / 'build.log'} say why.")


def download(folder: Path) -> Path:
    """Fetch and unpack kenlm's source distribution, in the version of the installed query library.

    Returns:
        the unpacked folder, below `folder`.

    Raises:
        BuildError: pip cannot fetch it.
    """
    version = metadata.version("kenlm")
    # pip asks the sdist for its metadata, which takes setuptools; without it here, pip fetches one for the purpose.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [*isolation, "--no-binary", "kenlm", "--dest", str(folder), f"kenlm=={version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    archive = folder / f"kenlm-{version}.tar.gz"
    if done.returncode or not archive.is_file():
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise BuildError(f"The source of kenlm {version} could not be fetched, check pip's package index ({reason}).")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"kenlm-{version}"


def build() -> Path:
    """Build lmplz where it is absent or broken; does nothing otherwise.

    Returns:
        its path.

    Raises:
        BuildError: a program or library is missing, or the source cannot be fetched or compiled.
    """
    if works(LMPLZ):
        return LMPLZ
    if not all(shutil.which(p) for p in PROGRAMS):
        raise _explain("cmake and g++ are needed to build lmplz")
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch, open(BUILD / "build.log", "w") as log:
        source = download(Path(scratch))
        # kenlm puts programs into bin/ below the build folder.
        configure = ["cmake", "-S", str(source), "-B", str(BUILD), "-DCMAKE_BUILD_TYPE=Release"]
        compile_ = ["cmake", "--build", str(BUILD), "--target", "lmplz", "--parallel", str(os.cpu_count() or 1)]
        for command, failure in ((configure, "cmake could not configure kenlm"), (compile_, "kenlm did not compile")):
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode:
                raise _explain(failure)
    if not works(LMPLZ):
        raise _explain("lmplz was built but does not run")
    return LMPLZ


def main() -> int:
    """Build it where it does not run yet; the exit status is 2 where that fails."""
    try:
        if works(LMPLZ):
            print(f"lmplz is there: {LMPLZ}")
        else:
            print("building lmplz, about a minute", flush=True)
            print(f"built {build()}")
    except BuildError as error:
        print(f"train.lmplz: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
