// What takes a refused token's place, against numbers computed by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { residualOf, residualRows, saysBoth } from "../../assets/player/residual.js";

/** A token of id `id` where the target gives `p` and the drafter `q`, lists of probabilities by id, all of it recorded. */
function token(id, p, q, { both = true, ...more } = {}) {
  const top = (own, other) => own.map((prob, i) => ({ id: i, text: `${i}`, raw: prob, prob, other: both ? other[i] : null }));
  const beta = p.reduce((sum, value, i) => sum + Math.min(value, q[i]), 0);
  return { id, text: `${id}`, p: p[id], q: q[id], beta, p_top: top(p, q), q_top: top(q, p), ...more };
}

/** `expected` lists id and value of each row. */
function assertRows(rows, expected) {
  assert.deepEqual(rows.map((r) => [r.id, r.value.toFixed(9)]), expected.map(([id, value]) => [id, value.toFixed(9)]));
}

// p - q = (.3, .1, -.4): beta = .6, and what is left, (.3, .1, 0), is divided by .4.
const [P, Q] = [[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]];

test("under the token rule it is norm(max(0, p - q)), exact where both are recorded", () => {
  const t = token(2, P, Q);
  const how = residualOf({ draft: [t] }, 0, "token");
  assert.equal(how.w, 1);
  assert.ok(Math.abs(how.mass - 0.4) < 1e-9);
  const rows = residualRows(t, { id: 0, text: "0", p: 0.5 }, false, how);
  assertRows(rows, [[0, 0.75], [1, 0.25], [2, 0]]);
  assert.ok(rows.every((r) => r.known));
  assert.equal(saysBoth(t), true);
});

test("where an older trace does not say q, a row is a bound and says so", () => {
  const t = token(2, P, Q, { both: false });
  t.q_top = t.q_top.filter((c) => c.id !== 1);
  const rows = residualRows(t, null, false);
  assertRows(rows, [[0, 0.75], [1, 0.75], [2, 0]]);
  assert.deepEqual(rows.map((r) => r.known), [true, false, true]);
  assert.equal(saysBoth(t), false);
});

test("a drafter that copies gives q = 1 to its token: the rest of p is left, and nothing is a bound", () => {
  const t = token(1, P, [0, 1, 0], { q_top: [] });
  t.p_top.forEach((c) => { c.other = null; });
  const rows = residualRows(t, null, false);
  assertRows(rows, [[0, 0.5 / 0.7], [1, 0], [2, 0.2 / 0.7]]);
  assert.ok(rows.every((r) => r.known));
});

test("a candidate of the drafter's alone is listed where the target gives it more", () => {
  const t = token(2, P, Q);
  t.p_top = t.p_top.filter((c) => c.id !== 1);
  t.q_top = t.q_top.filter((c) => c.id === 1);
  assertRows(residualRows(t, null, false), [[0, 0.75], [2, 0], [1, 0.25]]);
});

test("a replacement in neither list stands with its bound", () => {
  const t = token(2, P, Q);
  const rows = residualRows(t, { id: 7, text: "7", p: 0.1 }, false);
  assert.deepEqual([rows.at(-1).id, rows.at(-1).known], [7, false]);
  assert.ok(Math.abs(rows.at(-1).value - 0.25) < 1e-9);
});

test("block verification draws from norm(max(0, w p - q)) with the weight of the text before", () => {
  // The first token has p .3, q .6: w = .5. At the second place w p - q = (.2, .1, -.8), n = .3, h = n / (n + 1 - w).
  const t = token(2, [0.6, 0.4, 0], [0.1, 0.1, 0.8]);
  const draft = [{ p: 0.3, q: 0.6, chance: 0.3 / 0.8 }, t];
  const how = residualOf({ draft }, 1, "block");
  assert.equal(how.w, 0.5);
  assert.ok(Math.abs(how.mass - 0.3) < 1e-9);
  assertRows(residualRows(t, null, false, how), [[0, 2 / 3], [1, 1 / 3], [2, 0]]);
});

test("a candidate of the drafter's alone is weighed too", () => {
  // w p = .3 is more than the drafter's .25 at w = .75, and less than it at w = .5.
  const t = token(2, [0.5, 0.4, 0.1], [0.1, 0.25, 0.65]);
  t.p_top = t.p_top.filter((c) => c.id !== 1);
  assertRows(residualRows(t, null, false, { w: 0.75, mass: 0.5 }), [[0, 0.55], [2, 0], [1, 0.1]]);
  assertRows(residualRows(t, null, false, { w: 0.5, mass: 0.5 }), [[0, 0.3], [2, 0]]);
});

test("a weight never exceeds 1, and with 1 block verification is the token rule", () => {
  const t = token(2, P, Q);
  const draft = [{ p: 0.8, q: 0.2, chance: 1 }, t];
  const how = residualOf({ draft }, 1, "block");
  assert.equal(how.w, 1);
  assert.ok(Math.abs(how.mass - 0.4) < 1e-9);
});

test("any other rule draws nothing", () => {
  assert.equal(residualOf({ draft: [token(2, P, Q)] }, 0, "bild"), null);
});
