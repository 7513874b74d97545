// @ts-check
// The first steps of a visit are played slowly, the draft before the verdict, each with a sentence.
import { partOf } from "./elements.js";
import { draftSentence, verdictSentence } from "./sentences.js";

const LEAD_STEPS = 2;
const A_LETTER = 55; // milliseconds: as long as it takes to say the sentence
const AT_LEAST = 2200;

/**
 * @param {HTMLElement} box
 * @param {Store} store
 */
export function makeLead(box, store) {
  const words = partOf(box, "p");
  const state = { on: false };

  /** @param {number} halves */
  function sentence(halves) {
    const step = store.steps[Math.ceil(halves / 2) - 1];
    if (!step || !halves) return "";
    return halves % 2 ? draftSentence(step, store.ends) : verdictSentence(step, store.ends);
  }

  /**
   * Milliseconds that `halves` half steps stay; null where playback goes on as usual.
   * @param {number} halves
   */
  function stays(halves) {
    if (!state.on || halves > 2 * LEAD_STEPS) return null;
    return halves ? Math.max(AT_LEAST, A_LETTER * sentence(halves).length) : 0;
  }

  /** @param {number} halves */
  function show(halves) {
    if (halves > 2 * LEAD_STEPS) state.on = false;
    box.hidden = !state.on || !halves;
    words.textContent = state.on ? sentence(halves) : "";
  }

  return { state, stays, show };
}
