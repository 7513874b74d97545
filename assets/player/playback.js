// @ts-check
// The playhead: which steps are shown, and when the next one is. Counts half steps: a draft alone, then its verdict.

export const SPEEDS = [0.25, 0.5, 1, 2, 3, 5, 10, 20, 40, Infinity];
// At these speeds and below the draft is seen before its verdict.
const SLOW = 1;

/**
 * The next place of the playhead after `halves`; `pause` says whether drafts are shown before their verdict.
 * @param {number} halves
 * @param {Step[]} steps
 * @param {boolean} pause
 */
export function nextPlace(halves, steps, pause) {
  if (halves % 2) return halves + 1;
  const step = steps[halves / 2];
  return halves + (pause && step?.draft.length ? 1 : 2);
}

/**
 * `stays` says how long a place is shown where it is not as the speed says: milliseconds, or null.
 * @param {Store} store
 * @param {() => boolean} predicting
 * @param {(halves: number) => number | null} stays
 * @param {() => void} changed
 */
export function makePlayback(store, predicting, stays, changed) {
  const state = { halves: 0, playing: false, speed: 5 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const limit = () => 2 * store.steps.length;
  const waits = () => predicting() && state.halves % 2 === 1;

  /** @param {number} halves */
  function go(halves) {
    state.halves = Math.min(Math.max(halves, 0), limit());
    changed();
  }

  function schedule() {
    clearTimeout(timer);
    timer = undefined;
    if (!state.playing || waits()) return;
    if (state.halves >= limit()) {
      if (store.complete) {
        state.playing = false;
        changed();
      }
      return;
    }
    const speed = SPEEDS[state.speed];
    if (speed === Infinity && !predicting() && stays(state.halves) === null) {
      go(limit());
      schedule();
      return;
    }
    const told = predicting() ? null : stays(state.halves);
    const slow = speed <= SLOW || predicting() || told !== null;
    const usual = Math.max(1000 / speed, predicting() ? 500 : 0) / (slow && !predicting() ? 2 : 1);
    // Nobody looks at nothing: the first step is shown once it is there.
    timer = setTimeout(() => {
      timer = undefined;
      go(nextPlace(state.halves, store.steps, slow));
      schedule();
    }, told ?? (state.halves ? usual : 0));
  }

  /** @param {boolean} on */
  function play(on) {
    if (on && state.halves >= limit() && store.complete) state.halves = 0;
    state.playing = on;
    changed();
    schedule();
  }

  return {
    state,
    limit,
    play,
    toggle: () => play(!state.playing),
    pause: () => play(false),
    step() {
      play(false);
      go(nextPlace(state.halves, store.steps, predicting()));
    },
    back() {
      play(false);
      go(state.halves - (state.halves % 2 ? 1 : 2));
    },
    /** @param {number} step */
    seek(step) {
      play(false);
      go(2 * step);
    },
    /** The verdict on the draft that is shown. */
    reveal() {
      go(state.halves + 1);
      schedule();
    },
    /** @param {number} value index in SPEEDS */
    speed(value) {
      state.speed = value;
      schedule();
    },
    restart(playing = true) {
      state.halves = 0;
      state.playing = playing;
      clearTimeout(timer);
      timer = undefined;
    },
    /** New steps are there. */
    grown() {
      if (timer === undefined) schedule();
    },
  };
}
