"""The player on an empty page, without Gradio and without a server: for tests of its script, and to measure it.

``python -m tests.browser.stage`` prints how long the longest task of a scripted run of 300 tokens takes.
"""

from __future__ import annotations

import dataclasses
import itertools
import json

from fastllm.analysis.metrics import running
from fastllm.trace import Article, Candidate, DraftToken, Emitted, Plain, Step, Trace
from fastllm.ui.theme import INSPECTOR_SHEET, PLAYER_SHEET, STYLE_SHEET, css
from fastllm.ui.watch import messages, scripts
from fastllm.ui.watch.player import FOLDER, script, sources
from tests.browser import chromium

ARTICLE = (
    "The ferry left Port Ellery on Tuesday.\n\nTwo tugs towed the ferry back to the “quay”, the harbour master said."
)
_PAGE = '<div id="fastllm"><div id="player"><div class="fl-player"></div></div></div><input id="field">'
_MOUNT = """source => {
  window.props = {value: ''}; window.sent = []; window.server = {}; let told;
  window.send = text => { props.value = text; told(); };
  Function('element', 'trigger', 'props', 'server', 'upload', 'watch', source)(document.querySelector('#player'),
    (type, data) => sent.push([type, data]), props, server, null, (name, f) => { told = f; });
}"""


_MEASURE = """async told => {
  const took = {};
  const log = (name, ms) => (took[name] ??= []).push(ms);
  const timed = (name, act) => {
    let t = performance.now();
    act();
    log(name, performance.now() - t);
    t = performance.now();
    document.body.offsetHeight;
    log(`${name}, layout`, performance.now() - t);
  };
  for (const text of told) {
    const t = performance.now();
    send(text);
    for (let i = 0; i < 9; i++) await null;
    log(text === told.at(-1) ? 'last message' : 'message', performance.now() - t);
    await new Promise(done => setTimeout(done));
  }
  await new Promise(done => setTimeout(done, 200));
  const press = key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const scrub = document.querySelector('.fl-scrub input');
  timed('jump to 0', () => { scrub.value = 0; scrub.dispatchEvent(new Event('input')); });
  for (let i = 0; i < 100; i++) timed('step', () => press('ArrowRight'));
  for (let i = 0; i < 100; i++) timed('back', () => press('ArrowLeft'));
  timed('jump to end', () => press('End'));
  timed('inspect', () => document.querySelector('.fl-rejected').click());
  return took;
}"""


def candidates(*texts: str, first_id: int = 100) -> tuple[Candidate, ...]:
    return tuple(Candidate(first_id + i, t, 0.3 / (i + 1), 0.4 / (i + 1)) for i, t in enumerate(texts))


def step(index: int, position: int) -> Step:
    """Three tokens of a draft of four: two accepted, the third rejected and replaced."""
    p_top = candidates(" the", " ferry", " quay", " tugs", " towed")
    q_top = candidates(" towed", " ship", " a", ".", ",", first_id=104)
    text = [" two", " tugs", f" ship{index}", " left"]
    status = ["accepted", "accepted", "rejected", "ignored"]
    draw = {"accepted": 0.3, "rejected": 0.9, "ignored": None}
    draft = tuple(
        DraftToken(40 + i, t, s, 0.2, 0.5, draw[s], None if s == "ignored" else 0.6, p_top, q_top)
        for i, (t, s) in enumerate(zip(text, status, strict=True))
    )
    return Step(index, position, draft, Emitted(101, " ferry", "resampled", 0.2, p_top), 0.001, 0.008, 0.001)


def trace(steps: int = 4, **changes) -> Trace:
    """A run of so many steps of three tokens each, with plain decoding beside it."""
    found = tuple(step(i, 3 * i) for i in range(steps))
    plain = tuple(Step(i, i, (), Emitted(7, " x", "target", 0.5), 0.0, 0.006, 0.0) for i in range(3 * steps))
    made = Trace(
        "speculative", "mini", "ngram:3", 4, 1.0, 0, 1.0, 3, 0, 96, Article(ARTICLE, 20, 0), found, "two tugs",
        ending="length", versions={"torch": "2"}, made="2026-11-23T17:00:00+00:00", plain=Plain(plain, "x", "length"),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def live(run: Trace, batch: int = 2) -> list[str]:
    """The messages of a live run, `batch` steps in each."""
    sender = messages.Sender(run.eos_ids)
    figures = running(run.steps)
    told = [sender.first(messages.head_of(dataclasses.replace(run, plain=None)))]
    for at in range(0, len(run.steps), batch):
        steps = run.steps[at : at + batch]
        sender.add(steps, list(itertools.islice(figures, len(steps))))
        told.append(sender.news())
    sender.add_plain(run.plain.steps)
    return [*told, sender.news(), sender.last(run, "done")]


def mount(page) -> None:
    """The player and its style sheets on `page`."""
    sheets = "".join(f.read_text(encoding="utf-8") for f in (STYLE_SHEET, PLAYER_SHEET, INSPECTOR_SHEET))
    page.set_content(f"<style>{css()}{sheets}</style>{_PAGE}")
    page.evaluate(_MOUNT, script())


def send(page, *told: str) -> None:
    """Give the player messages, and wait until it has taken them in."""
    for text in told:
        page.evaluate("text => send(text)", text)
    page.evaluate("() => new Promise(done => setTimeout(done, 30))")


def pure() -> str:
    """The player's modules without the one that wires them."""
    parts = scripts.bodies(sources())
    del parts["main.js"]
    source = "const CONFIG = {statuses: {}, kinds: [], exports: [], recordings: []};\n"
    source += f"CONFIG.fields = {(FOLDER / 'fields.json').read_text(encoding='utf-8')};\n"
    return source + "\n".join(parts.values())


def call(page, expression: str):
    """The value of `expression` where the player's pure functions are known."""
    return page.evaluate("source => Function(source)()", f"{pure()}\nreturn {expression};")


def main() -> None:
    """Feed a run of 300 tokens step by step, play it, go back and forth, and report the longest task."""
    run = trace(100)
    told = live(run, batch=4)
    with chromium.browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        mount(page)
        times = page.evaluate(
            _MEASURE,
            told,
        )
    for name, values in times.items():
        ends = f"; first ten {sum(values[:10]):.0f} ms, last ten {sum(values[-10:]):.0f} ms" if len(values) > 20 else ""
        print(f"{name}: {len(values)} times, longest {max(values):.1f} ms, total {sum(values):.0f} ms{ends}")
    print(f"bytes: {sum(map(len, told[:-1]))} in {len(told) - 1} messages, last {len(told[-1])}")
    print(f"trace: {len(json.dumps(dataclasses.asdict(run)))} bytes of JSON")


if __name__ == "__main__":
    main()
