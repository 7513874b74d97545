// Predict before reveal: the viewer says where the draft will be refused, then sees the verdict.

/** Where the draft of `step` was refused: the place of its rejected token, or its length where all was accepted. */
function outcome(step) {
  const at = step.draft.findIndex((t) => t.status === "rejected");
  return at < 0 ? step.draft.length : at;
}

/** `branching()`: whether the run's drafts are trees. What is drawn of one is the path that the target took, so there
 * would be nothing left to guess. */
function makePredict(box, toggle, branching) {
  const question = box.querySelector(".fl-question");
  const score = box.querySelector(".fl-score");
  const guesses = new Map(); // step -> guessed place
  let right = 0;

  function said() {
    score.textContent = guesses.size ? `${right} of ${guesses.size} right` : "";
  }

  /** The first guess for a step counts, and no later one. */
  function guess(i, step, at) {
    if (guesses.has(i)) return;
    guesses.set(i, at);
    if (at === outcome(step)) right += 1;
    said();
  }

  /** What stands beside the stream when `halves` half steps are shown. */
  function show(halves, steps, ends) {
    box.hidden = !toggle.checked;
    const i = Math.floor(halves / 2);
    const asking = halves % 2 === 1;
    box.querySelector(".fl-all-accepted").hidden = !asking;
    if (asking) {
      const n = steps[i].draft.length;
      question.textContent = `Step ${i + 1}: which of the ${n} drafted tokens is rejected first? Click it or press 1 to ${Math.min(n, 9)}; 0 for none.`;
    } else if (guesses.has(i - 1)) {
      const step = steps[i - 1];
      const at = outcome(step);
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
    right = 0;
    said();
  }

  return { guess, show, clear, on: () => toggle.checked && !branching() };
}
