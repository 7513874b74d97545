// @ts-check
// Texts of tokens and numbers as people read them. Pure.

/**
 * `text` with line breaks shown and every other control or direction character replaced (as render.visible does).
 * @param {string} text
 */
export function visible(text) {
  return String(text)
    .replace(/[\n\r\u2028\u2029]/gu, "⏎")
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/gu, (c) => (c === "\u200c" || c === "\u200d" ? c : "\ufffd"));
}

/**
 * A token as words name it: in quotes, or `end of text`.
 * @param {string} text
 * @param {boolean} isEnd
 */
export function tokenName(text, isEnd) {
  return isEnd ? "end of text" : `'${visible(text.replace(/^ +| +$/g, "")) || "space"}'`;
}

/**
 * A probability in three digits that never rounds to certainty.
 * @param {number | null | undefined} value
 */
export function chance(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.0005) return value.toExponential(1);
  if (value > 0.9995 && value < 1) return "over 0.999";
  return String(Number(value.toFixed(3)));
}

/** @param {number} seconds */
export function milliseconds(seconds) {
  return seconds < 1 ? `${Math.round(1e3 * seconds)} ms` : `${seconds.toFixed(2)} s`;
}

/** @param {number} share */
export const percent = (share) => `${Math.round(100 * share)}%`;

/**
 * @param {number} n
 * @param {string} word
 */
export function plural(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

const WORD_START = /^[\p{L}\p{N}]/u;

/**
 * Whether a piece of this text goes on with the word that stands before it.
 * @param {string} text
 */
export const goesOn = (text) => WORD_START.test(text);

/**
 * Rank of a token in words: `rank` as recorded, or where an older trace does not say it, its place in `candidates`.
 * @param {number | null} rank
 * @param {number} id
 * @param {Candidate[]} candidates
 */
export function rankOf(rank, id, candidates) {
  if (rank) return String(rank);
  if (!candidates.length) return "not recorded";
  const at = candidates.findIndex((c) => c.id === id);
  return at < 0 ? `below the ${candidates.length} recorded` : `${at + 1}`;
}
