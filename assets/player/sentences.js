// @ts-check
// Steps and runs in words. Pure.
import { keptOf } from "./counts.js";
import { tokenName, visible } from "./text.js";

const NUMBERS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
/** @param {number} n */
const inWords = (n) => NUMBERS[n] ?? String(n);
/**
 * All of `n`, in words.
 * @param {number} n
 */
const allOf = (n) => (n === 1 ? "the one" : n === 2 ? "both" : `all ${inWords(n)}`);

/**
 * Step `i` in one sentence: how many guesses were kept, which was refused, what the target wrote itself.
 * @param {Step} step
 * @param {number} i
 * @param {Ends} ends
 */
export function stepSentence(step, i, ends) {
  /** @param {{id: number, text: string}} t */
  const name = (t) => tokenName(t.text, ends(t.id));
  const refused = step.draft.find((t) => t.status === "rejected");
  const kept = keptOf(step);
  if (!step.draft.length) return `Step ${i + 1}: ${step.emitted ? name(step.emitted) : "nothing"} by the target.`;
  const parts = [kept === step.draft.length ? `${allOf(kept)} kept` : `${inWords(kept)} kept`];
  if (refused) parts.push(`${name(refused)} refused`);
  if (step.emitted) parts.push(`${name(step.emitted)} ${refused ? "instead" : "added"}`);
  return `Step ${i + 1}: ${parts.join(", ")}.`;
}

/**
 * Steps `from` to `to` (the end left out) in one sentence.
 * @param {Step[]} steps
 * @param {number} from
 * @param {number} to
 * @param {Ends} ends
 */
export function stepsSentence(steps, from, to, ends) {
  if (to - from === 1) return stepSentence(steps[from], from, ends);
  const some = steps.slice(from, to);
  const refused = some.filter((s) => s.draft.some((t) => t.status === "rejected")).length;
  return `Steps ${from + 1} to ${to}: ${inWords(some.reduce((n, s) => n + keptOf(s), 0))} kept, ${inWords(refused)} refused.`;
}

/**
 * The text of tokens as it stands in a sentence.
 * @param {{id: number, text: string}[]} tokens
 * @param {Ends} ends
 */
const quoted = (tokens, ends) => `“${tokens.map((t) => (ends(t.id) ? " (end of text)" : visible(t.text))).join("").trim()}”`;

/**
 * What is said over the draft of a step.
 * @param {Step} step
 * @param {Ends} ends
 */
export function draftSentence(step, ends) {
  if (!step.draft.length) return "Nothing is guessed here: the target writes on its own.";
  return `The drafter guesses ${inWords(step.draft.length)}: ${quoted(step.draft, ends)}.`;
}

/**
 * What is said over its verdict.
 * @param {Step} step
 * @param {Ends} ends
 */
export function verdictSentence(step, ends) {
  const [kept, refused] = [keptOf(step), step.draft.find((t) => t.status === "rejected")];
  const own = step.emitted && quoted([step.emitted], ends);
  if (!step.draft.length) return own ? `It writes ${own}.` : "";
  if (refused) return `The target keeps ${inWords(kept)}, refuses ${quoted([refused], ends)}${own ? ` and writes ${own} itself` : ""}.`;
  return `The target keeps ${allOf(kept)}${own ? ` and adds ${own}, all in one call` : ""}.`;
}

/**
 * Whose result this is: how it was made, of which article, live or recorded.
 * @param {Head} head
 */
export function ownerOf(head) {
  const article = head.article.text.trim().split(/\s+/u);
  const begins = article.slice(0, 5).join(" ") + (article.length > 5 ? " …" : "");
  const made = `target ${head.target}, drafter ${head.drafter || "none"}, γ ${head.gamma}, temperature ${head.temperature}, seed ${head.seed}`;
  const of = head.article.text ? `, article “${begins}”` : "";
  if (!head.recorded) return visible(`Live run: ${made}${of}.`);
  const versions = Object.entries(head.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  const when = head.made || "at an unknown time";
  const hash = head.target_hash.slice(0, 8) || "no hash";
  return visible(`Recorded run, not live: made ${when}; ${made}${of}; weights ${hash}${versions ? `; ${versions}` : ""}.`);
}

/**
 * A row of the strip of this visit's runs: what was run, and the figures of the whole run.
 * @param {Head} head
 * @param {Step[]} steps
 */
export function rowOf(head, steps) {
  const words = head.article.text.trim().split(/\s+/u).slice(0, 4).join(" ");
  const figures = steps[steps.length - 1]?.figures ?? [];
  return [
    visible(`${words} …`), visible(head.target), visible(head.drafter || "none"), String(head.gamma), String(head.temperature),
    ...figures.map(([value]) => value),
  ];
}
