// The race against plain decoding, from measured seconds. The counts are pure; the bars are drawn once and resized.

function stepSeconds(step) {
  return step.seconds_draft + step.seconds_target + step.seconds_other;
}

function stepTokens(step) {
  return step.draft.filter((t) => t.status === "accepted").length + (step.emitted ? 1 : 0);
}

const secondsOf = (steps) => steps.reduce((sum, s) => sum + stepSeconds(s), 0);
const tokensOf = (steps) => steps.reduce((sum, s) => sum + stepTokens(s), 0);

/** After `shown` steps: the measured seconds so far, the tokens written, and those that plain decoding had by then. */
function raceAt(steps, plain, shown) {
  const seconds = secondsOf(steps.slice(0, shown));
  let left = seconds;
  let written = 0;
  // A call that has not ended has written nothing. The sum of the same times in another order may differ by rounding.
  for (const step of plain) {
    left -= stepSeconds(step);
    if (left < -1e-9) break;
    written += 1;
  }
  return { seconds, tokens: tokensOf(steps.slice(0, shown)), plain: written };
}

const EVEN = 0.02; // measured times that differ by less are called even

/** Who won, in a sentence: by time where both wrote equally many tokens, else by time a token. Pure. */
function winnerOf(steps, plain) {
  const [ours, theirs] = [secondsOf(steps), secondsOf(plain)];
  const [n, m] = [tokensOf(steps), tokensOf(plain)];
  const ratio = theirs / m / (ours / n);
  const name = ratio > 1 + EVEN ? "speculative" : ratio < 1 / (1 + EVEN) ? "plain" : "";
  const [many, few] = [plural(n, "token"), plural(m, "token")];
  const times = `speculative ${milliseconds(ours)} for ${many}, plain ${milliseconds(theirs)} for ${few}`;
  if (!name) return { name, words: `Nobody wins: ${times}.` };
  const each = n === m ? "" : " by time a token";
  return { name, words: `${name === "plain" ? "Plain" : "Speculative"} decoding wins${each}: ${times}.` };
}

function makeRace(box) {
  const rows = ["speculative", "plain"].map((name) => {
    const bar = make("span", { class: `fl-seg fl-run-${name}` });
    const rest = make("span", { class: `fl-seg fl-run-${name} fl-rest` });
    const flag = make("span", { class: "fl-flag", "aria-hidden": "true", hidden: true }, "⚑");
    const said = make("span", { class: "fl-race-said" });
    const track = make("span", { class: "fl-track" }, make("span", { class: "fl-bar" }, bar, rest), flag);
    const row = make("div", { class: "fl-race" }, make("span", {}, name), track, said);
    box.append(row);
    return { name, row, bar, rest, flag, said };
  });
  const note = make("p", { class: "fl-race-note" });
  const title = make("h3", {}, "Race in measured time");
  box.prepend(make("div", { class: "fl-chart-title" }, title, whyMark("the race", CONFIG.why.race)), note);

  /** One row at `now` of `scale` seconds; it ends after `end` seconds, or has no end yet (null). */
  function lane(lane, tokens, now, end, scale, over, all) {
    const ended = end !== null && (over || now >= end - 1e-9);
    const reached = end === null ? now : Math.min(now, end);
    lane.bar.style.width = `${(100 * reached) / scale}%`;
    lane.rest.style.width = `${ended ? (100 * (end - reached)) / scale : 0}%`;
    lane.flag.hidden = !ended;
    if (ended) lane.flag.style.left = `${(100 * end) / scale}%`;
    lane.said.textContent = ended ? `${plural(all, "token")} at ${milliseconds(end)}` : now ? plural(tokens, "token") : "";
  }

  return function show(store, shown) {
    const { steps, plain, complete } = store;
    const now = raceAt(steps, plain, shown);
    const whole = { ours: secondsOf(steps), theirs: secondsOf(plain) };
    const scale = Math.max(whole.ours, whole.theirs, 1e-9);
    const over = complete && shown > 0 && shown === steps.length;
    lane(rows[0], now.tokens, now.seconds, complete ? whole.ours : null, scale, over, tokensOf(steps));
    const other = plain.length ? Math.min(now.seconds, whole.theirs) : 0;
    lane(rows[1], now.plain, other, complete && plain.length ? whole.theirs : null, scale, over, plain.length);
    const won = over && plain.length ? winnerOf(steps, plain) : null;
    for (const { name, row } of rows) row.classList.toggle("fl-winner", won?.name === name);
    if (!shown) note.textContent = "Who has written more when the same measured time has passed?";
    else if (won) note.textContent = won.words;
    else if (!plain.length) note.textContent = `${milliseconds(now.seconds)} measured${over ? "" : " so far"}; plain decoding ${over ? "was not timed" : "is timed next"}.`;
    else note.textContent = `After ${milliseconds(now.seconds)} of measured time, pauses not counted.`;
  };
}
