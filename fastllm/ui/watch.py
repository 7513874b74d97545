"""The Watch tab: components and wiring of a run, live or recorded."""

from __future__ import annotations

import json

import gradio as gr
from gradio.context import Context

from fastllm.target import Target
from fastllm.ui import charts, handlers, limits, links, models, parts, render
from fastllm.ui.examples import load_examples
from fastllm.ui.expected import recorded, short_text
from fastllm.ui.player import Player

# More than have a turn at once: whoever waits does so in limits.line, which tells them their place.
CONCURRENT_RUNS = limits.AT_ONCE + limits.LINE + 4

GAMMA, ORDER = 4, 3

_TO_PLAYER = "document.querySelector('#player .fl-player')?.dispatchEvent(new Event('{}'));"
# On a phone the stream lies far below the button.
_RUN = (
    f"() => {{ {_TO_PLAYER.format('fl-run')} if (innerWidth <= 720 || document.querySelector('.fl-teacher')) "
    "document.querySelector('#status').scrollIntoView({behavior: 'smooth'}); }"
)
_STOP = f"() => {{ {_TO_PLAYER.format('fl-stop')} }}"
# The page's address says what was chosen; the article is named only where it is an example of ours.
# What stands in DEFAULTS is left out of the address where nobody changed it.
_LINK = """(drafter, n, gamma, temperature, seed, top_p, length) => {
  const query = new URLSearchParams(location.search);
  const example = document.querySelector('#count [data-example]')?.dataset.example;
  const chosen = {example, drafter, n, gamma, temperature, seed, top_p, length,
    view: document.querySelector('#fastllm').classList.contains('fl-teacher') ? 'teacher' : ''};
  for (const [name, value] of Object.entries(chosen)) {
    if (value === '' || value === null || value === undefined || DEFAULTS[name] === value) query.delete(name);
    else query.set(name, value);
  }
  history.replaceState(history.state, '', `${location.pathname}?${query}${location.hash}`);
}"""


def build(target: Target) -> None:
    """The tab's components, inside whatever block is open."""
    live = gr.State(handlers.Live())
    with gr.Row(elem_classes="fl-main"):
        with gr.Column(scale=5, min_width=320, elem_classes="fl-left"):
            inputs, count, taught, expected, more, run_button, stop_button, cancel_button = _controls(target)
        with gr.Column(scale=9, min_width=320, elem_classes="fl-right"):
            outputs = _results()
    with gr.Row(elem_classes="fl-more"):
        with gr.Accordion("How speculative decoding works", open=False):
            parts.html(render.how_html())
        with gr.Accordion("What the figures and settings mean", open=False):
            parts.html(render.glossary_html())

    article, drafter, n, gamma, temperature, top_p, seed, length = inputs
    notices, status, player, *_ = outputs
    hidden = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    has_order = {c.key: c.has_order for c in models.menu(target)}
    drafter.change(lambda key: gr.update(visible=has_order.get(key, False)), drafter, n, **hidden)

    variant = handlers.make_variant(target)
    drafter.change(variant.of_drafter, drafter, taught, **hidden)
    taught.input(variant.switched, [drafter, taught], drafter, **hidden)

    linked = [drafter, n, gamma, temperature, seed, top_p, length]
    load = Context.root_block.load
    load(handlers.make_restore(target), None, [article, *linked, notices, more], **hidden)
    gr.on([article.change, load], handlers.make_count(target), article, count, trigger_mode="always_last", **hidden)
    expect = handlers.make_expect(target)
    shown = [drafter, n, gamma, temperature]
    gr.on([load, *(c.change for c in shown)], expect, shown, expected, trigger_mode="always_last", **hidden)
    link = _LINK.replace("DEFAULTS", json.dumps({"top_p": 1, "length": target.preset.max_new_tokens}))
    gr.on([count.change, *(c.change for c in linked)], None, linked, js=link, **hidden)

    run_button.click(None, js=_RUN, **hidden)
    run = run_button.click(handlers.begin, live, [run_button, stop_button], **hidden).then(
        handlers.make_run(target),
        [*inputs, live],
        outputs,
        api_name="run",
        show_progress="hidden",
        concurrency_id="model",
        concurrency_limit=CONCURRENT_RUNS,
    )
    run.then(handlers.end, None, [run_button, stop_button], **hidden)
    stop_button.click(handlers.stop, live, stop_button, js=_STOP, **hidden)
    cancel_button.click(handlers.cancelled, live, [status, run_button, stop_button], cancels=[run], **hidden)
    for event, opened in ((player.open_trace, handlers.open_trace), (player.open_recording, handlers.open_recording)):
        event(opened, None, outputs, **hidden)


def _controls(
    target: Target,
) -> tuple[list[gr.components.Component], gr.HTML, gr.Radio, gr.HTML, gr.Accordion, gr.Button, gr.Button, gr.Button]:
    """The left column: inputs in the order of the run's parameters, the word count, the switch of what the drafter
    was trained on, the line of what to expect of it, the further settings, Run, Stop and the unseen button that takes
    a waiting run out of the queue."""
    preset, menu, examples = target.preset, models.menu(target), load_examples()
    article = parts.article(
        "article",
        lines=6,
        placeholder="Paste a news article in English, or choose an example below.",
        autoscroll=False,
        html_attributes=gr.InputHTMLAttributes(spellcheck=False),
    )
    count = parts.html(render.count_html(0, 0, 0), elem_id="count")
    gr.Examples(
        [[e.text] for e in examples],
        article,
        example_labels=[e.topic for e in examples],
        label="Examples (invented news)",
        cache_examples=False,
        api_visibility="private",
        elem_id="examples",
    )
    with gr.Row(elem_classes="fl-controls"):
        drafter = gr.Dropdown(
            [(f"{c.title} · {short_text(c.infos, recorded(), target.sha256)}", c.key) for c in menu],
            value=menu[0].key,
            label="Drafter",
            elem_id="drafter",
            scale=3,
            min_width=180,
        )
        n = parts.slider(1, links.MAX_ORDER, ORDER, "Order N", "n", visible=menu[0].has_order, scale=2)
    taught = gr.Radio(
        [("the target (distilled)", "distilled"), ("summaries (baseline)", "baseline")],
        value=menu[0].variant or None,
        label="Taught by",
        visible=any(c.variant for c in menu),
        elem_id="taught",
    )
    expected = parts.html("", elem_id="expected")
    with gr.Row(elem_classes="fl-controls"):
        gamma = parts.slider(1, links.MAX_GAMMA, GAMMA, "Draft length γ", "gamma")
        temperature = parts.slider(0, links.MAX_TEMPERATURE, 0, "Temperature", "temperature", 0.1)
    with gr.Row(elem_classes="fl-buttons"):
        run_button = gr.Button("Run", variant="primary", elem_id="run", scale=3, min_width=120)
        stop_button = gr.Button("Stop", interactive=False, elem_id="stop", scale=1, min_width=80)
        cancel_button = gr.Button("Leave the queue", elem_id="cancel", visible="hidden")
    # Below the buttons, so that opening it moves neither out of sight.
    with gr.Accordion("More settings", open=False, elem_id="more") as more:
        with gr.Row(elem_classes="fl-controls"):
            top_p = parts.slider(links.MIN_TOP_P, 1, 1, "Top-p", "top-p", 0.05)
            length = parts.slider(links.MIN_LENGTH, links.MAX_LENGTH, preset.max_new_tokens, "Length limit", "length")
        seed = parts.seed("seed", 130)
    inputs = [article, drafter, n, gamma, temperature, top_p, seed, length]
    return inputs, count, taught, expected, more, run_button, stop_button, cancel_button


def _results() -> list[gr.components.Component]:
    """The right column, in the order of handlers.Frame."""
    notices = parts.html("", elem_id="notices")
    with gr.Column(elem_classes="fl-panel fl-stream-panel"):
        status = parts.html(render.status_html("Ready."), elem_id="status")
        # style.css hides it once there is a run.
        parts.html(render.intro_html(), elem_id="intro")
        player = Player(elem_id="player", label="Player")
        parts.html(render.legend_html(), elem_id="legend")
    with gr.Column(elem_classes="fl-outcome"):
        with gr.Row(elem_classes="fl-lower"):
            with gr.Column(scale=6, min_width=300):
                text = gr.Textbox(
                    label="Summary",
                    lines=3,
                    max_lines=5,
                    interactive=False,
                    buttons=["copy"],
                    elem_id="summary",
                    autoscroll=False,
                )
                with gr.Column(elem_classes="fl-panel"):
                    compare = parts.html(render.compare_waiting_html(render.COMPARE_EMPTY), elem_id="compare")
            with gr.Column(scale=5, min_width=300, elem_classes="fl-panel fl-chart-panel"):
                parts.html(render.title_html("positions"))
                chart = parts.plot(charts.acceptance_figure([], GAMMA), "chart")
        with gr.Column(elem_classes="fl-panel fl-chart-panel"):
            parts.html(render.title_html("timeline"))
            timeline = parts.plot(charts.timeline_figure(()), "timeline")
    return [notices, status, player, text, compare, chart, timeline]
