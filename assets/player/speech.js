// What a screen reader is told of the playback: each step once, through one polite live region.

const NUMBERS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
const inWords = (n) => NUMBERS[n] ?? String(n);
/** All of `n`, in words. */
const allOf = (n) => (n === 1 ? "the one" : n === 2 ? "both" : `all ${inWords(n)}`);
const QUIET = 2500; // milliseconds between two messages while it plays

const keptOf = (step) => step.draft.filter((t) => t.status === "accepted").length;

/** Step `i` in one sentence: how many guesses were kept, which was refused, what the target wrote itself. Pure. */
function stepSentence(step, i, ends) {
  const name = (t) => tokenName(t.text, ends(t.id));
  const refused = step.draft.find((t) => t.status === "rejected");
  const kept = keptOf(step);
  if (!step.draft.length) return `Step ${i + 1}: ${step.emitted ? name(step.emitted) : "nothing"} by the target.`;
  const parts = [kept === step.draft.length ? `${allOf(kept)} kept` : `${inWords(kept)} kept`];
  if (refused) parts.push(`${name(refused)} refused`);
  if (step.emitted) parts.push(`${name(step.emitted)} ${refused ? "instead" : "added"}`);
  return `Step ${i + 1}: ${parts.join(", ")}.`;
}

/** Steps `from` to `to` (the end left out) in one sentence. Pure. */
function stepsSentence(steps, from, to, ends) {
  if (to - from === 1) return stepSentence(steps[from], from, ends);
  const some = steps.slice(from, to);
  const refused = some.filter((s) => s.draft.some((t) => t.status === "rejected")).length;
  return `Steps ${from + 1} to ${to}: ${inWords(some.reduce((n, s) => n + keptOf(s), 0))} kept, ${inWords(refused)} refused.`;
}

function makeSpeech(box, store) {
  let said = 0;
  let wanted = 0;
  let timer = null;

  function flush() {
    timer = null;
    if (wanted > said) box.textContent = stepsSentence(store.steps, said, wanted, store.ends);
    said = wanted;
  }

  /** `whole` steps are shown. While it plays, those that come close together are told together. */
  function at(whole, playing) {
    if (whole === wanted) return;
    if (whole < wanted) {
      box.textContent = whole ? `Back at step ${whole}.` : "";
      said = whole;
    }
    wanted = whole;
    if (playing && timer !== null) return;
    clearTimeout(timer);
    flush();
    if (playing) timer = setTimeout(flush, QUIET);
  }

  function clear() {
    clearTimeout(timer);
    [said, wanted, timer] = [0, 0, null];
    box.textContent = "";
  }

  return { at, clear };
}
