// @ts-check
// The race against plain decoding, in the times that the comparison is made of. The bars are drawn once and resized.
import { raceAt, sumOf, timesOf, tokensOf, winnerOf } from "./counts.js";
import { make, whyMark } from "./elements.js";
import { milliseconds, plural } from "./text.js";

const ALIKE = "Calls of a kind count alike, with the median of their times, as in the comparison.";

/** @param {HTMLElement} box */
export function makeRace(box) {
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

  /**
   * One row at `now` of `scale` seconds; it ends after `end` seconds, or has no end yet (null).
   * @param {typeof rows[0]} lane
   * @param {number} tokens
   * @param {number} now
   * @param {number | null} end
   * @param {number} scale
   * @param {boolean} over
   * @param {number} all
   */
  function draw(lane, tokens, now, end, scale, over, all) {
    const ended = end !== null && (over || now >= end - 1e-9);
    const reached = end === null ? now : Math.min(now, end);
    lane.bar.style.width = `${(100 * reached) / scale}%`;
    lane.rest.style.width = `${ended ? (100 * (end - reached)) / scale : 0}%`;
    lane.flag.hidden = !ended;
    if (ended) lane.flag.style.left = `${(100 * end) / scale}%`;
    lane.said.textContent = ended ? `${plural(all, "token")} at ${milliseconds(end)}` : now ? plural(tokens, "token") : "";
  }

  /**
   * @param {Store} store
   * @param {number} shown
   */
  return function show(store, shown) {
    const { steps, plain, complete } = store;
    const timing = (complete && store.head?.timing) || null;
    const times = timesOf(steps, plain, timing);
    const now = raceAt(steps, times, shown);
    const whole = { ours: sumOf(times.ours), theirs: sumOf(times.plain) };
    const scale = Math.max(whole.ours, whole.theirs, 1e-9);
    const over = complete && shown > 0 && shown === steps.length;
    draw(rows[0], now.tokens, now.seconds, complete ? whole.ours : null, scale, over, tokensOf(steps));
    const other = plain.length ? Math.min(now.seconds, whole.theirs) : 0;
    draw(rows[1], now.plain, other, complete && plain.length ? whole.theirs : null, scale, over, plain.length);
    const won = over && plain.length ? winnerOf(steps, plain.length, timing) : null;
    for (const { name, row } of rows) row.classList.toggle("fl-winner", won?.name === name);
    if (!shown) note.textContent = "Who has written more when the same time has passed?";
    else if (won) note.textContent = timing ? `${won.words} ${ALIKE}` : won.words;
    else if (!plain.length) note.textContent = `${milliseconds(now.seconds)} measured${over ? "" : " so far"}; plain decoding ${over ? "was not timed" : "is timed next"}.`;
    else note.textContent = `After ${milliseconds(now.seconds)}, pauses not counted.`;
  };
}
