// All rejections of the run: sorted, filtered, saved as they are filtered, and each a way into the inspector.

// Field of a message, title, whether it is a number. Messages count from 0, people from 1.
const COLUMNS = [
  ["step", "Step", true], ["offset", "In the draft", true], ["token", "Draft token", false], ["u", "u", true],
  ["p", "p", true], ["q", "q", true], ["chance", "min(1, p/q)", true], ["beta", "β", true], ["rank", "Rank", true],
  ["replacement", "Replacement", false], ["kind", "Kind of the target's token", false], ["context", "Context", false],
];
const FROM_1 = ["step", "offset"];

/** A field as people see it: a number, counted from 1 where it is a place; null where nothing was recorded. */
function fieldOf(row, key) {
  const value = row[key];
  return FROM_1.includes(key) ? value + 1 : value;
}

/** The range that a filter asks for, `>0.5`, `<=3`, `0.1..0.4` or `7`, as a test of a number; null for none; undefined
 * where it cannot be read. Pure. */
function rangeOf(text) {
  const plain = text.replace(/\s/gu, "").replace(/,/gu, ".");
  if (!plain) return null;
  const number = "([0-9]*\\.?[0-9]+(?:e[-+]?[0-9]+)?)";
  const both = plain.match(new RegExp(`^${number}\\.\\.${number}$`, "iu"));
  if (both) return (x) => x >= Number(both[1]) && x <= Number(both[2]);
  const one = plain.match(new RegExp(`^(<=|>=|<|>|=|≤|≥)?${number}$`, "iu"));
  if (!one) return undefined;
  const limit = Number(one[2]);
  const tests = {
    "<": (x) => x < limit, ">": (x) => x > limit, "<=": (x) => x <= limit, "≤": (x) => x <= limit,
    ">=": (x) => x >= limit, "≥": (x) => x >= limit, "=": (x) => x === limit,
  };
  return tests[one[1] ?? "="];
}

/**
 * The rows that hold `words` in token or replacement, are of `kind` ("" for any) and pass the tests of `ranges` (field
 * to test; what was not recorded passes none), ordered by `column`, what was not recorded last. Pure.
 */
function chosenRows(rows, words, kind, ranges, column, descending) {
  const wanted = words.trim().toLowerCase();
  const inRange = (r) => [...ranges].every(([key, test]) => {
    const value = fieldOf(r, key);
    return value !== null && test(value);
  });
  const fits = (r) => (!kind || r.kind === kind) && `${r.token}\n${r.replacement}`.toLowerCase().includes(wanted) && inRange(r);
  const order = (a, b) => {
    const [x, y] = [a[column], b[column]];
    if (x === null || y === null) return (x === null) - (y === null) || a.position - b.position;
    const by = typeof x === "number" ? x - y : x.trim().localeCompare(y.trim());
    return (descending ? -by : by) || a.position - b.position;
  };
  return rows.filter(fits).sort(order);
}

function makeTable(box, store, inspect) {
  const find = box.querySelector(".fl-find");
  const kind = box.querySelector(".fl-kind");
  const body = box.querySelector("tbody");
  const save = box.querySelector(".fl-export-rejections");
  const found = box.querySelector(".fl-found");
  let column = "step";
  let descending = false;
  let shown = [];

  const heads = COLUMNS.map(([key, title]) => {
    const button = make("button", { type: "button" }, title);
    const cell = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      descending = column === key && !descending;
      column = key;
      show();
    });
    return [key, cell, button];
  });
  box.querySelector(".fl-heads").append(...heads.map(([, cell]) => cell));
  const filters = COLUMNS.filter(([, , isNumber]) => isNumber).map(([key, title]) => [key, make("input", {
    type: "text", class: "fl-range", "data-field": key, "aria-label": `Filter by ${title}`, placeholder: "> <", maxlength: 24,
    autocomplete: "off", spellcheck: "false",
  })]);
  const inputs = new Map(filters);
  box.querySelector(".fl-ranges").append(...COLUMNS.map(([key]) => make("td", {}, inputs.get(key))));
  kind.append(...CONFIG.kinds.map((k) => make("option", { value: k }, k)));
  for (const input of [find, ...inputs.values()]) input.addEventListener("input", show);
  kind.addEventListener("change", show);
  save.hidden = Boolean(CONFIG.alone);
  save.addEventListener("click", async () => {
    const rows = shown.map((r) => [r.step, r.offset]);
    const answer = await server.export_rows({ text: JSON.stringify(store.trace()), rows });
    if (answer.text !== undefined) download(answer.text, `fastllm-${shown.length}-rejections.csv`, "text/csv");
    else found.textContent = answer.error;
  });

  function row(r) {
    const [step, offset, position] = [r.step + 1, r.offset + 1, r.position + 1].map(String);
    const label = `Inspect the rejection: step ${step}, place ${offset} in the draft, place ${position} in the summary`;
    const open = make("button", { type: "button", "aria-label": label }, step);
    const eos = store.ends(store.steps[r.step]?.draft[r.offset]?.id);
    const replaced = store.ends(store.steps[r.step]?.emitted?.id);
    const figures = [r.u, r.p, r.q, r.chance, r.beta].map(chance);
    const rank = r.rank === null ? "–" : String(r.rank);
    const context = make("td", { class: "fl-context" }, `${r.position > CONFIG.context ? "…" : ""}${visible(r.context)}`);
    const cells = [offset, tokenName(r.token, eos), ...figures, rank, tokenName(r.replacement, replaced), r.kind];
    const line = make("tr", {}, make("td", {}, open), ...cells.map((text) => make("td", {}, text)), context);
    line.addEventListener("click", () => inspect(r.step, r.offset));
    return line;
  }

  function show() {
    const ranges = new Map();
    for (const [key, input] of inputs) {
      const test = rangeOf(input.value);
      if (test) ranges.set(key, test);
      input.setAttribute("aria-invalid", String(test === undefined));
    }
    shown = chosenRows(store.rejections, find.value, kind.value, ranges, column, descending);
    for (const [key, cell, button] of heads) {
      cell.setAttribute("aria-sort", key !== column ? "none" : descending ? "descending" : "ascending");
      if (key === "chance") button.textContent = (store.head?.rule ?? "token") === "token" ? "min(1, p/q)" : "Kept with";
    }
    body.replaceChildren(...shown.map(row));
    const all = store.rejections.length;
    save.disabled = !shown.length;
    box.querySelector("summary").textContent = `Rejections of this run${store.complete ? ` (${all})` : ""}`;
    found.textContent = all
      ? `${shown.length} of ${all} shown`
      : store.complete ? "Nothing was rejected." : "They are listed when the run is complete.";
  }

  return { show };
}
