// @ts-check
// What steps add up to: seconds, tokens, places; and the race in time. Pure.
import { milliseconds, plural } from "./text.js";

/** @param {Step} step */
export function stepSeconds(step) {
  return step.seconds_draft + step.seconds_target + step.seconds_other;
}

/** @param {Step} step */
export const keptOf = (step) => step.draft.filter((t) => t.status === "accepted").length;

/** @param {Step} step */
export function stepTokens(step) {
  return keptOf(step) + (step.emitted ? 1 : 0);
}

/** @param {Step[]} steps */
export const tokensOf = (steps) => steps.reduce((sum, s) => sum + stepTokens(s), 0);

/**
 * Where the draft of `step` was refused: the place of its rejected token, or its length where all was accepted.
 * @param {Step} step
 */
export function outcome(step) {
  const at = step.draft.findIndex((t) => t.status === "rejected");
  return at < 0 ? step.draft.length : at;
}

/**
 * The place with the most of `votes` (place to how many), the first of equals; null where nobody voted.
 * @param {Map<number, number>} votes
 */
export function majority(votes) {
  const order = [...votes].filter(([, n]) => n > 0).sort(([a, n], [b, m]) => m - n || a - b);
  return order.length ? order[0][0] : null;
}

/**
 * What each call takes: of a whole run the medians that its comparison is made of, before that as measured.
 * @param {Step[]} steps
 * @param {Step[]} plain
 * @param {Timing | null} timing
 * @returns {Times}
 */
export const timesOf = (steps, plain, timing) =>
  timing ?? { ours: steps.map(stepSeconds), plain: plain.map(stepSeconds) };

/** @param {number[]} seconds */
export const sumOf = (seconds) => seconds.reduce((sum, s) => sum + s, 0);

/**
 * After `shown` steps: the seconds so far, the tokens written, and those that plain decoding had by then.
 * @param {Step[]} steps
 * @param {Times} times
 * @param {number} shown
 */
export function raceAt(steps, times, shown) {
  const seconds = sumOf(times.ours.slice(0, shown));
  let left = seconds;
  let written = 0;
  // A call that has not ended has written nothing. The sum of the same times in another order may differ by rounding.
  for (const call of times.plain) {
    left -= call;
    if (left < -1e-9) break;
    written += 1;
  }
  return { seconds, tokens: tokensOf(steps.slice(0, shown)), plain: written };
}

/**
 * Who won, in a sentence: what the comparison says, and nobody where its interval holds 1 or it has none.
 * @param {Step[]} steps
 * @param {number} m tokens of plain decoding
 * @param {Timing | null} timing
 */
export function winnerOf(steps, m, timing) {
  if (!timing) return { name: "", words: "Nobody wins: plain decoding was not timed to its end." };
  const n = tokensOf(steps);
  const [ours, theirs] = [sumOf(timing.ours), sumOf(timing.plain)].map(milliseconds);
  const times = `speculative ${ours} for ${plural(n, "token")}, plain ${theirs} for ${plural(m, "token")}`;
  if (timing.trouble || !timing.interval) return { name: "", words: `${timing.trouble}: nobody is called the winner.` };
  const [low, high] = timing.interval;
  const name = low > 1 ? "speculative" : high < 1 ? "plain" : "";
  if (!name) return { name, words: `Nobody wins, the times are too close: ${times}.` };
  const each = n === m ? "" : " by time a token";
  return { name, words: `${name === "plain" ? "Plain" : "Speculative"} decoding wins${each}: ${times}.` };
}

/**
 * At each place in the draft how many tokens were drafted, tested and accepted.
 * @param {Step[]} steps
 */
export function placesOf(steps) {
  /** @type {{drafted: number, tested: number, accepted: number}[]} */
  const rows = [];
  for (const step of steps) {
    step.draft.forEach((t, at) => {
      const row = (rows[at] ??= { drafted: 0, tested: 0, accepted: 0 });
      row.drafted += 1;
      if (t.status !== "ignored") row.tested += 1;
      if (t.status === "accepted") row.accepted += 1;
    });
  }
  return rows;
}

const Z = 1.96; // of a 95 % interval

/**
 * Wilson's 95 % interval of the share successes / n, n > 0 (as analysis.metrics.wilson).
 * @param {number} successes
 * @param {number} n
 * @returns {[low: number, high: number]}
 */
export function wilson(successes, n) {
  const [share, square] = [successes / n, Z * Z];
  const middle = (share + square / (2 * n)) / (1 + square / n);
  const half = (Z / (1 + square / n)) * Math.sqrt((share * (1 - share) + square / (4 * n)) / n);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
