"""Putting the demo on a Space, against a stand-in of the hub's client that records what it is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from huggingface_hub.utils import filter_repo_objects

from fastllm import space

ROOT = Path(__file__).resolve().parent.parent


class Recorder:
    """What HfApi is asked, in order; `fails` is raised at the first call."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.fails = fails

    def create_repo(self, repo_id, **given):
        if self.fails:
            raise self.fails
        self.asked.append(("create_repo", {"repo_id": repo_id, **given}))
        return f"https://huggingface.co/spaces/{repo_id}"

    def upload_folder(self, **given):
        self.asked.append(("upload_folder", given))


def test_a_space_is_made_once_and_filled_in_one_commit():
    """Made with Gradio's SDK, an old one kept; then one upload."""
    api = Recorder()
    assert space.publish("ada/fastllm", api=api).endswith("/ada/fastllm")
    (made, first), (sent, second) = api.asked
    assert (made, sent) == ("create_repo", "upload_folder")
    assert first == {"repo_id": "ada/fastllm", "repo_type": "space", "space_sdk": "gradio", "exist_ok": True}
    assert (second["repo_id"], second["repo_type"], second["folder_path"]) == ("ada/fastllm", "space", ROOT)


def test_what_the_space_needs_goes_up_and_nothing_else():
    """By the client's own filter over our files: weights and assets, no tests, no training."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not names:
        pytest.skip("no git here")
    names += ["fastllm/__pycache__/x.pyc", "state/big.bin", "assets/.DS_Store"]
    api = Recorder()
    space.publish("ada/fastllm", api=api)
    given = api.asked[1][1]
    sent = set(
        filter_repo_objects(names, allow_patterns=given["allow_patterns"], ignore_patterns=given["ignore_patterns"])
    )
    assert {"app.py", "README.md", "requirements.txt", "packages.txt", "fastllm/ui/watch/tab.py"} <= sent
    assert {n for n in names if n.startswith("checkpoints/")} <= sent
    assert {n for n in names if n.startswith("assets/") and "/." not in n} <= sent
    assert not {n for n in sent if n.split("/")[0] in ("tests", "train", "docs", "state", "Makefile", ".ci")}
    assert not {n for n in sent if "__pycache__" in n}


def refused(status: int) -> HfHubHTTPError:
    request = httpx.Request("POST", "https://huggingface.co/api")
    return HfHubHTTPError("refused", response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("name", "fails", "words"),
    [
        ("fastllm", None, "OWNER/NAME"),
        ("", None, "OWNER/NAME"),
        ("a/b/c", None, "OWNER/NAME"),
        ("ada/x", LocalTokenNotFoundError("no token"), "hf auth login"),
        ("ada/x", refused(403), "may not write to ada/x"),
        ("ada/x", refused(401), "login is not valid"),
        ("ada/x", ConnectionError("no route"), "cannot be reached"),
    ],
)
def test_what_goes_wrong_is_one_sentence(name, fails, words, monkeypatch, capsys):
    """Exit status 2, no traceback."""
    monkeypatch.setattr(space, "HfApi", lambda: Recorder(fails))
    assert space.main([name]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
