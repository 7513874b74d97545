"""Entry point: parse arguments, load a target preset, build the page, launch."""

from __future__ import annotations

import argparse
import os
import sys

from fastllm import console

if __name__ == "__main__":
    console.prepare()  # before the libraries that it keeps quiet are imported

try:
    import spaces  # lends the GPU on a ZeroGPU Space, has to come before torch, and is installed nowhere else
except ImportError:
    spaces = None

from fastllm.config import preset_for
from fastllm.targets.load import choose_engine
from fastllm.ui.layout import build
from fastllm.ui.limits import run_seconds
from fastllm.ui.models import get_target, lend
from fastllm.ui.theme import launch_options


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; TARGET, ENGINE, PORT and SPACE_ID in the environment set its defaults."""
    parser = argparse.ArgumentParser(description="Watch speculative decoding happen.")
    parser.add_argument("--target", default=os.environ.get("TARGET") or "mini", help="a preset, a folder or a hub name")
    parser.add_argument("--engine", default=None, help="auto (ONNX Runtime where it can), onnx or torch")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or "7860")
    parser.add_argument("--host", default="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    console.prepare()
    args = parse(argv)
    try:
        preset_for(args.target)
        os.environ["ENGINE"] = choose_engine(args.engine)  # for the targets that visitors choose, too
        limit = run_seconds()
        console.check_address(args.host, args.port)
        # Before launch: there the weights must already be "on cuda", from where ZeroGPU takes them to the lent GPU.
        target = get_target(args.target)
        console.tell(target.notes)
        if spaces:
            lend(spaces.GPU(duration=limit))
    except ValueError as error:
        print(f"fastllm: {error}", file=sys.stderr)
        return 2
    try:
        build(target).launch(
            server_name=args.host,
            server_port=args.port,
            footer_links=["api", "gradio"],
            **launch_options(),
        )
    except OSError as error:
        print(f"fastllm: the page cannot be served on {args.host}:{args.port}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
