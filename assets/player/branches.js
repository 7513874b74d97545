// What a draft tree held beside the path that was followed: folded behind one mark at the end of its step. Pure but for
// the elements that it makes.

/** The place in the draft, from 0, at which each side token of `step` would have stood. */
function sidePlaces(step) {
  const found = [];
  const n = step.draft.length;
  for (const t of step.aside ?? []) found.push(t.parent < n ? t.parent + 1 : found[t.parent - n] + 1);
  return found;
}

/** The side tokens that follow `parent`, each with its own below it, as nested lists: depth inwards, siblings down. */
function sideList(step, parent, ends) {
  const items = (step.aside ?? []).flatMap((t, j) => {
    if (t.parent !== parent) return [];
    const fate = t.chance === null ? "not tested" : "tested and refused";
    const by = t.by ? ` by ${t.by}` : "";
    const words = `${tokenName(t.text, ends(t.id))}${by}: ${fate} (p ${chance(t.p)}, q ${chance(t.q)})`;
    return [make("li", {}, words, sideList(step, step.draft.length + j, ends))];
  });
  return items.length ? make("ul", {}, ...items) : null;
}

/** A fold with the losers of step `i`, place by place; null where its draft was a chain. */
function branches(step, ends) {
  const places = sidePlaces(step);
  if (!places.length) return null;
  const name = (t) => tokenName(t.text, ends(t.id));
  const roots = [...new Set(step.aside.filter((t) => t.parent < step.draft.length).map((t) => t.parent))].sort((a, b) => a - b);
  const groups = roots.map((parent) => {
    const beside = step.draft[parent + 1];
    const where = beside ? `Beside ${name(beside)}, place ${parent + 2} of the draft` : `After ${name(step.draft[parent])}`;
    return make("li", {}, where, sideList(step, parent, ends));
  });
  const said = places.length === 1 ? "1 other guess" : `${places.length} other guesses`;
  return make(
    "details", { class: "fl-branches" },
    make("summary", { title: `${said} of this call`, "aria-label": `${said} of this call, folded` }, plural(places.length, "other")),
    make("ul", {}, ...groups),
  );
}
