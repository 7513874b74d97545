// Steps and runs in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { draftSentence, ownerOf, rowOf, stepSentence, stepsSentence, verdictSentence } from "../../assets/player/sentences.js";
import { never, step } from "./runs.mjs";

const REFUSED = step([" a", "~ b", " c"], " on");

test("a step is told in one sentence: kept, refused, and what the target wrote", () => {
  assert.equal(stepSentence(REFUSED, 3, never), "Step 4: one kept, 'b' refused, 'on' instead.");
  assert.equal(stepSentence(step([" a", " b"], " on"), 0, never), "Step 1: both kept, 'on' added.");
  assert.equal(stepSentence(step([" a", " b", "</s>"]), 0, never), "Step 1: all three kept.");
  assert.equal(stepSentence(step([], " on"), 0, never), "Step 1: 'on' by the target.");
});

test("several steps are told in one, the end left out", () => {
  const steps = [REFUSED, step([" a", " b"], " c"), REFUSED];
  assert.equal(stepsSentence(steps, 0, 3, never), "Steps 1 to 3: four kept, two refused.");
  assert.equal(stepsSentence(steps, 2, 3, never), "Step 3: one kept, 'b' refused, 'on' instead.");
});

test("the first steps are explained: the guess, then the verdict", () => {
  assert.equal(draftSentence(REFUSED, never), "The drafter guesses three: “a b c”.");
  assert.equal(verdictSentence(REFUSED, never), "The target keeps one, refuses “b” and writes “on” itself.");
  assert.equal(verdictSentence(step([" a", " b"], " on"), never), "The target keeps both and adds “on”, all in one call.");
  assert.equal(draftSentence(step([], " on"), never), "Nothing is guessed here: the target writes on its own.");
  assert.equal(verdictSentence(step([], " on"), never), "It writes “on”.");
  assert.equal(verdictSentence(step([" a"], "</s>"), (id) => id === 90), "The target keeps the one and adds “(end of text)”, all in one call.");
});

const HEAD = {
  target: "mini", drafter: "ngram:3", gamma: 4, temperature: 0.5, seed: 7, article: { text: "One two three four five six." },
  recorded: false, versions: { torch: "2" }, made: "2026-11-27", target_hash: "0123456789",
};

test("a live run says how it was made and of which article", () => {
  const made = "Live run: target mini, drafter ngram:3, γ 4, temperature 0.5, seed 7, article “One two three four five …”.";
  assert.equal(ownerOf(HEAD), made);
  assert.match(ownerOf({ ...HEAD, drafter: "", article: { text: "" } }), /drafter none, γ 4, temperature 0.5, seed 7\.$/);
});

test("a recorded run says so, when and with what it was made", () => {
  const said = ownerOf({ ...HEAD, recorded: true });
  assert.match(said, /^Recorded run, not live: made 2026-11-27; target mini, /);
  assert.match(said, /; weights 01234567; torch 2\.$/);
  assert.match(ownerOf({ ...HEAD, recorded: true, made: "", target_hash: "", versions: {} }), /at an unknown time.*weights no hash\.$/);
});

test("a row of the visit holds article, settings and the figures of the last step", () => {
  const steps = [step([], " a", { figures: [["9", ""]] }), step([], " b", { figures: [["2.5", "tau"], ["67%", ""]] })];
  assert.deepEqual(rowOf(HEAD, steps), ["One two three four …", "mini", "ngram:3", "4", "0.5", "2.5", "67%"]);
  assert.equal(rowOf(HEAD, []).length, 5);
});
