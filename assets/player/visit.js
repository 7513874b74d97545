// @ts-check
// The runs of this visit, side by side: to compare, and to go back to.
import { make } from "./elements.js";
import { rowOf } from "./sentences.js";
import { headOf } from "./store.js";

const KEPT_RUNS = 12;

/**
 * `open` is given the text of a trace.
 * @param {HTMLElement} box
 * @param {Store} store
 * @param {(text: string) => void} open
 */
export function makeVisit(box, store, open) {
  /** @typedef {{row: string[], text: string, number: number}} Run */
  /** @type {Run[]} */
  const runs = [];
  let count = 0;
  /** @type {string | null} the run that was added last: its last message may come twice */
  let held = null;
  /** @type {Run | null} */
  let current = null;
  /** @type {Run | null} the run that was asked for here, until it has come */
  let asked = null;
  const heads = ["run", "article", "target", "drafter", "γ", "temperature", ...CONFIG.figures.map((f) => f.name.toLowerCase())];
  const body = make("tbody", {});
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
  box.append(
    make("summary", {}, "Runs of this visit"),
    make("div", { class: "fl-table-box" }, make("table", { "aria-label": "Runs of this visit" }, head, body)),
  );

  function show() {
    box.hidden = CONFIG.alone || runs.length < 2;
    body.replaceChildren(...runs.map((run) => {
      const label = `Show run ${run.number} again`;
      const button = make("button", { type: "button", "aria-label": label, "aria-current": run === current ? "true" : null }, String(run.number));
      button.addEventListener("click", () => {
        asked = run;
        open(run.text);
      });
      return make("tr", {}, make("td", {}, button), ...run.row.map((text) => make("td", {}, text)));
    }));
  }

  /** The run in the store is whole. */
  function add() {
    if (held === store.run) return;
    held = store.run;
    current = asked;
    asked = null;
    if (!current) {
      count += 1;
      current = { number: count, row: rowOf(headOf(store), store.steps), text: JSON.stringify(store.trace()) };
      runs.push(current);
      if (runs.length > KEPT_RUNS) runs.shift();
    }
    show();
  }

  /**
   * Another run begins: none of the strip is shown, but for one that was asked for.
   * @param {boolean} live
   */
  function begin(live) {
    current = null;
    if (live) asked = null;
    show();
  }

  show();
  return { add, begin };
}
