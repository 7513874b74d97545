"""``python -m fastllm.space OWNER/NAME``: put the demo on a Hugging Face Space, large files included.

What the Space needs and nothing else goes up: tests, training code and training data stay here. Needs a login
(``hf auth login``, or HF_TOKEN in the environment).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from fastllm.config import ROOT

UPLOADED = [
    "app.py", "README.md", "LICENSE", "requirements.txt", "packages.txt", "fastllm/**", "assets/**", "checkpoints/**",
]  # fmt: skip
IGNORED = ["**/__pycache__/**", "**/*.pyc", "**/*.pyi", "**/.*"]


def publish(name: str, folder: Path = ROOT, api: HfApi | None = None) -> str:
    """Make the Space `name` where it is not there, and bring it up to date in one commit.

    Returns:
        the Space's address.

    Raises:
        ValueError: `name` is no name of a Space, nobody is logged in, or the hub refuses; in a sentence.
    """
    owner, slash, space = name.partition("/")
    if not (owner and slash and space) or "/" in space:
        raise ValueError(f"A Space is named OWNER/NAME, not {name!r}: give SPACE=owner/name.")
    for file in ("app.py", "README.md", "requirements.txt"):
        if not (folder / file).is_file():
            raise ValueError(f"There is no {file} in {folder.name}: run this in a checkout of FastLLM.")
    api = api or HfApi()
    try:
        url = api.create_repo(name, repo_type="space", space_sdk="gradio", exist_ok=True)
        api.upload_folder(
            repo_id=name,
            repo_type="space",
            folder_path=folder,
            allow_patterns=UPLOADED,
            ignore_patterns=IGNORED,
            commit_message="FastLLM",
        )
    except LocalTokenNotFoundError:
        raise ValueError("Nobody is logged in to the hub: run `hf auth login`, or set HF_TOKEN.") from None
    except HFValidationError as error:
        raise ValueError(f"{name!r} is no name of a Space: {error}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        why = {401: "the login is not valid", 403: f"this login may not write to {name}"}.get(status, str(error))
        raise ValueError(f"The hub refused ({status}): {why.strip().splitlines()[0]}.") from None
    except OSError as error:
        raise ValueError(f"The hub cannot be reached ({error}): check the network and try again.") from None
    return str(url)


def main(argv: list[str] | None = None) -> int:
    """Exit status 2 where it could not be done, with one sentence."""
    parser = argparse.ArgumentParser(prog="python -m fastllm.space", description=__doc__)
    parser.add_argument("name", metavar="OWNER/NAME")
    args = parser.parse_args(argv)
    try:
        print(f"The demo is on {publish(args.name)}")
    except ValueError as error:
        print(f"fastllm: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
