// From one refused token to the next.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nextRefusal, refusals } from "../../assets/player/walk.js";
import { step } from "./runs.mjs";

const STEPS = [step([" a", "~ b", " c"], " d"), step([" e"], " f"), step([], " g"), step(["~ h"], " i")];
const [FIRST, LAST] = [{ i: 0, at: 1 }, { i: 3, at: 0 }];

test("the refused tokens are found with their places, up to the step that is seen", () => {
  assert.deepEqual(refusals(STEPS), [FIRST, LAST]);
  assert.deepEqual(refusals(STEPS, 3), [FIRST]);
  assert.deepEqual(refusals([]), []);
});

test("forward leads to the next one and stops at the last", () => {
  const found = refusals(STEPS);
  assert.deepEqual(nextRefusal(found, null, 1), FIRST);
  assert.deepEqual(nextRefusal(found, FIRST, 1), LAST);
  assert.equal(nextRefusal(found, LAST, 1), null);
});

test("back leads to the one before and stops at the first", () => {
  const found = refusals(STEPS);
  assert.deepEqual(nextRefusal(found, null, -1), LAST);
  assert.deepEqual(nextRefusal(found, LAST, -1), FIRST);
  assert.equal(nextRefusal(found, FIRST, -1), null);
});

test("from a token that was kept, in the same step too, the nearest on either side is found", () => {
  const found = refusals(STEPS);
  assert.deepEqual(nextRefusal(found, { i: 0, at: 0 }, 1), FIRST);
  assert.deepEqual(nextRefusal(found, { i: 0, at: 3 }, -1), FIRST);
  assert.deepEqual(nextRefusal(found, { i: 2, at: 0 }, 1), LAST);
  assert.equal(nextRefusal([], null, 1), null);
});
