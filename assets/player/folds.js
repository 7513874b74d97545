// @ts-check
// Draws what a draft tree held beside the path: folded behind one mark at the end of its step.
import { branchesOf } from "./branches.js";
import { make } from "./elements.js";

/**
 * Nested lists: depth inwards, siblings down; each guess of call `i` opens the inspector.
 * @param {import("./branches.js").Branch[]} places
 * @param {number} i
 * @returns {HTMLElement | null}
 */
function branchList(places, i) {
  if (!places.length) return null;
  return make("ul", {}, ...places.map(({ words, at, below }) => {
    const guess = { type: "button", class: "fl-side", "data-step": i, "data-at": at };
    return make("li", {}, at === undefined ? words : make("button", guess, words), branchList(below, i));
  }));
}

/**
 * A fold with the losers of `step`, call `i`, place by place; null where its draft was a chain.
 * @param {Step} step
 * @param {number} i
 * @param {Ends} ends
 */
export function branchFold(step, i, ends) {
  const found = branchesOf(step, ends);
  if (!found) return null;
  const words = `${found.words} of this call`;
  return make(
    "details", { class: "fl-branches" }, make("summary", { title: words, "aria-label": `${words}, folded` }, found.short),
    branchList(found.places, i),
  );
}
