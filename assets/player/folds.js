// @ts-check
// Draws what a draft tree held beside the path: folded behind one mark at the end of its step.
import { branchesOf } from "./branches.js";
import { make } from "./elements.js";

/**
 * Nested lists: depth inwards, siblings down.
 * @param {import("./branches.js").Branch[]} places
 * @returns {HTMLElement | null}
 */
function branchList(places) {
  return places.length ? make("ul", {}, ...places.map((b) => make("li", {}, b.words, branchList(b.below)))) : null;
}

/**
 * A fold with the losers of `step`, place by place; null where its draft was a chain.
 * @param {Step} step
 * @param {Ends} ends
 */
export function branchFold(step, ends) {
  const found = branchesOf(step, ends);
  if (!found) return null;
  const words = `${found.words} of this call`;
  return make(
    "details", { class: "fl-branches" }, make("summary", { title: words, "aria-label": `${words}, folded` }, found.short),
    branchList(found.places),
  );
}
