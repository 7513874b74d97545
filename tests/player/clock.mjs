// Time that passes only when it is told to: in place of setTimeout and clearTimeout, as long as a test lasts.

/** Returns `pass(milliseconds)`. */
export function stopClock(t) {
  const { setTimeout, clearTimeout } = globalThis;
  let now = 0;
  let made = 0;
  const waiting = new Map();
  globalThis.setTimeout = (does, after = 0) => {
    waiting.set(++made, { at: now + after, does });
    return made;
  };
  globalThis.clearTimeout = (id) => waiting.delete(id);
  t.after(() => Object.assign(globalThis, { setTimeout, clearTimeout }));
  return function pass(milliseconds) {
    const until = now + milliseconds;
    for (;;) {
      const [next] = [...waiting].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      waiting.delete(next[0]);
      now = next[1].at;
      next[1].does();
    }
    now = until;
  };
}
