"""What-if at one position, as HTML. Pure; every text that is not ours is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fastllm import places
from fastllm.analysis.whatif import Interval, Place, WhatIf, sentence
from fastllm.trace import Trace
from fastllm.ui.render import token_name
from fastllm.visible import visible

INTRO = """<div class="fl-lab-intro">
<p>Take one draft token of a <b>recorded</b> run and move a setting: would the same
token, with the same random number u, have been accepted? No model runs: the answer is computed from the recorded
candidates. They are only the likeliest few; what all the others sum up to is recorded at the temperatures below, so
figures are numbers. A run that is older, or top-p, may leave a range, and the verdict open.</p>
</div>"""
EMPTY = '<p class="fl-hint">Choose a recorded run or upload a trace, then a token.</p>'

_GLYPHS = {"accepted": "✓", "rejected": "✗", "unknown": "?", "not proposed": "∅", "no draw": "◔"}


def place_name(place: Place, eos_ids: Sequence[int] = (1,), token_id: int = -1) -> str:
    """A line of the list of positions."""
    name = token_name(place.text, token_id in eos_ids)
    return f"{name} {place.status}: {places.where(place.step, place.offset, place.position)}"


def number(value: Interval) -> str:
    """A figure, or the two ends of its range."""
    low, high = _digits(value.low), _digits(value.high)
    return high if value.exact or low == high else f"{low} to {high}"


def _digits(value: float) -> str:
    if value == 0 or value >= 0.001:
        return f"{value:.3f}"
    return f"{value:.2g}" if value >= 1e-4 else f"{value:.6f}" if value >= 1e-6 else "under 0.000001"


def _bar(chance: Interval, u: float | None) -> str:
    draw = "" if u is None else f'<i class="fl-u" style="left:{100 * u:.1f}%"></i>'
    width = max(0.0, chance.high - chance.low)
    label = f"accepted if u is below {number(chance)}" + ("" if u is None else f"; u was {u:.3f}")
    return (
        f'<div class="fl-chance" role="img" aria-label="{escape(label, quote=True)}">'
        f'<span class="fl-sure" style="width:{100 * chance.low:.1f}%"></span>'
        f'<span class="fl-open" style="width:{100 * width:.1f}%"></span>{draw}</div>'
        f'<p class="fl-hint">{escape(label)}.</p>'
    )


def answer_html(trace: Trace, place: Place, before: WhatIf, after: WhatIf, asked: tuple[float, float, float]) -> str:
    """Recorded and asked-for figures side by side, the chance with u on it, and the verdict in a sentence."""
    step = trace.steps[place.step]
    token = step.draft[place.offset]
    name = token_name(token.text, token.id in trace.eos_ids)
    replaced = ""
    if token.status == "rejected" and step.emitted:
        replaced = f", replaced by {token_name(step.emitted.text, step.emitted.id in trace.eos_ids)}"
    temperature, top_p, lenience = asked
    greedy = temperature == 0
    rows = (
        ("temperature", f"{trace.temperature:g}", f"{temperature:g}"),
        ("top-p", f"{trace.top_p:g}", f"{top_p:g}"),
        ("lenience", "1", f"{lenience:g}"),
        ("p, the target's", number(before.p), "1 if its favourite" if greedy else number(after.p)),
        ("q, the drafter's", number(before.q), "1 if its favourite" if greedy else number(after.q)),
        ("chance of acceptance", number(before.chance), number(after.chance)),
        ("chance of any draft token here, β", _known(before.beta), _known(after.beta)),
        ("u", "none drawn" if before.u is None else f"{before.u:.3f}", "none needed" if greedy else "the same"),
        ("verdict", place.status, after.verdict),
    )
    body = "".join(
        f'<tr><th scope="row">{escape(a)}</th><td>{escape(b)}</td><td>{escape(c)}</td></tr>' for a, b, c in rows
    )
    kind = after.verdict.replace(" ", "-")
    when = f", {trace.made[:10]}" if trace.made else ""
    return (
        f'<div class="fl-whatif"><p class="fl-caption">Recorded: {escape(visible(trace.drafter))} drafting for '
        f"{escape(visible(trace.target))}, γ {trace.gamma}, seed {trace.seed}{escape(visible(when))}.</p>"
        f"<p><b>{escape(name)}</b> {escape(token.status)}{escape(replaced)}: "
        f"{places.where(place.step, place.offset, place.position)}.</p>"
        '<table class="fl-table"><thead><tr><td></td><th scope="col">in the run</th><th scope="col">what if</th></tr>'
        f"</thead><tbody>{body}</tbody></table>{_bar(after.chance, None if greedy else after.u)}"
        f'<p class="fl-verdict fl-what-{kind}" role="status"><i aria-hidden="true">{_GLYPHS[after.verdict]}</i> '
        f"{escape(sentence(after, lenience))}</p>{_instead(trace, after)}{_older(trace, temperature)}</div>"
    )


def _known(value: float | None) -> str:
    return "not recorded" if value is None else _digits(value)


_LISTED = 4


def _instead(trace: Trace, after: WhatIf) -> str:
    """What would be drawn in a refused token's place, likeliest first."""
    if not after.residual or after.verdict == "accepted":
        return ""
    names = ", ".join(f"{token_name(s.text, s.id in trace.eos_ids)} {s.chance:.1%}" for s in after.residual[:_LISTED])
    return f'<p class="fl-hint">If it is refused, the target draws in its place: {escape(names)}, …</p>'


def _older(trace: Trace, temperature: float) -> str:
    if trace.temperatures or temperature in (0, trace.temperature):
        return ""
    return (
        '<p class="fl-hint">This run holds no sums over all tokens, as traces do since version 6: at another '
        "temperature its figures are ranges.</p>"
    )
