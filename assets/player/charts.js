// @ts-check
// Two charts of the steps that are shown, as tables whose cells hold bars: to look at, and to read row by row.
import { placesOf, stepSeconds, stepTokens, wilson } from "./counts.js";
import { make, whyMark } from "./elements.js";
import { percent } from "./text.js";

const FEW_TESTS = 10; // below it a share says little, and its bar is hatched

/**
 * Part of a step, the field of its seconds, and its class.
 * @type {[string, "seconds_draft" | "seconds_target" | "seconds_other", string][]}
 */
const PARTS = [
  ["drafting", "seconds_draft", "drafting"],
  ["target call", "seconds_target", "target"],
  ["everything else", "seconds_other", "everything"],
];

/**
 * A heading with its explanation, and a table of that name with a row of column heads.
 * @param {string} name
 * @param {string} why
 * @param {string[]} heads
 */
function chartTable(name, why, heads) {
  const body = make("tbody", {});
  const title = make("div", { class: "fl-chart-title" }, make("h3", {}, name), whyMark(name, why));
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
  return { title, node: make("table", { "aria-label": name }, head, body), body };
}

/** @param {HTMLElement} box */
export function makePlaces(box) {
  const [name, why] = CONFIG.charts.positions;
  const { title, node, body } = chartTable(name, why, ["place", "kept, with 95 % interval", "of tested"]);
  box.append(title, node);

  /**
   * @param {ReturnType<typeof placesOf>[0] | undefined} r
   * @param {number} at
   */
  function row(r, at) {
    const place = make("th", { scope: "row" }, String(at + 1));
    if (!r?.tested) return make("tr", {}, place, make("td", {}), make("td", {}, "not tested"));
    const share = r.accepted / r.tested;
    const [low, high] = wilson(r.accepted, r.tested);
    const few = r.tested < FEW_TESTS;
    const words = `${percent(share)}, 95 % interval ${percent(low)} to ${percent(high)}${few ? ": too few to say much" : ""}`;
    const bar = make("span", { class: few ? "fl-few" : null, style: `width:${100 * share}%` });
    const whisker = make("i", { style: `left:${100 * low}%;width:${100 * (high - low)}%` });
    const cell = make("td", { class: "fl-share", title: words }, bar, whisker, make("span", { class: "fl-unseen" }, words));
    return make("tr", {}, place, cell, make("td", {}, `${r.accepted} of ${r.tested}`));
  }

  /**
   * @param {Store} store
   * @param {number} shown
   */
  return function show(store, shown) {
    const rows = placesOf(store.steps.slice(0, shown));
    const places = Math.max(rows.length, store.head?.gamma ?? 0);
    body.replaceChildren(...Array.from({ length: places }, (_, at) => row(rows[at], at)));
  };
}

/** @param {HTMLElement} box */
export function makeTimeline(box) {
  const [name, why] = CONFIG.charts.timeline;
  const { title, node, body } = chartTable(name, why, ["step", "measured time", "ms", "tokens"]);
  const key = make("p", { class: "fl-key", "aria-hidden": "true" }, ...PARTS.flatMap(([said, , kind]) => [
    make("span", { class: `fl-seg-${kind}` }), said]));
  const scroll = make("div", { class: "fl-timeline-box", tabindex: "0", role: "region", "aria-label": name }, node);
  box.append(title, scroll, key);
  /** @type {string | null} */
  let run = null;

  /**
   * @param {Step} step
   * @param {number} i
   * @param {number} start seconds before it
   */
  function row(step, i, start) {
    let at = start;
    const strips = PARTS.map(([, field, kind]) => {
      const style = `left:calc(${1e3 * at} * var(--ms));width:calc(${1e3 * step[field]} * var(--ms))`;
      at += step[field];
      return make("span", { class: `fl-seg-${kind}`, style });
    });
    const words = PARTS.map(([said, field]) => `${said} ${(1e3 * step[field]).toFixed(2)} ms`).join(", ");
    return make(
      "tr", { title: `Step ${i + 1}: ${words}` }, make("th", { scope: "row" }, String(i + 1)),
      make("td", { class: "fl-strip" }, ...strips, make("span", { class: "fl-unseen" }, words)),
      make("td", {}, (1e3 * stepSeconds(step)).toFixed(1)), make("td", {}, String(stepTokens(step))),
    );
  }

  /**
   * @param {Store} store
   * @param {number} shown
   */
  return function show(store, shown) {
    if (store.run !== run) body.replaceChildren();
    run = store.run;
    while (body.rows.length > shown) body.rows[body.rows.length - 1].remove();
    let start = 0;
    /** @type {HTMLElement[]} */
    const fresh = [];
    store.steps.slice(0, shown).forEach((step, i) => {
      if (i >= body.rows.length) fresh.push(row(step, i, start));
      start += stepSeconds(step);
    });
    body.append(...fresh);
    const whole = store.steps.reduce((sum, s) => sum + stepSeconds(s), 0);
    node.style.setProperty("--ms", `${100 / Math.max(1e3 * whole, 1e-6)}%`);
    if (fresh.length) scroll.scrollTop = scroll.scrollHeight;
  };
}
