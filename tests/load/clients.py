"""Many visitors at once: ``python -m tests.load.clients --clients 20``.

Starts app.py as a process of its own, sends it so many `gradio_client` visitors at the same moment, each with an
article that holds a word of its own, and reports who finished, how long each waited, and whether anybody's frames held
another's word.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

from gradio_client import Client

ROOT = Path(__file__).resolve().parent.parent.parent
# One word a visitor, in none of the others' articles.
_WORDS = """
    Abernyte Brackwell Cotheridge Dunsmore Eastleach Farnley Gristhorpe Hartwith Ingleborough Jurby Kettleshulme
    Lathom Mickleham Nunnington Ormesby Painswick Quernmore Rosedale Staintondale Thirlby Ullesthorpe Vernham
    Wensley Yealmpton Zennor Ashbocking Birdsall Crathorne Dalderby Eskdale"""
WORDS = _WORDS.split()
# Seconds for all visitors to have connected.
PATIENCE = 60
ENDINGS = ("Finished", "Stopped", "Ended", "waiting")


@dataclass(frozen=True)
class Visit:
    """One visitor's run: how it ended, its frames, the seconds to the first and the last of them, places in line."""

    word: str
    ended: str
    frames: int
    first: float
    last: float
    places: tuple[int, ...]
    own: bool
    others: tuple[str, ...]
    text: str


def article(word: str) -> str:
    """An article of our own about a place of that name."""
    return (
        f"The council of {word} voted on Monday to reopen the old railway line to the coast. {word} has had no trains "
        f"for forty years. The mayor of {word} said that the first train would leave {word} in the spring, with room "
        f"for two hundred passengers. People in {word} danced in the market square, and the bakery of {word} gave "
        f"bread to everyone who came. The line costs {word} nine million pounds, most of it for a bridge over a river."
    )


def visit(url: str, word: str, words: tuple[str, ...], start: Barrier, arguments: dict) -> Visit:
    """One visitor: connects, waits for the others, runs, reads every frame."""
    began = time.monotonic()
    frames, first, ended = [], 0.0, "no frame"
    try:
        client = Client(url, verbose=False, analytics_enabled=False)
        # Who cannot connect breaks the barrier when its time is over: the others do not wait for ever.
        start.wait(timeout=PATIENCE)
        began = time.monotonic()
        for frame in client.submit(article=article(word), **arguments, api_name="/run"):
            first = first or time.monotonic() - began
            frames.append(json.dumps(frame, ensure_ascii=False))
        last = re.sub(r"<[^>]*>", " ", frames[-1])
        ended = next((s for s in ENDINGS if s in last), "not told")
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    everything = " ".join(frames)
    return Visit(
        word=word,
        ended=ended,
        frames=len(frames),
        first=first,
        last=time.monotonic() - began,
        places=tuple(map(int, re.findall(r"number (\d+) in line", everything))),
        own=word in everything,
        others=tuple(w for w in words if w != word and w in everything),
        text=next((t for t in (json.loads(frames[-1])[3],) if isinstance(t, str)), "") if frames else "",
    )


def visits(url: str, clients: int, **arguments) -> list[Visit]:
    """So many visitors at once, on the page at `url`."""
    words = tuple(f"{WORDS[i % len(WORDS)]}{'' if i < len(WORDS) else i}" for i in range(clients))
    start = Barrier(clients)
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda w: visit(url, w, words, start, arguments), words))


def report(found: list[Visit]) -> str:
    """The figures, a line each."""
    done = sum(v.ended == "Finished" for v in found)
    told = sum(v.ended in ENDINGS[1:] for v in found)
    lasts, firsts = [v.last for v in found], [v.first for v in found]
    return "\n".join(
        [
            f"{len(found)} clients at once: {done} finished, {told} told why not, {len(found) - done - told} neither",
            f"another's word in somebody's frames: {sum(bool(v.others) for v in found)} clients",
            f"own word in one's own frames: {sum(v.own for v in found)} clients",
            f"told a place in line: {sum(bool(v.places) for v in found)} clients, the last at {_most(found)}",
            f"seconds to the first frame: median {statistics.median(firsts):.1f}, longest {max(firsts):.1f}",
            f"seconds to the end: shortest {min(lasts):.1f}, median {statistics.median(lasts):.1f}, longest "
            f"{max(lasts):.1f}",
            f"frames: {sum(v.frames for v in found)}",
        ]
    )


def _most(found: list[Visit]) -> int:
    return max((p for v in found for p in v.places), default=0)


def serve(port: int, target: str) -> subprocess.Popen:
    """app.py as a process of its own; returns when it answers.

    Raises:
        RuntimeError: it ended, or did not answer in five minutes.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "app.py", "--port", str(port), "--target", target]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"app.py ended: {process.stdout.read().decode()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.5)
    process.kill()
    raise RuntimeError("app.py did not answer in five minutes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--port", type=int, default=7889)
    parser.add_argument("--target", default="mini")
    parser.add_argument("--length", type=int, default=48)
    args = parser.parse_args()
    process = serve(args.port, args.target)
    try:
        found = visits(f"http://127.0.0.1:{args.port}", args.clients, drafter="lookup", gamma=4, length=args.length)
        memory = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.terminate()
        output = process.communicate(timeout=30)[0].decode()
    print(report(found))
    print("memory of the server:", *re.findall(r"VmHWM:\s*(.*)", memory))
    leaked = [v.word for v in found if v.word in output]
    print(f"articles in the server's output: {len(leaked)}")
    for v in found:
        if v.ended != "Finished" or v.others:
            print(v)
    return int(
        bool(leaked) or any(v.others or v.ended not in ("Finished", "Stopped", "Ended", "waiting") for v in found)
    )


if __name__ == "__main__":
    sys.exit(main())
