// The player's names in the page's address.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inAddress, keepInAddress, queryWith, stepNamed } from "../../assets/player/address.js";

test("a step is named by its number from 1, and by nothing else", () => {
  assert.deepEqual(["1", "12", "0", "9999"].map(stepNamed), [1, 12, 0, 9999]);
  assert.deepEqual(["", "-1", "1.5", "10000", "two", "1 ", null, undefined].map(stepNamed), Array(8).fill(null));
});

test("a name is set, changed and taken out, and the others stay as they are", () => {
  assert.equal(queryWith("?gamma=4", { step: 3 }), "gamma=4&step=3");
  assert.equal(queryWith("?step=3&gamma=4", { step: 5, recorded: null }), "step=5&gamma=4");
  assert.equal(queryWith("?step=3&gamma=4", { step: null }), "gamma=4");
  assert.equal(queryWith("?step=3", { step: null }), "");
});

test("what changes nothing is told from what empties the address", () => {
  assert.equal(queryWith("?step=3", { step: 3, recorded: null }), null);
  assert.equal(queryWith("", { step: null }), null);
});

/** A page at this address, as long as a test lasts; returns where it was sent. */
function pageAt(t, address, alone = false) {
  const sent = [];
  const given = { CONFIG: { alone }, location: new URL(address), history: { state: 7, replaceState: (...all) => sent.push(all) } };
  for (const [name, value] of Object.entries(given)) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => delete globalThis[name]);
  }
  return sent;
}

test("the address is replaced, with its path and its anchor, and only where it changes", (t) => {
  const sent = pageAt(t, "http://localhost/demo?gamma=4#stream");
  keepInAddress({ step: 3 });
  keepInAddress({ gamma: 4 });
  assert.deepEqual(sent, [[7, "", "/demo?gamma=4&step=3#stream"]]);
  assert.deepEqual([inAddress("gamma"), inAddress("step")], ["4", null]);
});

test("a page on its own, or from a file, keeps its address", (t) => {
  const alone = pageAt(t, "http://localhost/run", true);
  keepInAddress({ step: 3 });
  assert.deepEqual(alone, []);
  const file = pageAt(t, "file:///run.html");
  keepInAddress({ step: 3 });
  assert.deepEqual(file, []);
});
