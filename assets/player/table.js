// @ts-check
// All rejections of the run: sorted, filtered, saved as they are filtered, and each a way into the inspector.
import { buttonOf, inputOf, make, one, partOf } from "./elements.js";
import { download } from "./files.js";
import { COLUMNS, chosenRows, rangeOf } from "./rows.js";
import { chance, tokenName, visible } from "./text.js";

/** @typedef {import("./rows.js").Column} Column */

/**
 * @param {HTMLElement} box
 * @param {Store} store
 * @param {(step: number, at: number) => void} inspect
 */
export function makeTable(box, store, inspect) {
  const find = inputOf(box, ".fl-find");
  const kind = one(box, ".fl-kind", HTMLSelectElement);
  const body = partOf(box, "tbody");
  const save = buttonOf(box, ".fl-export-rejections");
  const found = partOf(box, ".fl-found");
  /** @type {Column} */
  let column = "step";
  let descending = false;
  /** @type {Rejection[]} */
  let shown = [];

  const heads = COLUMNS.map(([key, title]) => {
    const button = make("button", { type: "button" }, title);
    const cell = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      descending = column === key && !descending;
      column = key;
      show();
    });
    return { key, cell, button };
  });
  partOf(box, ".fl-heads").append(...heads.map(({ cell }) => cell));
  /** @type {Map<Column, HTMLInputElement>} */
  const inputs = new Map();
  for (const [key, title, isNumber] of COLUMNS) {
    if (isNumber) inputs.set(key, make("input", {
      type: "text", class: "fl-range", "data-field": key, "aria-label": `Filter by ${title}`, placeholder: "> <", maxlength: 24,
      autocomplete: "off", spellcheck: "false",
    }));
  }
  partOf(box, ".fl-ranges").append(...COLUMNS.map(([key]) => make("td", {}, inputs.get(key))));
  kind.append(...CONFIG.kinds.map((k) => make("option", { value: k }, k)));
  for (const input of [find, ...inputs.values()]) input.addEventListener("input", show);
  kind.addEventListener("change", show);
  save.hidden = Boolean(CONFIG.alone);
  save.addEventListener("click", async () => {
    const rows = shown.map((r) => [r.step, r.offset]);
    const answer = await server.export_rows({ text: JSON.stringify(store.trace()), rows });
    if (answer.text !== undefined) download(answer.text, `fastllm-${shown.length}-rejections.csv`, "text/csv");
    else found.textContent = answer.error ?? "";
  });

  /** @param {Rejection} r */
  function row(r) {
    const [step, offset, position] = [r.step + 1, r.offset + 1, r.position + 1].map(String);
    const label = `Inspect the rejection: step ${step}, place ${offset} in the draft, place ${position} in the summary`;
    const open = make("button", { type: "button", "aria-label": label }, step);
    const { draft, emitted } = store.steps[r.step];
    const eos = store.ends(draft[r.offset].id);
    const replaced = emitted !== null && store.ends(emitted.id);
    const figures = [r.u, r.p, r.q, r.chance, r.beta].map(chance);
    const rank = r.rank === null ? "–" : String(r.rank);
    const context = make("td", { class: "fl-context" }, `${r.position > CONFIG.context ? "…" : ""}${visible(r.context)}`);
    const cells = [offset, tokenName(r.token, eos), ...figures, rank, tokenName(r.replacement, replaced), r.kind];
    const line = make("tr", {}, make("td", {}, open), ...cells.map((text) => make("td", {}, text)), context);
    line.addEventListener("click", () => inspect(r.step, r.offset));
    return line;
  }

  function show() {
    /** @type {Map<Column, (x: number) => boolean>} */
    const ranges = new Map();
    for (const [key, input] of inputs) {
      const test = rangeOf(input.value);
      if (test) ranges.set(key, test);
      input.setAttribute("aria-invalid", String(test === undefined));
    }
    shown = chosenRows(store.rejections, find.value, kind.value, ranges, column, descending);
    for (const { key, cell, button } of heads) {
      cell.setAttribute("aria-sort", key !== column ? "none" : descending ? "descending" : "ascending");
      if (key === "chance") button.textContent = (store.head?.rule ?? "token") === "token" ? "min(1, p/q)" : "Kept with";
    }
    body.replaceChildren(...shown.map(row));
    const all = store.rejections.length;
    save.disabled = !shown.length;
    partOf(box, "summary").textContent = `Rejections of this run${store.complete ? ` (${all})` : ""}`;
    found.textContent = all
      ? `${shown.length} of ${all} shown`
      : store.complete ? "Nothing was rejected." : "They are listed when the run is complete.";
  }

  return { show };
}
