// The run as it was received: in order, twice, with gaps.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { headOf, makeStore, unpack } from "../../assets/player/store.js";
import { step } from "./runs.mjs";

const FIELDS = JSON.parse(readFileSync(new URL("../../assets/player/fields.json", import.meta.url), "utf8"));
const STEPS = [step([" a", "~ b"], " c"), step([" d"], " e"), step([], "</s>")].map((s, index) => ({ ...s, index }));
const HEAD = { target: "mini", recorded: false, lossless: true, plain: null, eos_ids: [90] };

const began = (run = "one") => ({ run, state: "running", head: HEAD });
const news = (from, to, run = "one") => ({ run, state: "running", from, steps: STEPS.slice(from, to) });
const whole = (run = "one") => ({ ...news(0, 3, run), state: "done", head: HEAD, rejections: [{ step: 0 }], complete: true });

function taken(...messages) {
  const store = makeStore(FIELDS);
  messages.forEach((message) => store.accept(message));
  return store;
}
const indices = (store) => store.steps.map((s) => s.index);

test("messages in order make the run", () => {
  const store = taken(began(), news(0, 1), news(1, 3));
  assert.deepEqual(indices(store), [0, 1, 2]);
  assert.deepEqual([store.run, store.state, store.complete, store.gaps], ["one", "running", false, 0]);
});

test("a message that comes twice, or overlaps, adds only what is new", () => {
  const store = taken(began(), news(0, 2), news(0, 2), news(1, 3), news(0, 1));
  assert.deepEqual(indices(store), [0, 1, 2]);
  assert.equal(store.gaps, 0);
});

test("a step after a lost one is left and counted, and the last message brings all", () => {
  const store = taken(began(), news(1, 2));
  assert.deepEqual([indices(store), store.gaps], [[], 1]);
  store.accept(whole());
  assert.deepEqual([indices(store), store.complete, store.state], [[0, 1, 2], true, "done"]);
  assert.equal(store.rejections.length, 1);
});

test("steps of plain decoding are counted for themselves", () => {
  const store = taken(began(), { ...news(0, 1), plain_from: 0, plain: [STEPS[2]] }, { ...news(1, 2), plain_from: 5, plain: [STEPS[2]] });
  assert.deepEqual([store.plain.length, store.gaps], [1, 1]);
});

test("a whole run takes nothing more", () => {
  const store = taken(began(), whole(), { ...news(0, 3), state: "running", head: { ...HEAD, target: "other" } });
  assert.deepEqual([store.state, store.head.target, store.steps.length], ["done", "mini", 3]);
});

test("another run begins empty", () => {
  const store = taken(began(), news(1, 2), whole(), began("two"));
  assert.deepEqual([store.run, store.steps, store.rejections, store.complete, store.gaps], ["two", [], [], false, 0]);
});

test("the trace is what was told without what no trace has", () => {
  const said = { ...STEPS[0], say: ["kept"], figures: [["1", ""]] };
  const store = taken({ ...began(), from: 0, steps: [said] });
  assert.deepEqual(store.trace(), { target: "mini", plain: null, eos_ids: [90], steps: [STEPS[0]] });
  store.accept({ ...began(), head: { ...HEAD, plain: { text: "x" } }, plain_from: 0, plain: [STEPS[2]] });
  assert.deepEqual(store.trace().plain, { text: "x", steps: [STEPS[2]] });
});

test("the summary is what was kept and what the target wrote, with the place that it came from", () => {
  const pieces = taken(whole()).summary();
  assert.deepEqual(pieces.map((t) => [t.text, t.step, t.at]), [[" a", 0, 0], [" c", 0, 2], [" d", 1, 0], [" e", 1, 1], ["</s>", 2, 0]]);
});

test("the head says which ids end the text; without a run none does, and none has settings", () => {
  const store = taken(began());
  assert.deepEqual([store.ends(90), store.ends(1)], [true, false]);
  assert.equal(headOf(store).target, "mini");
  const empty = taken();
  assert.equal(empty.ends(90), false);
  assert.throws(() => headOf(empty), /no run/);
});

test("a packed message is deflated text in base64, whatever its letters", async () => {
  const text = JSON.stringify({ text: "é “🚢”" });
  assert.equal(await unpack(deflateSync(text).toString("base64")), text);
});
