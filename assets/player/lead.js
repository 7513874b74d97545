// The first steps of a visit are played slowly, the draft before the verdict, each with a sentence.

const LEAD_STEPS = 2;
const A_LETTER = 55; // milliseconds: as long as it takes to say the sentence
const AT_LEAST = 2200;

/** The text of tokens as it stands in a sentence. */
const quoted = (tokens, ends) => `“${tokens.map((t) => (ends(t.id) ? " (end of text)" : visible(t.text))).join("").trim()}”`;

/** What is said over the draft of a step. Pure. */
function draftSentence(step, ends) {
  if (!step.draft.length) return "Nothing is guessed here: the target writes on its own.";
  return `The drafter guesses ${inWords(step.draft.length)}: ${quoted(step.draft, ends)}.`;
}

/** What is said over its verdict. Pure. */
function verdictSentence(step, ends) {
  const [kept, refused] = [keptOf(step), step.draft.find((t) => t.status === "rejected")];
  const own = step.emitted && quoted([step.emitted], ends);
  if (!step.draft.length) return own ? `It writes ${own}.` : "";
  if (refused) return `The target keeps ${inWords(kept)}, refuses ${quoted([refused], ends)}${own ? ` and writes ${own} itself` : ""}.`;
  return `The target keeps ${allOf(kept)}${own ? ` and adds ${own}, all in one call` : ""}.`;
}

function makeLead(box, store) {
  const words = box.querySelector("p");
  const state = { on: false };

  function sentence(halves) {
    const step = store.steps[Math.ceil(halves / 2) - 1];
    if (!step || !halves) return "";
    return halves % 2 ? draftSentence(step, store.ends) : verdictSentence(step, store.ends);
  }

  /** Milliseconds that `halves` half steps stay; null where playback goes on as usual. */
  function stays(halves) {
    if (!state.on || halves > 2 * LEAD_STEPS) return null;
    return halves ? Math.max(AT_LEAST, A_LETTER * sentence(halves).length) : 300;
  }

  function show(halves) {
    if (halves > 2 * LEAD_STEPS) state.on = false;
    box.hidden = !state.on || !halves;
    words.textContent = state.on ? sentence(halves) : "";
  }

  return { state, stays, show };
}
