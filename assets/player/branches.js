// @ts-check
// What a draft tree held beside the path that was followed. Pure.
import { chance, plural, tokenName } from "./text.js";

/** @typedef {{words: string, below: Branch[]}} Branch */

/**
 * The place in the draft, from 0, at which each side token of `step` would have stood (as Step.side_places).
 * @param {Step} step
 */
export function sidePlaces(step) {
  /** @type {number[]} */
  const found = [];
  const n = step.draft.length;
  for (const t of step.aside ?? []) found.push(t.parent < n ? t.parent + 1 : found[t.parent - n] + 1);
  return found;
}

/**
 * The side tokens that follow `parent`, each with its own below it.
 * @param {Step} step
 * @param {number} parent
 * @param {Ends} ends
 * @returns {Branch[]}
 */
function after(step, parent, ends) {
  return step.aside.flatMap((t, j) => {
    if (t.parent !== parent) return [];
    const fate = t.chance === null ? "not tested" : "tested and refused";
    const by = t.by ? ` by ${t.by}` : "";
    const words = `${tokenName(t.text, ends(t.id))}${by}: ${fate} (p ${chance(t.p)}, q ${chance(t.q)})`;
    return [{ words, below: after(step, step.draft.length + j, ends) }];
  });
}

/**
 * The losers of a step by the place where they stood, and how many in words; null where the draft was a chain.
 * @param {Step} step
 * @param {Ends} ends
 */
export function branchesOf(step, ends) {
  const count = sidePlaces(step).length;
  if (!count) return null;
  const { draft } = step;
  /** @param {{id: number, text: string}} t */
  const name = (t) => tokenName(t.text, ends(t.id));
  const parents = step.aside.filter((t) => t.parent < draft.length).map((t) => t.parent);
  const roots = [...new Set(parents)].sort((a, b) => a - b);
  /** @type {Branch[]} */
  const places = roots.map((parent) => {
    const beside = draft[parent + 1];
    const words = beside ? `Beside ${name(beside)}, place ${parent + 2} of the draft` : `After ${name(draft[parent])}`;
    return { words, below: after(step, parent, ends) };
  });
  return { short: plural(count, "other"), words: count === 1 ? "1 other guess" : `${count} other guesses`, places };
}
