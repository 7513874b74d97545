// The race against plain decoding, from measured seconds. The counts are pure; the bars are drawn once and resized.

function stepSeconds(step) {
  return step.seconds_draft + step.seconds_target + step.seconds_other;
}

function stepTokens(step) {
  return step.draft.filter((t) => t.status === "accepted").length + (step.emitted ? 1 : 0);
}

/** After `shown` steps: the measured seconds so far, the tokens written, and those that plain decoding had by then. */
function raceAt(steps, plain, shown) {
  let seconds = 0;
  let tokens = 0;
  for (const step of steps.slice(0, shown)) {
    seconds += stepSeconds(step);
    tokens += stepTokens(step);
  }
  let left = seconds;
  let written = 0;
  // A call that has not ended has written nothing. The sum of the same times in another order may differ by rounding.
  for (const step of plain) {
    left -= stepSeconds(step);
    if (left < -1e-9) break;
    written += 1;
  }
  return { seconds, tokens, plain: written };
}

function makeRace(box) {
  const rows = ["speculative", "plain"].map((name) => {
    const bar = make("span", { class: `fl-seg fl-run-${name}` });
    const said = make("span", { class: "fl-race-said" });
    box.append(make("div", { class: "fl-race" }, make("span", {}, name), make("span", { class: "fl-bar" }, bar), said));
    return { bar, said };
  });
  const note = make("p", { class: "fl-race-note" });
  const title = make("h3", {}, "Race in measured time");
  box.prepend(make("div", { class: "fl-chart-title" }, title, whyMark("the race", CONFIG.why.race)), note);

  return function show(store, shown) {
    const { steps, plain } = store;
    const now = raceAt(steps, plain, shown);
    const total = Math.max(1, plain.length, steps.reduce((sum, s) => sum + stepTokens(s), 0));
    const whole = plain.reduce((sum, s) => sum + stepSeconds(s), 0);
    rows[0].bar.style.width = `${(100 * now.tokens) / total}%`;
    rows[1].bar.style.width = `${(100 * now.plain) / total}%`;
    const done = (all, seconds) => (store.complete && all ? `, done at ${milliseconds(seconds)}` : "");
    const [ours, theirs] = [plural(now.tokens, "token"), plural(now.plain, "token")];
    rows[0].said.textContent = shown ? ours + done(shown === steps.length, now.seconds) : "";
    rows[1].said.textContent = shown && plain.length ? theirs + done(now.plain === plain.length, whole) : "";
    if (!shown) note.textContent = "Who has written more when the same measured time has passed?";
    else if (!plain.length) note.textContent = `${milliseconds(now.seconds)} measured. Plain decoding is timed next.`;
    else {
      const ends = store.complete && shown === steps.length;
      note.textContent = ends
        ? `Finished after ${milliseconds(now.seconds)}; plain decoding needs ${milliseconds(whole)} for ${plural(plain.length, "token")}.`
        : `After ${milliseconds(now.seconds)} of measured time, pauses not counted.`;
    }
  };
}
