// What a draft tree held beside the path.
import assert from "node:assert/strict";
import { test } from "node:test";
import { branchesOf, sideOf, sidePlaces, whyLost } from "../../assets/player/branches.js";
import { never, step } from "./runs.mjs";

const side = (id, text, parent, more = {}) => ({ id, text, parent, p: 0.1, q: 0.2, u: null, chance: null, by: "", ...more });
// The draft is " a", "~ b", " c"; beside " b" stands " x", after it " y"; beside the first token " z".
const ASIDE = [side(1, " x", 0, { chance: 0.5, by: "lstm" }), side(2, " y", 3), side(3, " z", -1)];
const TREE = step([" a", "~ b", " c"], " d", { aside: ASIDE });

test("a side token stands one place after its parent, in the draft or aside", () => {
  assert.deepEqual(sidePlaces(TREE), [1, 2, 0]);
  assert.deepEqual(sidePlaces(step([" a"], " b")), []);
});

test("the losers stand by place, each with its own below it, tested or not", () => {
  const { short, words, places } = branchesOf(TREE, never);
  assert.deepEqual([short, words], ["3 others", "3 other guesses"]);
  assert.deepEqual(places, [
    { words: "Beside 'a', place 1 of the draft", below: [{ words: "'z': not tested (p 0.1, q 0.2)", at: 6, below: [] }] },
    {
      words: "Beside 'b', place 2 of the draft",
      below: [{
        words: "'x' by lstm: tested and refused (p 0.1, q 0.2)",
        at: 4,
        below: [{ words: "'y': not tested (p 0.1, q 0.2)", at: 5, below: [] }],
      }],
    },
  ]);
});

test("after the last token of the path, and the end of the text, have their words", () => {
  const { short, words, places } = branchesOf(step([" a"], null, { aside: [side(5, "</s>", 0)] }), (id) => id === 5);
  assert.deepEqual([short, words, places[0].words], ["1 other", "1 other guess", "After 'a'"]);
  assert.match(places[0].below[0].words, /^end of text: not tested/);
});

test("each loser says why it lost, and beside which token of the path it stood", () => {
  const drawn = step([" a", "~ b"], " d", { aside: [side(1, " x", 0, { chance: 0.4, u: 0.7 })] });
  assert.match(whyLost(drawn, drawn.aside[0], never).words, /^u = 0.7 is not below 0.4, what it would have been kept with/);
  const [x, y, z] = TREE.aside.map((t) => whyLost(TREE, t, never));
  assert.match(x.words, /not the target's first choice, and at temperature 0/);
  assert.deepEqual([y.words, z.words], ["'x', which it follows, was not kept.", "'a' was tested before it, and kept."]);
  assert.deepEqual([x, y, z].map((one) => one.beside?.text), [" b", undefined, " a"]);
  const late = step([" a"], " d", { aside: [side(5, " e", 0, { chance: 0.5 })] });
  assert.equal(whyLost(late, late.aside[0], never).beside?.text, " d");
});

test("the side tokens stand behind the draft and the target's own token", () => {
  assert.deepEqual([2, 3, 4, 5, 6, 7].map((at) => sideOf(TREE, at)?.text), [undefined, undefined, " x", " y", " z", undefined]);
});

test("a chain has no branches", () => {
  assert.equal(branchesOf(step([" a", "~ b"], " c"), never), null);
});
