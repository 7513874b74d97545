// Tokens and numbers as people read them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chance, goesOn, milliseconds, percent, plural, rankOf, tokenName, visible } from "../../assets/player/text.js";

test("a line break is seen, and what could turn the text around is not let through", () => {
  assert.equal(visible("a\nb\u2028"), "a⏎b⏎");
  assert.equal(visible("a\u202eb\u0007"), "a\ufffdb\ufffd");
  assert.equal(visible("\u0645\u06cc\u200c\u062e"), "\u0645\u06cc\u200c\u062e");
});

test("a token is named in quotes without its spaces, a space and the end by words", () => {
  assert.equal(tokenName(" ferry", false), "'ferry'");
  assert.equal(tokenName("  ", false), "'space'");
  assert.equal(tokenName("</s>", true), "end of text");
});

test("a piece of a word is joined to what stands before it, a mark and a new word are not", () => {
  const pieces = [" Eller", "y", "'s", " to", "wed", ".", "é", "2", "-"];
  assert.deepEqual(pieces.filter(goesOn), ["y", "wed", "é", "2"]);
});

test("a probability has three digits and is never rounded to certainty", () => {
  assert.deepEqual([0, 1, 0.5, 0.12345, 0.9996, 0.0004].map(chance), ["0", "1", "0.5", "0.123", "over 0.999", "4.0e-4"]);
  assert.deepEqual([chance(null), chance(undefined)], ["–", "–"]);
});

test("times, shares and counts have their unit", () => {
  assert.deepEqual([milliseconds(0.0126), milliseconds(1.5)], ["13 ms", "1.50 s"]);
  assert.equal(percent(2 / 3), "67%");
  assert.deepEqual([plural(1, "token"), plural(0, "token")], ["1 token", "0 tokens"]);
});

test("a rank is the recorded one, else the place among the candidates, else below them", () => {
  const candidates = [{ id: 5 }, { id: 6 }];
  assert.equal(rankOf(17, 6, candidates), "17");
  assert.equal(rankOf(null, 6, candidates), "2");
  assert.equal(rankOf(null, 7, candidates), "below the 2 recorded");
  assert.equal(rankOf(null, 7, []), "not recorded");
});
