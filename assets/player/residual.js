// @ts-check
// What takes a refused token's place is drawn from the residual: its mass and its rows, from what the trace holds. Pure.

/**
 * The weight w of the target and the mass n of max(0, w p - q), of which a replacement at place `at` of `step` is a draw
 * from max(0, w p - q) / n. Token rule: w = 1 and n = 1 - beta (Leviathan et al. 2023). Block verification (Sun et al.
 * 2024, Algorithm 2): w_i = min(1, w_{i-1} p_i / q_i) and, from the recorded h_i = n / (n + 1 - w_i),
 * n = h_i (1 - w_i) / (1 - h_i). null under any other rule, which draws nothing.
 * @param {Step} step
 * @param {number} at
 * @param {string} rule
 */
export function residualOf(step, at, rule) {
  const t = step.draft[at];
  if (rule === "token") return { w: 1, mass: 1 - (t.beta ?? 0) };
  if (rule !== "block") return null;
  const w = step.draft.slice(0, at).reduce((before, d) => Math.min(1, d.q > 0 ? (before * d.p) / d.q : 1), 1);
  if (w === 1) return { w, mass: 1 - (t.beta ?? 0) };
  const h = step.draft[at - 1].chance ?? 0;
  return { w, mass: (h * (1 - w)) / (1 - h) };
}

/**
 * The recorded candidates and the replacement with their share of the residual. A row is exact where p and q of its
 * token are recorded: since trace version 4 that is every candidate of both lists. Where q is not, the row is an upper
 * bound (`known` false): candidates of older traces, and a replacement that is in neither list. A drafter without a
 * distribution gives q = 1 to its token and 0 to every other, and so does temperature 0.
 * @param {DraftToken} t
 * @param {Emitted | null} emitted
 * @param {boolean} greedy
 * @param {{w: number, mass: number}} [how] as residualOf gives it
 */
export function residualRows(t, emitted, greedy, { w, mass } = { w: 1, mass: 1 - (t.beta ?? 0) }) {
  const oneHot = greedy || !t.q_top.length;
  /** @type {Map<number, number>} */
  const q = new Map();
  for (const c of t.p_top) if (c.other !== null && c.other !== undefined) q.set(c.id, c.other);
  for (const c of t.q_top) q.set(c.id, c.prob);
  q.set(t.id, t.q);
  const rows = t.p_top.map((c) => ({ id: c.id, text: c.text, p: c.prob }));
  /** @param {number} id */
  const listed = (id) => rows.some((r) => r.id === id);
  // The drafter's own candidates, where the target gives them more.
  for (const c of t.q_top) {
    const p = c.other ?? 0;
    if (!listed(c.id) && w * p > c.prob) rows.push({ id: c.id, text: c.text, p });
  }
  if (emitted && !listed(emitted.id)) rows.push({ id: emitted.id, text: emitted.text, p: emitted.p });
  const whole = Math.max(mass, 1e-12);
  return rows.map((r) => {
    const value = Math.min(1, Math.max(0, w * r.p - (q.get(r.id) ?? 0)) / whole);
    return { ...r, value, known: q.has(r.id) || oneHot };
  });
}

/**
 * Whether the record says q of every candidate of the target, as it does since trace version 4.
 * @param {DraftToken} t
 */
export function saysBoth(t) {
  return !t.q_top.length || t.p_top.every((c) => c.other !== null && c.other !== undefined);
}
