// What the page's address says of the player: the recorded run that is open, and the step at which it is paused.

const inAddress = (name) => new URLSearchParams(location.search).get(name);

/** Writes `values` into the address; what is null goes out of it. Nothing where the page has no address of its own. */
function keepInAddress(values) {
  if (CONFIG.alone || !location.protocol.startsWith("http")) return;
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  if (query.toString() === new URLSearchParams(location.search).toString()) return;
  history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
}

/** The step that a link names, from 1; null where it names none. Pure. */
function stepNamed(text) {
  return /^[0-9]{1,4}$/u.test(text ?? "") ? Number(text) : null;
}
