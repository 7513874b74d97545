// @ts-check
// Predict before reveal: the viewer says where the draft will be refused, then sees the verdict. A class votes first.
import { majority, outcome } from "./counts.js";
import { make, partOf } from "./elements.js";
import { plural, tokenName } from "./text.js";

/**
 * `branching()`: whether the run's drafts are trees. What is drawn of one is the path that the target took, so there
 * would be nothing left to guess.
 * @param {HTMLElement} box
 * @param {HTMLInputElement} toggle
 * @param {() => boolean} branching
 */
export function makePredict(box, toggle, branching) {
  const question = partOf(box, ".fl-question");
  const score = partOf(box, ".fl-score");
  /** @type {Map<number, number>} */
  const guesses = new Map(); // step -> guessed place
  let right = 0;
  // A class: a vote a press, for the step that is asked about; the answer is shown when the teacher says so.
  const many = make("input", { type: "checkbox", class: "fl-class-on" });
  const tally = make("output", { class: "fl-tally", "aria-label": "Votes of the class" });
  const back = make("button", { type: "button", class: "fl-class-back" }, "Take one back");
  const reveal = make("button", { type: "button", class: "fl-class-show" }, "Show the answer");
  /** @type {number[]} */
  let cast = []; // the places that were voted for, in order
  let votesRight = 0;
  let votesAll = 0;
  box.append(tally, back, reveal, make("label", { class: "fl-switch" }, many, " Count a class"));
  back.addEventListener("click", () => {
    cast.pop();
    counted();
  });
  many.addEventListener("change", () => {
    cast = [];
    counted();
  });

  function votes() {
    /** @type {Map<number, number>} */
    const found = new Map();
    for (const at of cast) found.set(at, (found.get(at) ?? 0) + 1);
    return found;
  }

  let named = (/** @type {number} */ at) => String(at + 1);

  function counted() {
    const order = [...votes()].sort(([a], [b]) => a - b);
    tally.replaceChildren(...order.map(([at, n]) => make("span", {}, `${named(at)} `, make("b", {}, String(n)))));
    for (const button of [back, reveal]) button.disabled = !cast.length;
  }

  function said() {
    const ofClass = votesAll ? `; ${votesRight} of ${plural(votesAll, "vote")} right` : "";
    score.textContent = guesses.size ? `${right} of ${guesses.size} right${ofClass}` : "";
  }

  /**
   * A guess, or with a class a vote. Says whether the verdict is to be seen.
   * @param {number} i
   * @param {Step} step
   * @param {number} at
   */
  function guess(i, step, at) {
    if (!many.checked) {
      settle(i, step, at);
      return true;
    }
    if (!guesses.has(i)) cast.push(at);
    counted();
    return false;
  }

  /**
   * The votes are closed: what most of the class said is its guess.
   * @param {number} i
   * @param {Step} step
   */
  function close(i, step) {
    const at = majority(votes());
    if (at === null) return;
    votesAll += cast.length;
    votesRight += cast.filter((vote) => vote === outcome(step)).length;
    settle(i, step, at);
    cast = [];
    counted();
  }

  /**
   * The first guess for a step counts, and no later one.
   * @param {number} i
   * @param {Step} step
   * @param {number} at
   */
  function settle(i, step, at) {
    if (guesses.has(i)) return;
    guesses.set(i, at);
    if (at === outcome(step)) right += 1;
    said();
  }

  /**
   * What stands beside the stream when `halves` half steps are shown.
   * @param {number} halves
   * @param {Step[]} steps
   * @param {Ends} ends
   */
  function show(halves, steps, ends) {
    box.hidden = !toggle.checked;
    const i = Math.floor(halves / 2);
    const asking = halves % 2 === 1;
    partOf(box, ".fl-all-accepted").hidden = !asking;
    for (const part of [tally, back, reveal]) part.hidden = !asking || !many.checked;
    if (asking) {
      const { draft } = steps[i];
      const n = draft.length;
      named = (at) => (at < n ? tokenName(draft[at].text, ends(draft[at].id)) : "none");
      counted();
      question.textContent = `Step ${i + 1}: which of the ${n} drafted tokens is rejected first? Click it or press 1 to ${Math.min(n, 9)}; 0 for none.`;
    } else if (guesses.has(i - 1)) {
      const step = steps[i - 1];
      const at = outcome(step);
      /** @param {DraftToken} t */
      const name = (t) => tokenName(t.text, ends(t.id));
      const truth = at < step.draft.length ? `${name(step.draft[at])} was rejected.` : "all were accepted.";
      question.textContent = `${guesses.get(i - 1) === at ? "Right" : "Not so"}: ${truth}`;
    } else if (branching()) {
      question.textContent = "This run's drafts are trees, and what is drawn of each is the path that the target took: nothing is left to guess.";
    } else {
      question.textContent = steps.length ? "Play or step on: each draft waits for your guess." : "Run: each draft will wait for your guess.";
    }
  }

  function clear() {
    guesses.clear();
    right = votesRight = votesAll = 0;
    cast = [];
    counted();
    said();
  }

  return { guess, close, show, clear, on: () => toggle.checked && !branching() };
}
