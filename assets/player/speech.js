// @ts-check
// What a screen reader is told of the playback: each step once, through one polite live region.
import { stepsSentence } from "./sentences.js";

const QUIET = 2500; // milliseconds between two messages while it plays

/**
 * @param {HTMLElement} box
 * @param {Store} store
 */
export function makeSpeech(box, store) {
  let said = 0;
  let wanted = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function flush() {
    timer = undefined;
    if (wanted > said) box.textContent = stepsSentence(store.steps, said, wanted, store.ends);
    said = wanted;
  }

  /**
   * `whole` steps are shown. While it plays, those that come close together are told together.
   * @param {number} whole
   * @param {boolean} playing
   */
  function at(whole, playing) {
    if (whole === wanted) return;
    if (whole < wanted) {
      box.textContent = whole ? `Back at step ${whole}.` : "";
      said = whole;
    }
    wanted = whole;
    if (playing && timer !== undefined) return;
    clearTimeout(timer);
    flush();
    if (playing) timer = setTimeout(flush, QUIET);
  }

  function clear() {
    clearTimeout(timer);
    [said, wanted] = [0, 0];
    timer = undefined;
    box.textContent = "";
  }

  return { at, clear };
}
