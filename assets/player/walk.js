// @ts-check
// The refused tokens of a run in order, and the way from one to the next. Pure.

/**
 * Step and place in the draft of every refused token of the first `whole` steps.
 * @param {Step[]} steps
 * @param {number} whole
 */
export function refusals(steps, whole = steps.length) {
  return steps.slice(0, whole).flatMap((step, i) => {
    const at = step.draft.findIndex((t) => t.status === "rejected");
    return at < 0 ? [] : [{ i, at }];
  });
}

/**
 * The refusal after `from` (or before it, `by` -1), which need not be one itself; without `from` the first (last).
 * @param {Place[]} found
 * @param {Place | null} from
 * @param {number} by
 */
export function nextRefusal(found, from, by) {
  if (!from) return (by > 0 ? found[0] : found.at(-1)) ?? null;
  /** @param {Place} a */
  const order = (a) => a.i - from.i || a.at - from.at;
  if (by > 0) return found.find((a) => order(a) > 0) ?? null;
  return found.filter((a) => order(a) < 0).at(-1) ?? null;
}
