// What steps add up to, and who wins the race.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  majority, outcome, placesOf, raceAt, stepTokens, sumOf, timesOf, tokensOf, wilson, winnerOf,
} from "../../assets/player/counts.js";
import { step } from "./runs.mjs";

// A second each: two tokens, three, one.
const STEPS = [step([" a", "~ b", " c"], " d"), step([" e", " f"], " g"), step([], " h")];
const plain = (n, seconds) => Array.from({ length: n }, () => step([], " x", { seconds: [0, seconds, 0] }));

test("a step writes what was kept and what the target adds", () => {
  assert.deepEqual(STEPS.map(stepTokens), [2, 3, 1]);
  assert.equal(stepTokens(step([" a", " b"])), 2);
  assert.equal(tokensOf(STEPS), 6);
});

test("a draft was refused at its rejected token, or at its end where none was", () => {
  assert.deepEqual(STEPS.map(outcome), [1, 2, 0]);
});

test("most votes decide, the first place of equals, and nobody's votes nothing", () => {
  assert.equal(majority(new Map([[2, 1], [0, 3]])), 0);
  assert.equal(majority(new Map([[3, 2], [1, 2]])), 1);
  assert.equal(majority(new Map([[3, 0]])), null);
});

test("at each place it is counted what was drafted, tested and kept", () => {
  assert.deepEqual(placesOf(STEPS), [
    { drafted: 2, tested: 2, accepted: 2 }, { drafted: 2, tested: 2, accepted: 1 }, { drafted: 1, tested: 0, accepted: 0 },
  ]);
});

test("plain decoding has written what ended by then, and a call that has not ended nothing", () => {
  const times = timesOf(STEPS, plain(5, 0.75), null);
  assert.deepEqual([0, 1, 2, 3].map((n) => raceAt(STEPS, times, n).plain), [0, 1, 2, 4]);
  assert.deepEqual(raceAt(STEPS, times, 2), { seconds: 2, tokens: 5, plain: 2 });
});

test("the same times in another order of addition end together", () => {
  const ours = [step([" a"], null, { seconds: [0.1, 0.2, 0.3] })];
  const times = timesOf(ours, [step([], " x", { seconds: [0.3, 0.2, 0.1] })], null);
  assert.equal(raceAt(ours, times, 1).plain, 1);
});

test("a whole run races in the times of its comparison, whatever the clock said", () => {
  const timing = { ours: [2, 1, 1], plain: [0.5, 0.5], speedup: 1.5, interval: [1.2, 1.8], trouble: "" };
  const times = timesOf(STEPS, plain(2, 9), timing);
  assert.deepEqual(raceAt(STEPS, times, 1), { seconds: 2, tokens: 2, plain: 2 });
  assert.equal(sumOf(times.ours), 4);
});

test("who wins is what the comparison says, and nobody where its interval holds 1 or it has none", () => {
  const said = (interval, trouble = "") => ({ ours: [1, 1, 1], plain: [1, 2, 3], speedup: 1, interval, trouble });
  const won = (m, ...rest) => winnerOf(STEPS, m, said(...rest));
  assert.equal(won(6, [1.1, 3]).words, "Speculative decoding wins: speculative 3.00 s for 6 tokens, plain 6.00 s for 6 tokens.");
  assert.equal(won(6, [0.2, 0.9]).name, "plain");
  assert.match(won(6, [0.9, 1.2]).words, /^Nobody wins, the times are too close: speculative 3\.00 s/);
  assert.match(won(3, [1.1, 3]).words, /^Speculative decoding wins by time a token: .* for 3 tokens\.$/);
  assert.deepEqual(won(6, null, "The machine is too busy to time this"),
    { name: "", words: "The machine is too busy to time this: nobody is called the winner." });
  assert.equal(winnerOf(STEPS, 6, null).name, "");
});

test("Wilson's interval of 8 in 10 is 49 to 94 %, and stays within 0 and 1", () => {
  const [low, high] = wilson(8, 10);
  assert.deepEqual([low.toFixed(3), high.toFixed(3)], ["0.490", "0.943"]);
  assert.equal(wilson(0, 5)[0], 0);
  assert.ok(wilson(5, 5)[1] <= 1 && wilson(5, 5)[0] > 0.5);
});
