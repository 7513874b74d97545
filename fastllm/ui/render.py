"""Steps and figures in words, and the parts of the page that stand still as HTML. Pure functions; every text that is
not ours is escaped. The stream itself is drawn in the browser (assets/player/), with the sentences made here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fastllm.analysis.metrics import Metrics, summarise
from fastllm.analysis.timing import Timing, compare_runs
from fastllm.rules import lossless
from fastllm.trace import DraftToken, Emitted, Step, Trace
from fastllm.ui.theme import STATUSES
from fastllm.visible import visible

END_OF_TEXT = "end of text"
COMPARE_EMPTY = "After each run the target decodes the same article without a drafter, and both are timed."

# Name and one sentence. Shown as tooltips and under "What the figures and settings mean".
GLOSSARY: dict[str, tuple[str, str]] = {
    "tau": (
        "Tokens per target call (τ)",
        "Summary tokens gained per call of the target: 1 without a drafter, at most γ + 1 with one.",
    ),
    "acceptance": (
        "Acceptance (accepted / tested)",
        "Of the draft tokens that the target judged, the share it kept; ignored tokens were not judged.",
    ),
    "beta": (
        "Mean β",
        "The chance of acceptance, the sum of min(p, q), averaged over the tested positions; it varies less between "
        "runs than accepted / tested.",
    ),
    "calls": (
        "Target calls",
        "Forward passes of the large model's decoder; plain decoding needs one for every token.",
    ),
    "speed": (
        "Tokens per second",
        "Tokens over wall-clock time of drafting, target and verification; reading the article, the data for the "
        "inspector and playback are not in it.",
    ),
    "speedup": (
        "Measured speedup",
        "Seconds a token of plain decoding over seconds a token of speculative decoding, both in turns, call by call: "
        "the exact number of calls times the median time of such a call, with a 95 % interval; it cannot exceed τ.",
    ),
    "p and q": (
        "p and q",
        "p is the target's probability for a token and q the drafter's, both after temperature and top-p; at "
        "temperature 0 each is 1 for the model's first choice and 0 for the rest.",
    ),
    "n-gram": (
        "N-gram: distilled, baseline",
        "A drafter that knows how often each token followed the N - 1 before it: in the target's own summaries "
        "(distilled) or in summaries by journalists (baseline).",
    ),
    "lookup": (
        "Lookup",
        "A drafter without a model: it copies what followed the same last tokens in the article, and is certain of it "
        "(q = 1).",
    ),
    "self": (
        "Itself",
        "The target as its own drafter, with some of its parts left out: cheaper and less sure of itself; it needs no "
        "further model, and both share what was made of the article.",
    ),
    "gamma": ("γ, the draft length", "How many tokens the drafter proposes before each call of the target."),
    "temperature": (
        "Temperature, top-p, seed",
        "0 always takes the most probable token (greedy); above it tokens are drawn, from the most probable ones that "
        "together reach top-p, and the seed makes the draws repeatable.",
    ),
    "speed of playback": (
        "Speed of playback",
        "How fast your browser shows steps that are already computed; pausing it holds no model and enters no timing.",
    ),
    "residual": (
        "Residual",
        "What a rejected token's replacement is drawn from: the part of p that q does not cover, norm(max(0, p − q)).",
    ),
    "race": (
        "Race in measured time",
        "How many tokens each way of decoding had written when the same time had passed; each call takes the median "
        "time of its kind in this run, as in the comparison (while the run goes on, its own); how fast it is played "
        "does not matter.",
    ),
    "timeline": (
        "Step timeline",
        "Each step's strip begins when it began: drafting, the target's call, then verification and the draws; at the "
        "right, the tokens that the step wrote.",
    ),
    "positions": (
        "Acceptance by place in the draft",
        "Accepted / tested at each place in the draft, with Wilson's 95 % interval: later places are reached only if "
        "all before were accepted; hatched where fewer than 10 were tested.",
    ),
}


def token_name(text: str, is_end: bool = False) -> str:
    """A token as words name it: in quotes, or `end of text`."""
    if is_end:
        return END_OF_TEXT
    return f"'{visible(text.strip(' ')) or 'space'}'"


def probability(value: float) -> str:
    """A probability in at most two decimals that never rounds to certainty."""
    if 0 < value < 0.005:
        return "under 0.01"
    if 0.995 <= value < 1:
        return "over 0.99"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def draft_sentence(token: DraftToken, emitted: Emitted | None, eos_ids: Sequence[int]) -> str:
    """What happened to a draft token, as one sentence."""
    name = token_name(token.text, token.id in eos_ids)
    numbers = f"(p {probability(token.p)}, q {probability(token.q)})"
    if token.status == "accepted":
        return f"{name}, accepted {numbers}"
    if token.status == "rejected":
        replaced = f", replaced by {token_name(emitted.text, emitted.id in eos_ids)}" if emitted else ""
        return f"{name}, rejected {numbers}{replaced}"
    return f"{name}, ignored: it followed a rejected token and was not tested"


def emitted_sentence(step: Step, eos_ids: Sequence[int]) -> str:
    """Where the target's own token of a step came from, as one sentence.

    Raises:
        ValueError: the step has none.
    """
    token = step.emitted
    if token is None:
        raise ValueError("nothing was emitted in this step")
    name, p = token_name(token.text, token.id in eos_ids), probability(token.p)
    if token.kind == "resampled":
        rejected = next((t for t in step.draft if t.status == "rejected"), None)
        instead = f" in place of {token_name(rejected.text, rejected.id in eos_ids)}" if rejected else ""
        return f"{name}, resampled by the target{instead} (p {p})"
    if token.kind == "bonus":
        return f"{name}, bonus token from the target (p {p}): the whole draft was accepted"
    return f"{name}, the target's own token (p {p}): nothing was drafted here"


def _mark(glyph: str) -> str:
    return f'<i aria-hidden="true">{glyph}</i>' if glyph else ""


def legend_html() -> str:
    """The statuses with a sample of each; the sixth is rare and so comes last."""
    items = "".join(
        f'<li><span class="fl-tok fl-{s.name}">{_mark(s.glyph)}{s.name}</span> <small>{escape(s.meaning)}</small></li>'
        for s in STATUSES.values()
    )
    hint = (
        "Each number is a target call. Click a token to inspect it, or choose it with ↑ ↓ and press Enter. "
        "Space plays and pauses, → and ← step, Esc stops."
    )
    return f'<ul class="fl-legend" aria-label="Legend">{items}</ul><p class="fl-hint">{hint}</p>'


def _sample(*tokens: tuple[str, str]) -> str:
    glyphs = {s.name: _mark(s.glyph) for s in STATUSES.values()}
    marks = " ".join(f'<span class="fl-tok fl-{s}">{glyphs.get(s, "")}{t}</span>' for t, s in tokens)
    return f'<p class="fl-sample">All 213 {marks}</p>'


def intro_html() -> str:
    """What the stream shows before the first run: how it works in three short sentences with samples."""
    draft = ("people", "on", "a", "ship", "at")
    guess = _sample(*((t, "draft") for t in draft))
    judged = [(t, "accepted") for t in draft[:3]] + [("ship", "rejected"), ("at", "ignored")]
    return f"""<ol class="fl-intro">
<li><b>The drafter guesses.</b> <small>A smaller or cheaper model guesses a few words ahead, which costs little.</small>
{guess}</li>
<li><b>The target checks.</b> <small>One call of the large model checks them all. It keeps them up to the first that it
refuses.</small>{_sample(*judged)}</li>
<li><b>The target writes one itself</b> <small>in the place of the refused guess, or after the last one where it kept
them all.</small>{_sample(*judged[:3], ("ferry", "resampled"))}</li>
</ol><p class="fl-intro-end"><span class="fl-if-exact">The text stays the target's own: word for word what it
writes alone at temperature 0, by the same odds above it.</span><span class="fl-if-lossy">The rule that is chosen lets
some guesses stay that the target would not have written: the text may be another.</span> Press <b>Run</b>.</p>"""


def lesson_html(sentence: str) -> str:
    """What a lesson's run shows, above the stream."""
    return f'<p class="fl-lesson">{escape(sentence)}</p>'


def how_html() -> str:
    """The method for newcomers, longer than the three sentences before the first run."""
    return """<div class="fl-how">
<p>A large language model writes one token (a word or a piece of one) at a time, and each costs a full pass through the
model, whose time goes mostly into moving its weights. Scoring five given tokens in one pass takes hardly longer than
writing one. Speculative decoding (Leviathan et al. 2023; Chen et al. 2023) lives on this difference.</p>
<ol>
<li>A <b>drafter</b>, cheap enough to be nearly free, proposes γ tokens: here a small network (CNN, LSTM, T5), counts of
word sequences (n-gram), the article itself (lookup), or the target with parts left out.</li>
<li>The <b>target</b> reads the draft in one pass and gives, at each position, its own distribution p over the next
token; the drafter drew its token from its own distribution q.</li>
<li>Each draft token is <b>accepted</b> with chance min(1, p/q). The first <b>rejected</b> one ends the draft: those
after it are <b>ignored</b>, and the target's token, <b>resampled</b> from what p has more of than q, takes its place.
If all are accepted, the target's pass has already paid for one <b>bonus</b> token.</li>
</ol>
<p>This rule makes the result follow p exactly: at temperature 0 the text is, token for token, what the target writes
alone; above 0 it has the same distribution. Only the time changes. (Rules marked ≠ under <i>More settings</i> give that
up for speed.) More accepted tokens save target calls, but a long
draft costs drafting time and a wider pass, so a larger γ can be slower.</p></div>"""


def header_html() -> str:
    """Name, and one sentence, which depends on the rule that is chosen."""
    return (
        '<a class="fl-skip" href="#result">Skip to the run</a><div class="fl-title"><h1>FastLLM</h1>'
        '<p>A small drafter guesses ahead; a large target checks, and <span class="fl-if-exact">the text stays its own.'
        '</span><span class="fl-if-lossy">lets guesses stay that it would not have written.</span></p></div>'
    )


def loading_html(title: str) -> str:
    """A target is being loaded for all visitors."""
    return f'<p class="fl-loading" role="status">{escape(title)} is being loaded, once for everyone …</p>'


def why_html(key: str) -> str:
    """A question mark that opens a figure's sentence: by pointer, touch or keyboard."""
    name, text = GLOSSARY[key]
    return (
        f'<details class="fl-why" name="fl-why"><summary aria-label="What is {escape(name, quote=True)}?">?</summary>'
        f"<p>{escape(text)}</p></details>"
    )


def glossary_html() -> str:
    """Every figure with its one sentence."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in GLOSSARY.values())
    return f'<dl class="fl-glossary">{rows}</dl>'


def status_html(text: str, state: str = "ready") -> str:
    """The line above the stream; `state` (ready, running, done, stopped, error) chooses its colour and sign."""
    # Told once it is over: the steps of a run are told by the player, each once.
    told = "" if state in ("ready", "running") else ' role="status"'
    return f'<div class="fl-status fl-is-{state}"{told}>{escape(text)}</div>'


def waiting_html(text: str) -> str:
    """The status of a visitor who waits in line, or who has left it."""
    return status_html(text, "stopped" if text.startswith("Stopped") else "running")


def notices_html(notices: Sequence[str], error: bool = False) -> str:
    """Sentences about the input, or the one error that prevented a run; nothing where there is none."""
    if not notices:
        return ""
    kind, role = ("error", "alert") if error else ("note", "note")
    sentences = "".join(f"<p>{escape(visible(n))}</p>" for n in notices)
    return f'<div class="fl-notice fl-{kind}" role="{role}">{sentences}</div>'


# Key in the glossary, and the plain name on the tile; the term comes with the explanation.
_TILES = (("tau", "Tokens a call"), ("acceptance", "Guesses kept"), ("calls", "Calls"), ("speed", "Tokens a second"))


def figure_names() -> list[tuple[str, str]]:
    """Plain name and explanation, which begins with the term, of each of the four figures that follow the playback."""
    return [(name, f"{GLOSSARY[key][0]}: {GLOSSARY[key][1]}") for key, name in _TILES]


def earlier_weights(names: Sequence[str]) -> str:
    """What is said above recorded figures of models that have been taught anew since; "" where there are none."""
    return f"Recorded with earlier weights of {', '.join(names)}: `make recorded` measures anew." if names else ""


def percent(value: float | None) -> str:
    """A share without decimals, a dash for none."""
    return "–" if value is None else f"{value:.0%}"


def plural(n: int, word: str) -> str:
    """`3 tokens`, `1 token`."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def figures(m: Metrics) -> list[tuple[str, str]]:
    """The four figures, each with its small print, in the order of `figure_names`."""
    return [
        ("–" if m.tau is None else f"{m.tau:.2f}", f"{plural(m.tokens, 'token')} / {plural(m.target_calls, 'call')}"),
        (percent(m.accepted_tested), f"{m.accepted} of {m.tested} tested; mean β {_beta(m)}"),
        (f"{m.target_calls}", f"plain decoding needs {m.tokens}"),
        (f"{m.tokens_per_second:,.0f}" if m.tokens_per_second else "–", f"{seconds(m.seconds)} in all"),
    ]


def _beta(m: Metrics) -> str:
    return "–" if m.mean_beta is None else f"{m.mean_beta:.2f}"


def seconds(value: float) -> str:
    """A time as people read it."""
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"


def _bar(name: str, m: Metrics, total: float, longest: float) -> str:
    """`total` is what the run takes by the medians of its calls; its parts are in it as they were measured."""
    scale = total / m.seconds if m.seconds else 0.0
    measured = (("target", m.seconds_target), ("drafting", m.seconds_draft), ("everything else", m.seconds_other))
    parts = [(kind, scale * s) for kind, s in measured]
    segments = "".join(
        f'<span class="fl-seg fl-seg-{kind.split()[0]}" style="width:{100 * s / longest:.2f}%"'
        f' title="{kind}: {seconds(s)}"></span>'
        for kind, s in parts
        if s > 0 and longest > 0
    )
    each = f"{total / m.tokens * 1e3:.3g} ms a token" if m.tokens else ""
    shares = ", ".join(f"{kind} {seconds(s)}" for kind, s in parts if s > 0)
    label = escape(f"{name}: {seconds(total)}; {shares}", quote=True)
    return (
        f'<div class="fl-race"><span>{escape(name)}</span><span class="fl-bar" role="img" aria-label="{label}">'
        f"{segments}</span><span>{seconds(total)} <small>{each}</small></span></div>"
    )


def compare_html(speculative: Trace, plain: Trace, finished: bool, recorded: bool = False) -> str:
    """Plain decoding beside the speculative run: the calls saved, which are exact, the speedup, both times to one
    scale, and whether the texts agree. `recorded` says that the times are those of a recorded run."""
    spec, base, timing = summarise(speculative), summarise(plain), compare_runs(speculative, plain)
    times = (timing.seconds, timing.plain_seconds) if timing else (spec.seconds, base.seconds)
    bars = _bar("speculative", spec, times[0], max(times)) + _bar("plain", base, times[1], max(times))
    key = '<p class="fl-key"><span class="fl-seg-target"></span>target<span class="fl-seg-drafting"></span>drafting'
    key += '<span class="fl-seg-everything"></span>everything else</p>'
    head = _saved(spec, speculative.temperature == 0) + _speedup(timing if finished else None, finished, recorded)
    return f'<div class="fl-compare">{head}{bars}{key}{agreement_html(speculative, plain) if finished else ""}</div>'


def _saved(m: Metrics, greedy: bool) -> str:
    """What no clock can change. A sampled text is compared with itself: plain decoding's has another length."""
    without = f"plain decoding needs {m.tokens}" + ("" if greedy else " for as long a text")
    tau = "" if m.tau is None else f"; τ = {m.tau:.2f}"
    return f'<div class="fl-saved"><b>{plural(m.target_calls, "target call")}</b>, {without}{tau}</div>'


def _speedup(timing: Timing | None, finished: bool, recorded: bool) -> str:
    when = ", as it was recorded" if recorded else ""
    if timing is None or timing.speedup is None or timing.interval is None:
        tau = f": at most {timing.tau:.2f}×, which is τ" if timing else ""
        words = f"{timing.trouble if timing else 'Nothing to time'}{tau}" if finished else "… measured speedup"
        return f'<div class="fl-speedup fl-untimed">{escape(words + when)} {why_html("speedup")}</div>'
    low, high = timing.interval
    slower = ": slower than plain decoding" if high < 1 else ""
    words = f"measured speedup ({low:.2f} to {high:.2f}){when}{slower}"
    return f'<div class="fl-speedup"><b>{timing.speedup:.2f}×</b> {words} {why_html("speedup")}</div>'


def agreement_html(speculative: Trace, plain: Trace) -> str:
    """Whether both texts are the same (greedy), or why they need not be (sampling)."""
    other = f"<details><summary>The text of plain decoding</summary>{escape(visible(plain.text))}</details>"
    if not lossless(speculative.rule, speculative.rollback):
        if speculative.tokens == plain.tokens:
            return _verdict("sampled", "≈", "The texts are the same this time. This rule is lossy: they need not be.")
        text = "The texts differ, as they may under this rule, which is lossy: the speedup is bought with other text."
        return _verdict("different", "≠", text) + other
    if speculative.temperature > 0:
        text = "Sampled: both texts follow the same distribution, but two samples of it differ. "
        return _verdict("sampled", "≈", text + "The speedup is per token, as their lengths differ.") + other
    ours, theirs = speculative.tokens, plain.tokens
    if ours == theirs:
        same = f"Identical: all {plural(len(ours), 'token')} are the same in both texts"
        return _verdict("identical", "✓", f"{same}, the target's mistakes of fact among them. {_made(speculative)}")
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    why = "so this is a fault" if speculative.to_the_last_bit else "and two tokens can tie within it"
    text = f"The texts differ from token {at + 1} on. Computed by {speculative.arithmetic}, {why}."
    return _verdict("different", "✗", text) + other


def _made(trace: Trace) -> str:
    """By whom a run was computed, and how long it took to the first token."""
    words = f"Computed by {trace.arithmetic}"
    if not trace.steps:
        return f"{words}."
    first = trace.seconds_encode + trace.steps[0].seconds
    return f"{words}; the first token came after {first:.2f} s, {trace.seconds_encode:.2f} of them reading the article."


def _verdict(kind: str, glyph: str, text: str) -> str:
    return f'<p class="fl-same fl-{kind}"><i aria-hidden="true">{glyph}</i>{escape(text)}</p>'


def compare_waiting_html(text: str) -> str:
    """What stands in the comparison's place before there is one."""
    return f'<div class="fl-compare fl-waiting"><p>{escape(text)}</p></div>'


def count_html(words: int, tokens: int, cut: int, last_words: str = "", too_long: int = 0, example: str = "") -> str:
    """Words of the article, and how much of it the target reads; `too_long` is the limit of characters it exceeds,
    `example` the topic of the example that it is, which the page's link carries."""
    if not words:
        return '<p class="fl-count">No words yet.</p>'
    if too_long:
        return f'<p class="fl-count">{plural(words, "word")}: over the limit of {too_long:,} characters.</p>'
    start = f'<p class="fl-count" data-example="{escape(example, quote=True)}"'
    if not cut:
        return f"{start}>{plural(words, 'word')}, {plural(tokens, 'token')}. The target reads all of it.</p>"
    # The page has two lines for it; whatever does not fit is in the tooltip.
    up_to = f", up to “… {visible(last_words)}”" if last_words else ""
    said = f"{plural(words, 'word')}. The target reads the first {tokens:,} of {plural(tokens + cut, 'token')}{up_to}."
    return f'{start} title="{escape(said, quote=True)}">{escape(said)}</p>'
