"""A trace as one HTML page that needs nothing else, and as CSV. Pure.

The page holds no link and no address of any kind: it opens without a network, and its own policy
(Content-Security-Policy) forbids the browser to fetch anything or to run what is not ours, should a text slip through.
It holds no script either, unless it is given a :class:`Playing`. Printed, it is a hand-out of two sheets
(fastllm/paper.py).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from fastllm import paper, places, sheet
from fastllm.analysis.metrics import summarise
from fastllm.analysis.rejections import Rejection, chance_of, rejections
from fastllm.analysis.timing import Timing, compare_runs
from fastllm.rules import lossless
from fastllm.trace import DraftToken, Emitted, Step, Trace
from fastllm.visible import visible

# status: (light, dark, glyph, meaning). The page's own palette (fastllm/ui/theme.py) on white and on #171b24.
_LOOKS = {
    "accepted": ("#00694c", "#2fd6a3", "", "drafted and kept: underlined"),
    "rejected": ("#a83a00", "#ff9b61", "", "drafted and refused: struck out"),
    "ignored": ("#667080", "#98a2b3", "", "after a rejection, so not tested: dotted"),
    "resampled": ("#00598c", "#6cc3f5", "↻", "in the rejected token's place: boxed"),
    "bonus": ("#7a2bbf", "#bd7ff5", "+", "free after a fully accepted draft: filled"),
    "target": ("#1b2330", "#e8ecf3", "", "where nothing was drafted: plain"),
}


def _html(text: object) -> str:
    return escape(visible(str(text)), quote=True)


def _paragraphs(text: str) -> str:
    """The article's own line breaks, everything else as in :func:`fastllm.visible.visible`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f'<p dir="auto">{_html(line)}</p>' for line in lines if line.strip())


@dataclass(frozen=True)
class Playing:
    """What lets an exported page play its run; all of it ours, none of it a text of the trace.

    Attributes:
        style: further rules.
        message: the run as the script reads it, in characters that no HTML parser heeds (``A-Za-z0-9+/=`` and JSON's).
        script: fills the element with the id ``player`` from the one with the id ``run``. Without it, or where scripts
            are off, the page shows the stream as it is printed.
    """

    style: str
    message: str
    script: str

    @property
    def sha256(self) -> str:
        """Of the script, in the form of a Content-Security-Policy."""
        return base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()


def to_html(trace: Trace, playing: Playing | None = None) -> str:
    """The run as one self-contained page: settings, figures, the stream of tokens, a table of rejections, the article.

    It says that it is recorded, when and with what. Light or dark follows the reader's system. Every text of the trace
    is escaped, with control and direction characters made visible. With `playing` the stream can be played and looked
    into.
    """
    m = summarise(trace)
    found = rejections(trace)
    sheets = paper.fit(trace.steps, trace.text, len(found), trace.article.text)
    when = f" on {_html(trace.made.replace('T', ', ')[:17])} UTC" if trace.made else ""
    title = f"Recorded run: {trace.drafter or 'no drafter'} drafting for {trace.target}"
    versions = ", ".join(f"{k} {v}" for k, v in trace.versions.items())
    settings = [
        ("Target", f"{trace.target} {trace.target_hash[:12]}"),
        ("Drafter", f"{trace.drafter or 'none (plain decoding)'} {trace.drafter_hash[:12]}"),
        ("Draft length γ", trace.gamma),
        ("Draft length policy", trace.lengths),
        ("Rule", trace.rule + (f", rollback {trace.rollback:g}" if trace.rollback else "")),
        *([("Draft trees", f"{trace.nodes} nodes at most, {trace.width} siblings")] if trace.nodes else []),
        ("Temperature, top-p, top-k", f"{trace.temperature:g}, {trace.top_p:g}, {trace.top_k or 'off'}"),
        ("Seed", trace.seed),
        ("Repeated n-grams forbidden from", trace.no_repeat_ngram_size or "off"),
        ("Ending", trace.ending),
        ("Made with", versions or "not recorded"),
    ]
    figures = [
        ("Tokens", m.tokens),
        ("Target calls", m.target_calls),
        ("Tokens per target call (τ)", _ratio(m.tau)),
        ("Accepted / tested", _ratio(m.accepted_tested)),
        ("Mean β", _ratio(m.mean_beta)),
        ("Seconds: drafting, target, other", f"{m.seconds_draft:.3f}, {m.seconds_target:.3f}, {m.seconds_other:.3f}"),
    ]
    if (plain := trace.baseline) and plain.steps:
        figures.append(("Measured speedup over plain decoding (95 %)", _speedup(compare_runs(trace, plain))))
        same = "the same" if plain.tokens == trace.tokens else "another text"
        figures.append(("Plain decoding's text", same if trace.temperature == 0 else "another sample of the same p"))
    kept = lossless(trace.rule, trace.rollback)
    lossy = "" if kept else '\n<p class="lossy"><b>Lossy:</b> the text may differ from the target\'s own.</p>'
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    player = end = more = ""
    if playing:
        policy += f"; script-src 'sha256-{playing.sha256}'"
        more = playing.style
        player = (
            '<section class="plays" aria-label="The run, played" id="player"><div class="fl-player"></div></section>'
        )
        end = (
            f'<script type="application/json" id="run">{playing.message}</script>\n<script>{playing.script}</script>\n'
        )
    steps = [_step(s, trace.eos_ids, s.index >= sheets.steps) for s in trace.steps]
    unprinted = len(steps) - sheets.steps
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_html(title)}</title>
<style>{_style(sheets)}{more}</style>
</head>
<body>
<main id="fastllm">
<div class="sheet">
<h1>{_html(title)}</h1>
<p class="recorded"><b>Recorded, not live.</b> This page shows a run of speculative decoding that FastLLM made{when}.
It was saved from its trace; nothing here is computed anew.</p>{lossy}
<section aria-label="Settings and figures"><dl>{_pairs(settings)}</dl><dl>{_pairs(figures)}</dl></section>
{player}<section class="printed" aria-labelledby="run-stream"><h2 id="run-stream">Draft and summary tokens</h2>
<ul class="legend" aria-label="Legend">{_legend()}</ul>
<div class="stream" role="list">{"".join(steps)}</div>{_left(unprinted, "step")}</section>
<section aria-labelledby="run-summary"><h2 id="run-summary">Summary</h2>
{_paragraphs(trace.text) or "<p>(empty)</p>"}</section>
</div>
<div class="sheet">
<section class="printed" aria-labelledby="run-rejections"><h2 id="run-rejections">Rejections</h2>
{_rejections(found, sheets)}</section>
<section aria-labelledby="run-article"><h2 id="run-article">Article</h2>
<p class="note">The target read {trace.article.tokens:,} tokens of it; {trace.article.cut:,} were not read.</p>
<div class="article">{_article(trace.article.text, sheets.characters)}</div></section>
</div>
</main>
{end}</body>
</html>
"""


def _left(n: int, what: str) -> str:
    """On paper: how much of the page did not fit."""
    if n <= 0:
        return ""
    return f'<p class="left note">… and {n:,} more {what}{"s" * (n > 1)}, which two sheets have no room for.</p>'


def _article(text: str, printed: int) -> str:
    """The article's paragraphs; what comes after the first `printed` characters stays off paper."""
    done, parts = 0, []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.strip():
            room = max(0, printed - done)
            cut = len(line) if len(line) <= room else line.rfind(" ", 0, room) + 1
            kept, rest = _html(line[:cut]), _html(line[cut:])
            beyond = f'<span class="beyond">{rest}</span>' if rest else ""
            parts.append(f'<p dir="auto"{"" if kept else BEYOND}>{kept}{beyond}</p>')
        done += len(line) + 1
    return "".join(parts) + _left(len(text) - printed, "character")


BEYOND = ' class="beyond"'


def _speedup(timing: Timing | None) -> str:
    if timing is None or timing.speedup is None or timing.interval is None:
        return timing.trouble if timing else "–"
    return f"{timing.speedup:.2f}× ({timing.interval[0]:.2f} to {timing.interval[1]:.2f})"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _pairs(rows: list[tuple[str, object]]) -> str:
    return "".join(f"<div><dt>{_html(a)}</dt><dd>{_html(b)}</dd></div>" for a, b in rows)


def _legend() -> str:
    return "".join(
        f'<li><span class="t {name}">{_glyph(glyph)}{name}</span> {_html(meaning)}</li>'
        for name, (_, _, glyph, meaning) in _LOOKS.items()
    )


def _glyph(glyph: str) -> str:
    return f'<i aria-hidden="true">{glyph}</i>' if glyph else ""


def _name(text: str, end: bool) -> str:
    return "end of text" if end else f"'{text.strip(' ') or 'space'}'"


def _step(step: Step, eos_ids: Sequence[int], beyond: bool = False) -> str:
    """One target call: its number, its draft, the target's own token. `beyond` keeps it off paper."""
    parts = [f'<span class="n" aria-hidden="true">{step.index + 1}</span>']
    emitted = step.emitted
    for t in step.draft:
        parts.append(_token(t.text, t.status, _draft_sentence(t, emitted, eos_ids), t.id in eos_ids))
    if emitted:
        refused = next((t for t in step.draft if t.status == "rejected"), None)
        instead = f" in place of {_name(refused.text, refused.id in eos_ids)}" if refused else ""
        sentence = f"{_name(emitted.text, emitted.id in eos_ids)}, {emitted.kind}{instead}, p {emitted.p:.3g}"
        parts.append(_token(emitted.text, emitted.kind, sentence, emitted.id in eos_ids))
    kind = "step beyond" if beyond else "step"
    return f'<span class="{kind}">{"".join(parts)}{_branches(step, eos_ids)}</span>'


def _branches(step: Step, eos_ids: Sequence[int]) -> str:
    """What a draft tree held beside the path that was followed, folded."""
    if not step.aside:
        return ""
    lines = []
    for token, place in zip(step.aside, step.side_places, strict=True):
        fate = "not tested" if token.chance is None else f"tested and refused, chance {token.chance:.3g}"
        drawn = "" if token.u is None else f", u {token.u:.3g}"
        words = (
            f"{_name(token.text, token.id in eos_ids)}, place {place + 1} in the draft: {fate}{drawn}, p {token.p:.3g}"
        )
        lines.append(f'<li style="margin-left:{place}em">{_html(words)}</li>')
    said = f"{len(lines)} other guess{'es' if len(lines) > 1 else ''}"
    return f' <details class="aside"><summary>{said}</summary><ul>{"".join(lines)}</ul></details>'


def _draft_sentence(token: DraftToken, emitted: Emitted | None, eos_ids: Sequence[int]) -> str:
    name = _name(token.text, token.id in eos_ids)
    if token.status == "ignored":
        return f"{name}, ignored: it followed a rejected token and was not tested"
    numbers = f"p {token.p:.3g}, q {token.q:.3g}" + ("" if token.u is None else f", u {token.u:.3g}")
    replaced = ""
    if token.status == "rejected" and emitted:
        replaced = f", replaced by {_name(emitted.text, emitted.id in eos_ids)}"
    return f"{name}, {token.status}{replaced} ({numbers})"


def _token(text: str, status: str, sentence: str, end: bool) -> str:
    space = " " if text.startswith(" ") or end else ""
    body = "end of text" if end else _html(text.strip(" ")) or "␣"
    label = _html(sentence)
    return (
        f'{space}<bdi class="t {status}" role="listitem" aria-label="{label}" title="{label}">'
        f"{_glyph(_LOOKS[status][2])}{body}</bdi>"
    )


def _rejections(found: Sequence[Rejection], sheets: paper.Sheets) -> str:
    if not found:
        return "<p>None: every tested draft token was accepted, or nothing was drafted.</p>"
    titles = ("step", "place in the draft", "place in the summary", "draft token", "p", "q", "replaced by")
    head = "".join(f'<th scope="col">{name}</th>' for name in (*titles, "kind of the target's token"))
    lines = [
        (*places.counted(r.step, r.offset, r.position), r.token, f"{r.p:.3g}", f"{r.q:.3g}", r.replacement, r.kind)
        for r in found
    ]
    rows = "".join(
        f"<tr{BEYOND if i >= sheets.rows else ''}>" + "".join(f"<td>{_html(v)}</td>" for v in line) + "</tr>"
        for i, line in enumerate(lines)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div>{_left(len(lines) - sheets.rows, "rejection")}'


def _style(sheets: paper.Sheets) -> str:
    def variables(dark: bool) -> str:
        return " ".join(f"--{name}: {look[dark]};" for name, look in _LOOKS.items())

    return f"""
:root {{ --page: #f4f6f9; --panel: #fff; --ink: #1b2330; --muted: #566070; --line: #d9dee7; {variables(False)} }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #0e1116; --panel: #171b24; --ink: #e8ecf3; --muted: #a3adbd;
  --line: #2b3240; {variables(True)} }} }}
body {{ margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, "Segoe UI", sans-serif; }}
main {{ max-width: 60rem; margin: 0 auto; padding: 16px; }}
h1 {{ font-size: 22px; overflow-wrap: anywhere; }} h2 {{ font-size: 16px; }}
section {{ background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 4px 16px 12px;
  margin: 0 0 14px; overflow-wrap: anywhere; }}
.recorded {{ border-left: 4px solid var(--resampled); padding-left: 12px; }}
.lossy {{ border-left: 4px solid var(--rejected); padding-left: 12px; }}
.note, dt, .legend {{ color: var(--muted); font-size: 13px; }}
dl {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 8px 16px; margin: 10px 0; }}
dd {{ margin: 0; font-variant-numeric: tabular-nums; }}
.legend {{ list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 4px 18px; }}
.stream {{ font-size: 17px; line-height: 2.1; }}
.n {{ font-size: 12px; color: var(--muted); vertical-align: 0.5em; border-left: 1px solid var(--line);
  margin: 0 2px 0 6px; padding-left: 4px; }}
.t {{ padding: 1px 2px; border-radius: 3px; white-space: pre-wrap; }}
.t i {{ font-style: normal; font-size: 0.72em; padding-right: 2px; }}
.accepted {{ color: var(--accepted); border-bottom: 2px solid; }}
.rejected {{ color: var(--rejected); text-decoration: line-through 2px; }}
.ignored {{ color: var(--ignored); border-bottom: 2px dotted; }}
.resampled {{ color: var(--resampled); box-shadow: inset 0 0 0 1.5px currentColor; padding: 1px 4px; }}
.bonus {{ color: var(--panel); background: var(--bonus); padding: 1px 4px; }}
.aside {{ display: inline-block; vertical-align: top; font-size: 13px; line-height: 1.5; color: var(--muted); }}
.aside summary {{ cursor: pointer; }} .aside ul {{ list-style: none; margin: 0; padding: 0 0 0 8px; }}
.wide {{ overflow-x: auto; }}
.wide table {{ border-collapse: collapse; font-size: 14px; }}
.wide :is(th, td) {{ text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid var(--line);
  white-space: pre; }}
.wide th {{ color: var(--muted); font-weight: 600; }}
.left {{ display: none; }}
.playing .printed {{ display: none; }}
@page {{ size: A4; margin: 12mm; }}
@media print {{
  :root {{ color-scheme: light; --page: #fff; --panel: #fff; --ink: #000; --muted: #444; --line: #bbb;
    {variables(False)} }}
  * {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  body {{ font-size: 9.5pt; line-height: 1.4; }}
  main {{ max-width: none; padding: 0; }}
  .sheet {{ height: {paper.HEIGHT - 1:g}mm; overflow: hidden; }}
  .sheet + .sheet {{ break-before: page; }}
  section {{ border: 0; padding: 0; margin: 0 0 2mm; }}
  h1 {{ font-size: 15pt; margin: 0 0 1mm; }} h2 {{ font-size: 11pt; margin: 2mm 0 1mm; }}
  p {{ margin: 0 0 1.2mm; }}
  .note, dt, .legend {{ font-size: 8pt; }}
  dl {{ grid-template-columns: repeat(4, 1fr); gap: 1mm 4mm; margin: 1.5mm 0; }} dd {{ font-size: 9pt; }}
  .legend {{ margin: 0 0 1mm; gap: 0 5mm; }}
  .stream {{ font-size: {sheets.stream:g}pt; line-height: 1.75; }}
  .wide {{ overflow: visible; }} .wide table {{ font-size: 8.5pt; line-height: 1.3; }}
  .wide table {{ width: 100%; }} .wide :is(th, td) {{ padding: 0.3mm 3mm 0.3mm 0; }}
  .wide th {{ white-space: pre-wrap; overflow-wrap: normal; }}
  .n {{ font-size: 0.75em; }}
  .article {{ font-size: {sheets.article:g}pt; columns: 2; column-gap: 8mm; }}
  .plays, .beyond, .aside {{ display: none !important; }}
  .playing .printed, .left {{ display: block; }}
}}
"""


CSV_COLUMNS = (
    *places.COLUMNS, "id", "token", "status", "p", "q", "u", "chance", "beta", "rule", "replacement", "replacement_p",
)  # fmt: skip


def to_csv(trace: Trace) -> str:
    """One row for each draft token, the ignored ones and a tree's other branches (``beside``) too; safe to open in a
    spreadsheet (fastllm/sheet.py).

    Places are counted from 1, as the columns say. ``replacement`` is what the target put in a rejected token's place.
    ``chance`` is what each tested token was kept with under ``rule``. Empty cells: nothing drawn, or not tested.
    """
    rows = []
    for step in trace.steps:
        for offset, t in enumerate(step.draft):
            new = step.emitted if t.status == "rejected" else None
            place = places.counted(step.index, offset, step.position + offset)
            judged = (t.id, t.text, t.status, t.p, t.q, t.u, chance_of(t, trace.rule), t.beta, trace.rule)
            rows.append(place + judged + ((new.text, new.p) if new else (None, None)))
        for s, offset in zip(step.aside, step.side_places, strict=True):
            place = places.counted(step.index, offset, step.position + offset)
            rows.append((*place, s.id, s.text, "beside", s.p, s.q, s.u, s.chance, None, trace.rule, None, None))
    return sheet.to_csv(CSV_COLUMNS, rows)
