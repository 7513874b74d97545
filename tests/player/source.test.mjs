// Where in the article a token's surroundings stand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { findSource, piecesAround } from "../../assets/player/source.js";
import { makeStore } from "../../assets/player/store.js";
import { step } from "./runs.mjs";

function found(article, pieces, at) {
  const place = findSource(article, pieces, at);
  return place && article.slice(place.start, place.end);
}

test("the longest run of pieces around the token is found, in the article's own letters", () => {
  const pieces = [" Two", " tugs", " to", "wed", " it"];
  assert.equal(found("Two tugs towed the ferry.", pieces, 1), "Two tugs towed");
  assert.equal(found("Two tugs towed the ferry.", pieces, 3), "Two tugs towed");
  assert.equal(found("the  old\n\nquay", [" old", " quay"], 0), "old\n\nquay");
  assert.equal(found("he said “No” twice", [" said", ' "', "No", '"'], 2), "said “No”");
});

test("a longer run is found where a shorter one stands before it", () => {
  assert.equal(found("a b c. a b d", [" a", " b", " d"], 1), "a b d");
});

test("a word counts only where it ends as a word, unless its next piece goes on", () => {
  assert.equal(found("about boats", [" a"], 0), null);
  assert.equal(found("about boats", [" a", "bout"], 0), "about");
});

test("what stands nowhere is nowhere, and a space stands nowhere", () => {
  assert.equal(found("Two tugs.", [" it"], 0), null);
  assert.equal(found("anything", [" "], 0), null);
  assert.equal(found("", [" a"], 0), null);
});

test("around a kept token is the summary, around a refused one the text that it would have followed", () => {
  const store = makeStore({ head: [], step: [] });
  store.accept({ run: "one", state: "done", from: 0, steps: [step([" a", "~ b"], " c"), step([" d", "~ e", " f"], " g")] });
  assert.deepEqual(piecesAround(store, 1, 0), { pieces: [" a", " c", " d", " g"], index: 2 });
  assert.deepEqual(piecesAround(store, 1, 3), { pieces: [" a", " c", " d", " g"], index: 3 });
  assert.deepEqual(piecesAround(store, 1, 2), { pieces: [" a", " c", " d", " e", " f"], index: 4 });
  assert.deepEqual(piecesAround(store, 1, 1), { pieces: [" a", " c", " d", " e"], index: 3 });
});
