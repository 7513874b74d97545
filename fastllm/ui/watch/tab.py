"""The Watch tab: components and wiring of a run, live or recorded."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from fastllm.config import PRESETS
from fastllm.targets.base import Target
from fastllm.ui import limits, models, parts, render
from fastllm.ui.examples import load_examples
from fastllm.ui.owned import owned, stale_note
from fastllm.ui.stage import Stage
from fastllm.ui.watch import handlers, links
from fastllm.ui.watch.cards import Cards, cards_html, cards_of
from fastllm.ui.watch.expected import recorded
from fastllm.ui.watch.lessons import TITLES, Start, lessons_for, start_of
from fastllm.ui.watch.methods import KNOBS, MENUS, SOFT, about_html, explains, goes_with, shows
from fastllm.ui.watch.player import Player

# More than have a turn at once: whoever waits does so in limits.line, which tells them their place.
CONCURRENT_RUNS = limits.AT_ONCE + limits.LINE + 4

_TO_PLAYER = "document.querySelector('#player .fl-player')?.dispatchEvent(new Event('{}'));"
# The buttons are swapped in the browser: asking the server for it would keep the run waiting for an answer.
_RUN = """() => {
  TO_PLAYER
  return [{__type__: 'update', interactive: false}, {__type__: 'update', interactive: true}];
}""".replace("TO_PLAYER", _TO_PLAYER.format("fl-run"))
_STOP = f"() => {{ {_TO_PLAYER.format('fl-stop')} }}"
# The folded settings lie over the stream while they are open: a run closes them, as Escape does.
_MORE = """() => {
  const button = document.querySelector('#more-button');
  const show = (open) => {
    document.querySelector('#fastllm').classList.toggle('fl-more-open', open);
    button.setAttribute('aria-expanded', open);
  };
  const isOpen = () => button.getAttribute('aria-expanded') === 'true';
  show(false);
  button.setAttribute('aria-controls', 'more');
  button.addEventListener('click', () => show(!isOpen()));
  document.querySelector('#run').addEventListener('click', () => show(false));
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !isOpen()) return;
    show(false);
    button.focus();
  }, true);
}"""
# How many of the folded settings are not as the page begins with them stands on their button.
_COUNT = """(target, ...values) => {
  const button = document.querySelector('#more-button');
  const changed = values.filter((value, i) => (value ?? '') !== (USUAL[i][target] ?? USUAL[i])).length;
  if (changed) button.dataset.changed = changed;
  else delete button.dataset.changed;
  button.title = changed ? `${changed} of them ${changed === 1 ? 'is' : 'are'} not as usual` : '';
}"""
# Once the settings of the address are in place the run is begun, or the recorded one opened, that the address asks for.
_RESTORED = """() => {
  const query = new URLSearchParams(location.search);
  if (query.has('recorded')) TO_PLAYER
  else if (query.has('autorun')) setTimeout(() => document.querySelector('#run').click());
}""".replace("TO_PLAYER", _TO_PLAYER.format("fl-restored"))
# A text field that nobody can type into is disabled, so that no key reaches it: read-only, it can be read by key, too.
# Gradio disables it anew whenever it draws the field again, so it is looked after for as long as the page stands.
_READABLE = """() => {
  const readable = () => {
    const text = document.querySelector('#summary textarea');
    if (!text?.disabled) return;
    text.readOnly = true;
    text.setAttribute('aria-label', 'Summary, whole run');
    text.disabled = false;
  };
  readable();
  new MutationObserver(readable).observe(document.querySelector('#summary'),
    {attributes: true, attributeFilter: ['disabled'], childList: true, subtree: true});
}"""
# The page's address says what was chosen; the article is named only where it is an example of ours.
# What stands in DEFAULTS is left out of the address where nobody changed it; LENGTHS has each target's length limit.
_LINK = """(drafter, n, gamma, temperature, seed, top_p, length, way, rule, lengths, threshold, rollback, nodes, width,
  target) => {
  const query = new URLSearchParams(location.search);
  const example = document.querySelector('#count [data-example]')?.dataset.example;
  const chosen = {example, drafter, n, gamma, temperature, seed, top_p, length, way, rule, lengths, threshold, rollback,
    nodes, width, target, view: document.querySelector('#fastllm').classList.contains('fl-teacher') ? 'teacher' : ''};
  const usual = {...DEFAULTS, length: LENGTHS[target] ?? DEFAULTS.length};
  for (const [name, value] of Object.entries(chosen)) {
    if (value === '' || value === null || value === undefined || usual[name] === value) query.delete(name);
    else query.set(name, value);
  }
  history.replaceState(history.state, '', `${location.pathname}?${query}${location.hash}`);
}"""


# What the page says of the text depends on the rule (assets/style.css).
_LOSSY = """(rule, rollback) => {
  document.querySelector('#fastllm').classList.toggle('fl-is-lossy', SOFT.includes(rule) && rollback > 0);
}"""


@dataclass(frozen=True)
class Controls:
    """What stands above the stream."""

    article: gr.Textbox
    count: gr.HTML
    drafter: Any  # Cards: its events are made by Gradio
    n: gr.Slider
    taught: gr.Radio
    expected: gr.HTML
    gamma: gr.Slider
    temperature: gr.Slider
    top_p: gr.Slider
    seed: gr.Number
    length: gr.Slider
    methods: dict[str, gr.Dropdown]
    knobs: dict[str, gr.Slider]
    run: gr.Button
    stop: gr.Button
    cancel: gr.Button
    more: gr.Button

    @property
    def inputs(self) -> list[Any]:
        """In the order of the run's parameters."""
        return [
            self.article,
            self.drafter,
            self.n,
            self.gamma,
            self.temperature,
            self.top_p,
            self.seed,
            self.length,
        ]

    @property
    def linked(self) -> list[Any]:
        """In the order of links.Choice, after the example."""
        shown = [self.drafter, self.n, self.gamma, self.temperature, self.seed, self.top_p, self.length]
        return [*shown, *self.how]

    @property
    def how(self) -> list[Any]:
        """Menus of methods, then their thresholds."""
        return [*self.methods.values(), *self.knobs.values()]


def build(stage: Stage) -> Player:
    """The tab's components, inside whatever block is open. Returns the player, whose events other tabs follow."""
    live, targets, target = gr.State(handlers.Live()), stage.targets, stage.menu
    usual = gr.State(targets.first.preset.max_new_tokens)
    keys = [c.key for c in models.menu(targets.first)]
    shown_lessons = {one.key for one in lessons_for(targets.first.preset.name, keys)}
    c = _controls(targets.first, start_of(targets.first.preset.name, keys))
    outputs, buttons, lesson = _results(shown_lessons)
    with gr.Row(elem_classes="fl-more"):
        with gr.Accordion("How speculative decoding works", open=False):
            parts.html(render.how_html())
        with gr.Accordion("What the figures and settings mean", open=False):
            parts.html(render.glossary_html())

    notices, status, player, *_ = outputs
    c.drafter.change(lambda key: gr.update(visible=str(key).startswith("ngram")), c.drafter, c.n, **parts.HIDDEN)

    def of_drafter(key, name):
        return handlers.switch_for(targets.of(name)).of_drafter(key)

    def switched(key, variant, name):
        return handlers.switch_for(targets.of(name)).switched(key, variant)

    c.drafter.change(of_drafter, [c.drafter, stage.loaded], c.taught, **parts.HIDDEN)
    c.taught.input(switched, [c.drafter, c.taught, stage.loaded], c.drafter, **parts.HIDDEN)
    follow = handlers.make_follow(targets, list(buttons))
    followed = [c.drafter, c.n, c.taught, c.length, usual, *buttons.values()]
    stage.loaded.change(follow, [stage.loaded, c.drafter, c.length, usual], followed, **parts.HIDDEN)

    page: Any = Context.root_block
    load = page.load
    restored = load(
        handlers.make_restore(targets), None, [target, c.article, *c.linked, usual, notices, c.run], **parts.HIDDEN
    )
    folded: list[Any] = [c.temperature, c.top_p, c.length, c.seed, *c.methods.values()]
    lengths = {p.name: p.max_new_tokens for p in PRESETS.values()}
    lengths[targets.name] = targets.first.preset.max_new_tokens
    usually = [0, 1, lengths, 0, *(menu.usual for menu in MENUS)]
    differ = _COUNT.replace("USUAL", json.dumps(usually))
    gr.on([s.change for s in folded], None, [target, *folded], js=differ, **parts.HIDDEN)
    restored.then(None, [target, *folded], js=differ, **parts.HIDDEN)
    restored.then(None, None, js=_RESTORED, **parts.HIDDEN)
    load(None, None, js=_MORE, **parts.HIDDEN)
    load(None, None, js=_READABLE, **parts.HIDDEN)
    latest: dict[str, Any] = {"trigger_mode": "always_last", **parts.HIDDEN}
    count_events = [c.article.change, stage.loaded.change, load]
    gr.on(count_events, handlers.make_count(targets), [c.article, stage.loaded], c.count, **latest)
    shown = [c.drafter, c.n, c.gamma, c.temperature, *c.methods.values()]
    expected_events = [load, stage.loaded.change, *(s.change for s in shown)]
    gr.on(expected_events, handlers.make_expect(targets), [*shown, stage.loaded], c.expected, **latest)
    defaults = {"top_p": 1, "length": targets.first.preset.max_new_tokens, "target": targets.name}
    defaults |= {menu.key: menu.usual for menu in MENUS} | {knob.key: knob.first for knob in KNOBS}
    link = _LINK.replace("DEFAULTS", json.dumps(defaults)).replace("LENGTHS", json.dumps(lengths))
    named = [*c.linked, target]
    gr.on([c.count.change, *(s.change for s in named)], None, named, js=link, **parts.HIDDEN)

    run = c.run.click(None, None, [c.run, c.stop], js=_RUN, **parts.HIDDEN).then(
        handlers.make_run(targets),
        [*c.inputs, target, *c.how, live],
        outputs,
        api_name="run",
        show_progress="hidden",
        concurrency_id="model",
        concurrency_limit=CONCURRENT_RUNS,
    )
    ended = run.then(handlers.ended, live, [c.run, c.stop], **parts.HIDDEN)
    owned("result", [*c.inputs, target, *c.how], [c.run], [ended], "#notices [role=alert]")
    c.stop.click(handlers.stop, live, c.stop, js=_STOP, **parts.HIDDEN)
    c.cancel.click(handlers.cancelled, live, [status, c.run, c.stop], cancels=[run], **parts.HIDDEN)
    for event, opened in ((player.open_trace, handlers.open_trace), (player.open_recording, handlers.open_recording)):
        event(opened, None, outputs, **parts.HIDDEN)
    for key, button in buttons.items():
        taken = [c.article, c.drafter, c.n, c.gamma, c.temperature, c.top_p, c.seed, *c.methods.values(), lesson]
        set_up = button.click(handlers.make_lesson(targets, key), stage.loaded, taken, **parts.HIDDEN)
        set_up.then(None, None, js="() => document.querySelector('#run').click()", **parts.HIDDEN)
    return player


def _controls(target: Target, start: Start) -> Controls:
    """The article with Run beside it, the examples, then what is chosen before each run; the rest folded away."""
    preset, menu, examples = target.preset, models.menu(target), load_examples()
    chosen = next(c for c in menu if c.key == start.drafter)
    with gr.Column(elem_classes="fl-setup"):
        with gr.Row(elem_classes="fl-ask"):
            article = parts.article(
                "article",
                lines=2,
                example=start.example,
                placeholder="Paste a news article in English, or choose an example below.",
                autoscroll=False,
                html_attributes=gr.InputHTMLAttributes(spellcheck=False),
                scale=1,
                min_width=150,
            )
            with gr.Row(elem_classes="fl-buttons"):
                # Until the settings of the address are in place.
                run_button = gr.Button(
                    "Run", variant="primary", elem_id="run", interactive=False, scale=2, min_width=60
                )
                stop_button = gr.Button("Stop", interactive=False, elem_id="stop", scale=1, min_width=50)
                cancel_button = gr.Button("Leave the queue", elem_id="cancel", visible="hidden")
        with gr.Row(elem_classes="fl-under"):
            gr.Examples(
                [[e.text] for e in examples],
                article,
                example_labels=[e.topic for e in examples],
                label="Examples (invented news)",
                cache_examples=False,
                api_visibility="private",
                elem_id="examples",
            )
            count = parts.html(render.count_html(0, 0, 0), elem_id="count")
        with gr.Row(elem_classes="fl-choose"):
            drafter = Cards(
                start.drafter,
                markup=cards_html(cards_of(menu, recorded(target.preset.name), target.sha256), start.drafter),
                label="Drafter",
                elem_id="drafter",
                scale=1,
                min_width=240,
            )
            gamma = parts.slider(1, links.MAX_GAMMA, start.gamma, "Guesses a call, γ", "gamma", min_width=150, scale=0)
            more_button = gr.Button("More settings", size="sm", elem_id="more-button", scale=0, min_width=70)
        with gr.Column(elem_classes="fl-more-settings", elem_id="more"):
            with gr.Row(elem_classes="fl-controls"):
                temperature = parts.slider(0, links.MAX_TEMPERATURE, 0, "Temperature", "temperature", 0.1)
                top_p = parts.slider(links.MIN_TOP_P, 1, 1, "Top-p", "top-p", 0.05)
                length = parts.slider(
                    links.MIN_LENGTH, links.MAX_LENGTH, preset.max_new_tokens, "Length limit", "length"
                )
                seed = parts.seed("seed", 100)
            with gr.Row(elem_classes="fl-controls"):
                n = parts.slider(1, links.MAX_ORDER, start.n, "Order N", "n", visible=chosen.has_order)
                taught = gr.Radio(
                    [("the target (distilled)", "distilled"), ("summaries (baseline)", "baseline")],
                    value=chosen.variant or None,
                    label="Taught by",
                    visible=handlers.switch_for(target).has_both(start.drafter),
                    elem_id="taught",
                )
            methods, knobs = _methods()
            expected = parts.html("", elem_id="expected")
    return Controls(
        article, count, drafter, n, taught, expected, gamma, temperature, top_p, seed, length, methods, knobs,
        run_button, stop_button, cancel_button, more_button,
    )  # fmt: skip


def _methods() -> tuple[dict[str, gr.Dropdown], dict[str, gr.Slider]]:
    """The menus of fastllm/ui/watch/methods.py by key, each over the words about what is chosen and the threshold that
    it has, which is shown while a line is chosen that uses it."""
    found, knobs = {}, {}
    with gr.Row(elem_classes="fl-controls"):
        for menu in MENUS:
            with gr.Column(min_width=180, elem_classes="fl-method-column"):
                found[menu.key] = gr.Dropdown(
                    menu.choices, value=menu.usual, label=menu.label, elem_id=menu.key, filterable=False
                )
                about = parts.html(about_html(menu, menu.usual), elem_id=f"{menu.key}-about")
                for knob in (k for k in KNOBS if k.menu == menu.key):
                    knobs[knob.key] = parts.slider(
                        knob.low, knob.high, knob.first, knob.label, knob.key, knob.step, visible=False
                    )
            found[menu.key].change(explains(menu), found[menu.key], about, **parts.HIDDEN)
    for knob in KNOBS:
        chosen, slider = found[knob.menu], knobs[knob.key]
        # A link restores a threshold, too: only a choice by hand brings the line's own.
        chosen.input(knob.value, chosen, slider, **parts.HIDDEN)
        chosen.change(shows(knob), chosen, slider, **parts.HIDDEN)
    found["rule"].input(goes_with, [found["rule"], found["lengths"]], found["lengths"], **parts.HIDDEN)
    told: list[Any] = [found["rule"], knobs["rollback"]]
    gr.on([x.change for x in told], None, told, js=_LOSSY.replace("SOFT", json.dumps(SOFT)), **parts.HIDDEN)
    return found, {knob.key: knobs[knob.key] for knob in KNOBS}


def _results(lessons: Collection[str]) -> tuple[list[Any], dict[str, gr.Button], gr.HTML]:
    """The stream and what comes of it, in the order of handlers.Frame; the lessons' buttons
    by key, of which those of `lessons` are seen, and their sentence."""
    notices = parts.html("", elem_id="notices")
    with gr.Column(elem_id="result"):
        with gr.Column(elem_classes="fl-panel fl-stream-panel"):
            with gr.Row(elem_classes="fl-stream-head"):
                status = parts.html(render.status_html("Ready."), elem_id="status", min_width=100)
                buttons = {
                    key: gr.Button(
                        f"{i}. {title}",
                        size="sm",
                        elem_id=f"lesson-{key}",
                        scale=0,
                        min_width=90,
                        visible=key in lessons,
                    )
                    for i, (key, title) in enumerate(TITLES.items(), start=1)
                }
            stale_note()
            lesson = parts.html("", elem_id="lesson")
            # style.css hides it once there is a run.
            parts.html(render.intro_html(), elem_id="intro")
            player = Player(elem_id="player", label="Player")
            parts.html(render.legend_html(), elem_id="legend")
        with gr.Column(elem_classes="fl-outcome fl-owned"), gr.Row(elem_classes="fl-lower"):
            with gr.Column(scale=1, min_width=300):
                text = gr.Textbox(
                    label="Summary, whole run",
                    lines=3,
                    max_lines=5,
                    interactive=False,
                    buttons=["copy"],
                    elem_id="summary",
                    autoscroll=False,
                )
            with gr.Column(scale=1, min_width=300, elem_classes="fl-panel"):
                parts.html('<h3 class="fl-compare-title">Compared with plain decoding, whole run</h3>')
                compare = parts.html(render.compare_waiting_html(render.COMPARE_EMPTY), elem_id="compare")
    return [notices, status, player, text, compare], buttons, lesson
