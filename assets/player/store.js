// The steps of one run as they were received. Holds no DOM.

/** Appends what is new of `items`, whose first is number `from`; -1 where something before them is missing. */
function appendFrom(list, from, items) {
  if (from > list.length) return -1;
  const fresh = items.slice(list.length - from);
  list.push(...fresh);
  return fresh.length;
}

function makeStore() {
  const store = { run: null, gaps: 0 };

  function reset(run) {
    Object.assign(store, { run, head: null, steps: [], plain: [], rejections: [], state: "ready", complete: false });
    store.gaps = 0;
  }

  /** Takes a message in. A message that came after a lost one is left: the last message of a run carries all of it. */
  function accept(message) {
    if (message.run !== store.run) reset(message.run);
    if (store.complete) return;
    if (message.head) store.head = message.head;
    store.state = message.state;
    if (message.steps && appendFrom(store.steps, message.from, message.steps) < 0) store.gaps += 1;
    if (message.plain && appendFrom(store.plain, message.plain_from, message.plain) < 0) store.gaps += 1;
    if (message.rejections) store.rejections = message.rejections;
    if (message.complete) store.complete = true;
  }

  /** The run as a trace, in the form that fastllm/trace.py reads: without what messages say besides it. */
  function trace() {
    const without = (value, names) => Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));
    const plain = store.head.plain && { ...store.head.plain, steps: store.plain };
    const steps = store.steps.map((step) => without(step, CONFIG.fields.step));
    return { ...without(store.head, CONFIG.fields.head), steps, plain };
  }

  /** Whether a token of this id ends the text. */
  const ends = (id) => Boolean(store.head?.eos_ids?.includes(id));

  /** Texts of the summary's tokens, and for each the step and place in the step that it came from. */
  function summary() {
    const found = [];
    store.steps.forEach((step, i) => {
      step.draft.forEach((t, j) => t.status === "accepted" && found.push({ id: t.id, text: t.text, step: i, at: j }));
      if (step.emitted) found.push({ id: step.emitted.id, text: step.emitted.text, step: i, at: step.draft.length });
    });
    return found;
  }

  reset(null);
  return Object.assign(store, { accept, trace, summary, ends });
}

/** The text that was deflated and written in base64. */
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
