// @ts-check
// Where in the article a token's surroundings stand. Pure.

/**
 * `text` with runs of white space as one space and typographic quotes as plain ones, and each place's old index.
 * @param {string} text
 */
function flatten(text) {
  let flat = " ";
  const index = [0];
  for (let i = 0; i < text.length; i++) {
    const c = /\s/u.test(text[i]) ? " " : text[i].replace(/[‘’]/u, "'").replace(/[“”]/u, '"');
    if (c === " " && flat.endsWith(" ")) continue;
    flat += c;
    index.push(i);
  }
  index.push(text.length);
  return { flat, index };
}

const WORDY = /[\p{L}\p{N}]/u;

/**
 * Index in `flat` of a run of pieces; inside a longer word only where `next`, the piece after it, goes on with one.
 * @param {string} flat
 * @param {string[]} run
 * @param {string | undefined} next
 */
function standsAt(flat, run, next) {
  const needle = run.join("").replace(/[‘’]/gu, "'").replace(/[“”]/gu, '"');
  const goesOn = next !== undefined && WORDY.test(next[0] || "");
  const mayEndInside = goesOn || !WORDY.test(needle[needle.length - 1] || "");
  for (let at = flat.indexOf(needle); at >= 0; at = flat.indexOf(needle, at + 1)) {
    if (mayEndInside || !WORDY.test(flat[at + needle.length] || "")) return { at, length: needle.length };
  }
  return null;
}

/**
 * The longest run of consecutive pieces around piece `at` that stands in the article, spaces and quotes apart.
 * Every part of a run that stands there does too, so the end only moves left while the start does: O(pieces) searches.
 * Returns null, or {start, end} in the article and the {first, last} piece of the run.
 * @param {string} article
 * @param {string[]} pieces
 * @param {number} at
 */
export function findSource(article, pieces, at) {
  const { flat, index } = flatten(article);
  /**
   * @param {number} first
   * @param {number} last
   */
  const stands = (first, last) => standsAt(flat, pieces.slice(first, last + 1), pieces[last + 1]);
  if (!pieces[at].trim() || !stands(at, at)) return null;
  let last = at;
  while (last + 1 < pieces.length && stands(at, last + 1)) last += 1;
  let best = { first: at, last };
  for (let first = at - 1; first >= 0; first--) {
    while (last > at && !stands(first, last)) last -= 1;
    if (!stands(first, last)) break;
    if (last - first > best.last - best.first) best = { first, last };
  }
  const place = stands(best.first, best.last);
  if (!place) return null;
  const skip = pieces[best.first].startsWith(" ") ? 1 : 0;
  return { ...best, start: index[place.at + skip], end: index[place.at + place.length - 1] + 1 };
}

/**
 * The pieces of the text that ends in, or holds, the token at place `at` of step `i`, and its index among them.
 * @param {Store} store
 * @param {number} i
 * @param {number} at
 */
export function piecesAround(store, i, at) {
  const summary = store.summary();
  const kept = summary.findIndex((piece) => piece.step === i && piece.at === at);
  if (kept >= 0) return { pieces: summary.map((piece) => piece.text), index: kept };
  const before = summary.filter((piece) => piece.step < i).map((piece) => piece.text);
  const draft = store.steps[i].draft.slice(0, at + 1).map((t) => t.text);
  return { pieces: [...before, ...draft], index: before.length + at };
}
