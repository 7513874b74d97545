// @ts-check
// What a draft tree held beside the path that was followed. Pure.
import { chance, plural, tokenName } from "./text.js";

/** @typedef {{words: string, below: Branch[], at?: number}} Branch a side token has its place in the step, `at` */

/**
 * The place in `step` of its side token `j`: behind the draft and the target's own token.
 * @param {Step} step
 * @param {number} j
 */
const placeOf = (step, j) => step.draft.length + 1 + j;

/**
 * The side token at place `at` of `step`; undefined where a token of the path stands.
 * @param {Step} step
 * @param {number} at
 * @returns {SideToken | undefined}
 */
export const sideOf = (step, at) => step.aside?.[at - placeOf(step, 0)];

/**
 * A side token by name, who guessed it, and whether it was tested.
 * @param {SideToken} t
 * @param {Ends} ends
 */
export function sideName(t, ends) {
  const by = t.by ? ` by ${t.by}` : "";
  return `${tokenName(t.text, ends(t.id))}${by}: ${t.chance === null ? "not tested" : "tested and refused"}`;
}

/**
 * Why a side token lost, in a sentence or two; and the token of the path before which the same text stands, so that its
 * p is the distribution here, too: null where what it follows lost itself.
 * @param {Step} step
 * @param {SideToken} t
 * @param {Ends} ends
 */
export function whyLost(step, t, ends) {
  const { draft, aside } = step;
  /** @param {{id: number, text: string}} one */
  const name = (one) => tokenName(one.text, ends(one.id));
  const before = t.parent < 0 ? null : t.parent < draft.length ? draft[t.parent] : aside[t.parent - draft.length];
  const followed = !before || ("status" in before && before.status === "accepted");
  const beside = t.parent < draft.length ? draft[t.parent + 1] ?? (followed ? step.emitted : null) : null;
  /** @param {string} words */
  const told = (words) => ({ words, beside });
  if (t.chance !== null && t.u !== null) {
    return told(`u = ${chance(t.u)} is not below ${chance(t.chance)}, what it would have been kept with: p over q, less what the guesses refused before it had taken of p.`);
  }
  if (t.chance !== null) return told("It is not the target's first choice, and at temperature 0 nothing else is kept.");
  if (before && !followed) return told(`${name(before)}, which it follows, was not kept.`);
  if (beside && "status" in beside && beside.status === "accepted") return told(`${name(beside)} was tested before it, and kept.`);
  return told("The run does not say why.");
}

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
    const words = `${sideName(t, ends)} (p ${chance(t.p)}, q ${chance(t.q)})`;
    return [{ words, at: placeOf(step, j), below: after(step, step.draft.length + j, ends) }];
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
