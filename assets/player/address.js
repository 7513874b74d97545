// @ts-check
// What the page's address says of the player: the recorded run that is open, and the step at which it is paused.

/** @param {string} name */
export const inAddress = (name) => new URLSearchParams(location.search).get(name);

/**
 * The query `search` with `values` in it, without the question mark; what is null goes out of it. null where that changes
 * nothing. Pure.
 * @param {string} search
 * @param {Record<string, string | number | null>} values
 */
export function queryWith(search, values) {
  const query = new URLSearchParams(search);
  for (const [name, value] of Object.entries(values)) {
    if (value === null) query.delete(name);
    else query.set(name, String(value));
  }
  return query.toString() === new URLSearchParams(search).toString() ? null : query.toString();
}

/**
 * Writes `values` into the address. Nothing where the page has no address of its own.
 * @param {Record<string, string | number | null>} values
 */
export function keepInAddress(values) {
  if (CONFIG.alone || !location.protocol.startsWith("http")) return;
  const query = queryWith(location.search, values);
  if (query !== null) history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
}

/**
 * The step that a link names, from 1; null where it names none. Pure.
 * @param {string | null | undefined} text
 */
export function stepNamed(text) {
  return /^[0-9]{1,4}$/u.test(text ?? "") ? Number(text) : null;
}
