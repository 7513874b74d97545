// @ts-check
// The rows of the table of rejections: which are chosen, and in which order. Pure.

/** @typedef {Exclude<keyof Rejection, "position" | "drafter_rank" | "rule">} Column */
/** @typedef {string | number | null} Value */

/**
 * Field of a message, title, whether it is a number. Messages count from 0, people from 1.
 * @type {[Column, string, boolean][]}
 */
export const COLUMNS = [
  ["step", "Step", true], ["offset", "In the draft", true], ["token", "Draft token", false], ["u", "u", true],
  ["p", "p", true], ["q", "q", true], ["chance", "min(1, p/q)", true], ["beta", "β", true], ["rank", "Rank", true],
  ["replacement", "Replacement", false], ["kind", "Kind of the target's token", false], ["context", "Context", false],
];
const FROM_1 = ["step", "offset"];

/**
 * A field as people see it: a number, counted from 1 where it is a place; null where nothing was recorded.
 * @param {Rejection} row
 * @param {Column} key
 * @returns {Value}
 */
export function fieldOf(row, key) {
  const value = row[key];
  return FROM_1.includes(key) ? Number(value) + 1 : value;
}

/**
 * The range that a filter asks for, `>0.5`, `<=3`, `0.1..0.4` or `7`, as a test of a number; null for none; undefined
 * where it cannot be read.
 * @param {string} text
 * @returns {((x: number) => boolean) | null | undefined}
 */
export function rangeOf(text) {
  const plain = text.replace(/\s/gu, "").replace(/,/gu, ".");
  if (!plain) return null;
  const number = "([0-9]*\\.?[0-9]+(?:e[-+]?[0-9]+)?)";
  const both = plain.match(new RegExp(`^${number}\\.\\.${number}$`, "iu"));
  if (both) return (x) => x >= Number(both[1]) && x <= Number(both[2]);
  const single = plain.match(new RegExp(`^(<=|>=|<|>|=|≤|≥)?${number}$`, "iu"));
  if (!single) return undefined;
  const limit = Number(single[2]);
  /** @type {Record<string, (x: number) => boolean>} */
  const tests = {
    "<": (x) => x < limit, ">": (x) => x > limit, "<=": (x) => x <= limit, "≤": (x) => x <= limit,
    ">=": (x) => x >= limit, "≥": (x) => x >= limit, "=": (x) => x === limit,
  };
  return tests[single[1] ?? "="];
}

/**
 * The rows that hold `words` in token or replacement, are of `kind` ("" for any) and pass the tests of `ranges` (field
 * to test; what was not recorded passes none), ordered by `column`, what was not recorded last.
 * @param {Rejection[]} rows
 * @param {string} words
 * @param {string} kind
 * @param {Map<Column, (x: number) => boolean>} ranges
 * @param {Column} column
 * @param {boolean} descending
 */
export function chosenRows(rows, words, kind, ranges, column, descending) {
  const wanted = words.trim().toLowerCase();
  /** @param {Rejection} r */
  const inRange = (r) => [...ranges].every(([key, test]) => {
    const value = fieldOf(r, key);
    return value !== null && test(Number(value));
  });
  /** @param {Rejection} r */
  const fits = (r) => (!kind || r.kind === kind) && `${r.token}\n${r.replacement}`.toLowerCase().includes(wanted) && inRange(r);
  /**
   * @param {Rejection} a
   * @param {Rejection} b
   */
  const order = (a, b) => {
    const [x, y] = [a[column], b[column]];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || a.position - b.position;
    const by = typeof x === "number" ? x - Number(y) : x.trim().localeCompare(String(y).trim());
    return (descending ? -by : by) || a.position - b.position;
  };
  return rows.filter(fits).sort(order);
}
