// The playhead, by a clock that the tests move.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SPEEDS, makePlayback, nextPlace } from "../../assets/player/playback.js";
import { stopClock } from "./clock.mjs";
import { step } from "./runs.mjs";

const A_SECOND = SPEEDS.indexOf(1);
const FIVE = SPEEDS.indexOf(5);
const AT_ONCE = SPEEDS.indexOf(Infinity);

/** A playback of so many steps of one draft token each, playing at five a second; `shown` lists what was drawn. */
function playing(t, { steps = 4, complete = true, predicting = () => false, stays = () => null, speed = FIVE } = {}) {
  const pass = stopClock(t);
  const store = { steps: Array.from({ length: steps }, () => step([" a"], " b")), complete };
  const shown = [];
  const playback = makePlayback(store, predicting, stays, () => shown.push(playback.state.halves));
  playback.speed(speed);
  playback.restart();
  playback.grown();
  return { pass, store, shown, playback };
}

test("a draft is half a step where it is shown before its verdict, and no draft is none", () => {
  const steps = [step([" a"], " b"), step([], " c")];
  assert.equal(nextPlace(0, steps, true), 1);
  assert.equal(nextPlace(1, steps, true), 2);
  assert.equal(nextPlace(1, steps, false), 2);
  assert.equal(nextPlace(2, steps, true), 4);
  assert.equal(nextPlace(0, steps, false), 2);
});

test("the first step is shown at once, five a second take 200 ms each, and the end of a whole run is rest", (t) => {
  const { pass, shown, playback } = playing(t);
  pass(0);
  assert.equal(playback.state.halves, 2);
  pass(199);
  assert.equal(playback.state.halves, 2);
  pass(401);
  assert.deepEqual(playback.state, { halves: 8, playing: false, speed: FIVE });
  assert.deepEqual(shown, [2, 4, 6, 8, 8]);
});

test("at one step a second the draft stands for half of it", (t) => {
  const { pass, playback } = playing(t, { speed: A_SECOND });
  pass(0);
  assert.equal(playback.state.halves, 1);
  pass(500);
  assert.equal(playback.state.halves, 2);
});

test("all at once is all at once, and what comes later is shown when it is there", (t) => {
  const { store, playback } = playing(t, { speed: AT_ONCE, complete: false });
  assert.equal(playback.state.halves, 8);
  store.steps.push(step([" a"], " b"));
  playback.grown();
  assert.equal(playback.state.halves, 10);
  assert.equal(playback.state.playing, true);
});

test("all at once comes to rest at the end of a whole run", (t) => {
  const { playback } = playing(t, { speed: AT_ONCE });
  assert.deepEqual([playback.state.halves, playback.state.playing], [8, false]);
});

test("playback waits at the end of what has come, and goes on with what is new", (t) => {
  const { pass, store, playback } = playing(t, { steps: 1, complete: false });
  pass(5000);
  assert.deepEqual([playback.state.halves, playback.state.playing], [2, true]);
  store.steps.push(step([" a"], " b"));
  playback.grown();
  pass(200);
  assert.equal(playback.state.halves, 4);
});

test("a message in between does not put the next step off", (t) => {
  const { pass, playback } = playing(t);
  pass(150);
  playback.grown();
  pass(50);
  assert.equal(playback.state.halves, 4);
});

test("paused it stays, and play goes on from there", (t) => {
  const { pass, playback } = playing(t);
  pass(0);
  playback.toggle();
  pass(5000);
  assert.equal(playback.state.halves, 2);
  playback.toggle();
  pass(200);
  assert.equal(playback.state.halves, 4);
});

test("play at the end of a whole run begins anew", (t) => {
  const { pass, playback } = playing(t);
  pass(5000);
  playback.play(true);
  assert.equal(playback.state.halves, 0);
  pass(0);
  assert.equal(playback.state.halves, 2);
});

test("a step forward, a step back and a place pause, and none leaves the run", (t) => {
  const { pass, playback } = playing(t);
  playback.step();
  pass(5000);
  assert.deepEqual([playback.state.halves, playback.state.playing], [2, false]);
  playback.back();
  playback.back();
  assert.equal(playback.state.halves, 0);
  playback.seek(3);
  assert.equal(playback.state.halves, 6);
  playback.seek(99);
  playback.step();
  assert.equal(playback.state.halves, 8);
});

test("a step back, a place and a pause stop what plays, and say so", (t) => {
  const { pass, shown, playback } = playing(t);
  for (const stop of [playback.back, () => playback.seek(1), playback.pause]) {
    playback.seek(1);
    playback.play(true);
    shown.length = 0;
    stop();
    assert.ok(shown.length > 0);
    const { halves } = playback.state;
    pass(5000);
    assert.deepEqual([playback.state.halves, playback.state.playing], [halves, false]);
  }
});

test("back from a draft hides the draft alone", (t) => {
  const { pass, playback } = playing(t, { speed: A_SECOND });
  pass(1000);
  assert.equal(playback.state.halves, 3);
  playback.back();
  assert.equal(playback.state.halves, 2);
});

test("who predicts sees the draft and no verdict, however long it takes", (t) => {
  const { pass, playback } = playing(t, { predicting: () => true });
  pass(500);
  assert.equal(playback.state.halves, 1);
  pass(60_000);
  assert.equal(playback.state.halves, 1);
  playback.reveal();
  assert.equal(playback.state.halves, 2);
  pass(500);
  assert.equal(playback.state.halves, 3);
  pass(60_000);
  assert.equal(playback.state.halves, 3);
});

test("even all at once waits for who predicts", (t) => {
  const { pass, playback } = playing(t, { predicting: () => true, speed: AT_ONCE });
  pass(60_000);
  assert.equal(playback.state.halves, 1);
});

test("the first steps stay as long as their sentence, the others as long as the speed says", (t) => {
  const { pass, playback } = playing(t, { stays: (halves) => (halves < 2 ? 3000 : null) });
  pass(3000);
  assert.equal(playback.state.halves, 1);
  pass(2999);
  assert.equal(playback.state.halves, 1);
  pass(1);
  assert.equal(playback.state.halves, 2);
  pass(200);
  assert.equal(playback.state.halves, 4);
});

test("another speed counts from now on", (t) => {
  const { pass, playback } = playing(t, { speed: SPEEDS.indexOf(0.25) });
  pass(1000);
  assert.equal(playback.state.halves, 1);
  playback.speed(FIVE);
  pass(200);
  assert.equal(playback.state.halves, 2);
});

test("a run that begins at rest is not played, and the old run's next step never comes", (t) => {
  const { pass, shown, playback } = playing(t);
  pass(100);
  shown.length = 0;
  playback.restart(false);
  playback.grown();
  pass(5000);
  assert.deepEqual([playback.state.halves, shown], [0, []]);
});
