"""The steps that train, on two processes under ``accelerate launch``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import TEXTS

ROOT = Path(__file__).resolve().parent.parent
# Starting two processes takes far longer than their few steps: they run both trainings one after the other.
BOTH = "import json, sys; from train.__main__ import main; sys.exit(max(main(a) for a in json.loads(sys.argv[1])))"


def test_target_and_drafter_train_on_two_processes(tiny_folder, tmp_path):
    """Two CPU processes share each batch; the records say so."""
    data, script = tmp_path / "pairs.jsonl", tmp_path / "both.py"
    rows = [
        {"id": f"pair-{i}", "article": " ".join((TEXTS * 3)[i : i + 8]), "highlights": TEXTS[i % 6]} for i in range(8)
    ]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    script.write_text(BOTH)
    pairs = ["--data", str(data), "--validation", str(data)]
    target = ["target", *pairs, "--state", str(tmp_path / "a"), "--out", str(tmp_path / "target"), "--steps",
              "copy_short=1,copy_long=0,extract=1,summarize=1,cooldown=0,polish=0", "--vocab-size", "256",
              "--max-article", "64", "--max-summary", "16", "--d-model", "64", "--layers", "1", "--batch-size", "4",
              "--validate-every", "100", "--mixed-precision", "no"]  # fmt: skip
    drafter = ["drafter", *pairs, "--family", "cnn", "--recipe", "baseline", "--target", str(tiny_folder),
               "--alpha-articles", "4", "--steps", "2", "--batch-size", "4", "--layers", "1", "--cache",
               str(tmp_path / "cache"), "--state", str(tmp_path / "b"), "--out", str(tmp_path / "cnn")]  # fmt: skip
    # accelerate has no flag for several CPU processes without MPI: its torchrun launcher with the CPU asked for is one.
    launch = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    command = [sys.executable, "-m", "accelerate.commands.launch", *launch.split(), str(script)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, json.dumps([target, drafter])], cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("target", "cnn"):
        assert json.loads((tmp_path / name / "record.json").read_text())["processes"] == 2
