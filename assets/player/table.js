// All rejections of the run: sorted, filtered, and each a way into the inspector.

const COLUMNS = [
  ["step", "Step"], ["offset", "In the draft"], ["position", "In the summary"], ["token", "Draft token"], ["p", "p"],
  ["q", "q"], ["replacement", "Replacement"], ["kind", "Kind of the target's token"],
];

/** The rows that hold `words` in token or replacement and are of `kind` ("" for any), ordered by `column`. Pure. */
function chosenRows(rows, words, kind, column, descending) {
  const wanted = words.trim().toLowerCase();
  const fits = (r) => (!kind || r.kind === kind) && `${r.token}\n${r.replacement}`.toLowerCase().includes(wanted);
  const order = (a, b) => {
    const [x, y] = [a[column], b[column]];
    const by = typeof x === "number" ? x - y : x.trim().localeCompare(y.trim());
    return (descending ? -by : by) || a.position - b.position;
  };
  return rows.filter(fits).sort(order);
}

function makeTable(box, store, inspect) {
  const find = box.querySelector(".fl-find");
  const kind = box.querySelector(".fl-kind");
  const body = box.querySelector("tbody");
  let column = "position";
  let descending = false;

  const heads = COLUMNS.map(([key, title]) => {
    const button = make("button", { type: "button" }, title);
    const cell = make("th", { scope: "col" }, button);
    button.addEventListener("click", () => {
      descending = column === key && !descending;
      column = key;
      show();
    });
    return [key, cell];
  });
  box.querySelector("thead tr").append(...heads.map(([, cell]) => cell));
  kind.append(...CONFIG.kinds.map((k) => make("option", { value: k }, k)));
  find.addEventListener("input", show);
  kind.addEventListener("change", show);

  function row(r) {
    // Messages count from 0, people from 1.
    const [step, offset, position] = [r.step + 1, r.offset + 1, r.position + 1].map(String);
    const label = `Inspect the rejection: step ${step}, place ${offset} in the draft, place ${position} in the summary`;
    const open = make("button", { type: "button", "aria-label": label }, step);
    const eos = store.ends(store.steps[r.step]?.draft[r.offset]?.id);
    const replaced = store.ends(store.steps[r.step]?.emitted?.id);
    const cells = [offset, position, tokenName(r.token, eos), chance(r.p), chance(r.q), tokenName(r.replacement, replaced), r.kind];
    const line = make("tr", {}, make("td", {}, open), ...cells.map((text) => make("td", {}, text)));
    line.addEventListener("click", () => inspect(r.step, r.offset));
    return line;
  }

  function show() {
    const rows = chosenRows(store.rejections, find.value, kind.value, column, descending);
    for (const [key, cell] of heads) {
      cell.setAttribute("aria-sort", key !== column ? "none" : descending ? "descending" : "ascending");
    }
    body.replaceChildren(...rows.map(row));
    const all = store.rejections.length;
    box.querySelector("summary").textContent = `Rejections of this run${store.complete ? ` (${all})` : ""}`;
    box.querySelector(".fl-found").textContent = all
      ? `${rows.length} of ${all} shown`
      : store.complete ? "Nothing was rejected." : "They are listed when the run is complete.";
  }

  return { show };
}
