// The table of rejections: filters by numbers, words and kind; order.
import assert from "node:assert/strict";
import { test } from "node:test";
import { COLUMNS, chosenRows, fieldOf, rangeOf } from "../../assets/player/rows.js";

const row = (position, more = {}) => ({
  step: position, offset: 0, position, token: ` t${position}`, u: 0.5, p: 0.1, q: 0.5, replacement: " r", kind: "other", ...more,
});
const ROWS = [row(0, { u: null }), row(1, { u: 0.9, kind: "word piece" }), row(2, { u: 0.2, token: " Ferry" }), row(3, { replacement: " ferry" })];
const chosen = ({ words = "", kind = "", ranges = [], column = "step", descending = false } = {}) =>
  chosenRows(ROWS, words, kind, new Map(ranges), column, descending).map((r) => r.position);

test("a filter is a sign with a number, a range or a number, with either decimal mark", () => {
  assert.deepEqual([0.5, 0.6].map(rangeOf(">0.5")), [false, true]);
  assert.deepEqual([3, 4].map(rangeOf("<= 3")), [true, false]);
  assert.deepEqual([3, 2].map(rangeOf("≥3")), [true, false]);
  assert.deepEqual([0.05, 0.1, 0.4, 0.5].map(rangeOf("0.1..0,4")), [false, true, true, false]);
  assert.deepEqual([7, 7.1].map(rangeOf("7")), [true, false]);
  assert.equal(rangeOf("=1e-3")(0.001), true);
  assert.deepEqual([2.9, 3].map(rangeOf("<3")), [true, false]);
});

test("nothing is no filter, and what cannot be read is told from it", () => {
  assert.deepEqual(["", "  "].map(rangeOf), [null, null]);
  assert.deepEqual(["many", ">", "1..", "<p>"].map(rangeOf), Array(4).fill(undefined));
});

test("places are counted from 1, as they are shown, and figures as they are", () => {
  assert.deepEqual(["step", "offset", "u"].map((key) => fieldOf(ROWS[1], key)), [2, 1, 0.9]);
  assert.deepEqual(chosen({ ranges: [["step", rangeOf("2..3")]] }), [1, 2]);
});

test("what was not recorded passes no range", () => {
  assert.deepEqual(chosen({ ranges: [["u", rangeOf(">=0")]] }), [1, 2, 3]);
});

test("words are looked for in token and replacement, in any case, and kinds are exact", () => {
  assert.deepEqual(chosen({ words: " FERRY " }), [2, 3]);
  assert.deepEqual(chosen({ kind: "word piece" }), [1]);
  assert.deepEqual(chosen({ words: "ferry", kind: "word piece" }), []);
});

test("rows are ordered by a column both ways, what was not recorded last, equals by their place", () => {
  assert.deepEqual(chosen({ column: "u" }), [2, 3, 1, 0]);
  assert.deepEqual(chosen({ column: "u", descending: true }), [1, 3, 2, 0]);
  assert.deepEqual(chosen({ column: "kind", descending: true }), [1, 0, 2, 3]);
  assert.deepEqual(chosen({ column: "token" }), [2, 0, 1, 3]);
});

test("each column has a title of its own, and those of figures and places are filtered by numbers", () => {
  const numbers = COLUMNS.filter(([, , isNumber]) => isNumber).map(([key]) => key);
  assert.deepEqual(numbers, ["step", "offset", "u", "p", "q", "chance", "beta", "rank"]);
  assert.equal(new Set(COLUMNS.map(([, title]) => title)).size, COLUMNS.length);
});
