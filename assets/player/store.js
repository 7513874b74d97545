// @ts-check
// The steps of one run as they were received. Holds no DOM.

/**
 * Appends what is new of `items`, whose first is number `from`; -1 where something before them is missing.
 * @template T
 * @param {T[]} list
 * @param {number} from
 * @param {T[]} items
 */
function appendFrom(list, from, items) {
  if (from > list.length) return -1;
  const fresh = items.slice(list.length - from);
  list.push(...fresh);
  return fresh.length;
}

/**
 * `value` without the fields of these names.
 * @param {object} value
 * @param {string[]} names
 */
const without = (value, names) => Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

/**
 * `fields` are those of fields.json: what messages say besides a trace.
 * @param {{head: string[], step: string[]}} fields
 * @returns {Store}
 */
export function makeStore(fields) {
  /** @param {string | null} run */
  const empty = (run) => ({ run, head: null, steps: [], plain: [], rejections: [], state: "ready", complete: false, gaps: 0 });

  /** @type {Store} */
  const store = {
    ...empty(null),

    /** Takes a message in. A message that came after a lost one is left: the last message of a run carries all of it. */
    accept(message) {
      if (message.run !== store.run) Object.assign(store, empty(message.run));
      if (store.complete) return;
      if (message.head) store.head = message.head;
      store.state = message.state;
      if (message.steps && appendFrom(store.steps, message.from ?? 0, message.steps) < 0) store.gaps += 1;
      if (message.plain && appendFrom(store.plain, message.plain_from ?? 0, message.plain) < 0) store.gaps += 1;
      if (message.rejections) store.rejections = message.rejections;
      if (message.complete) store.complete = true;
    },

    /** The run as a trace, in the form that fastllm/trace.py reads: without what messages say besides it. */
    trace() {
      const head = headOf(store);
      const plain = head.plain && { ...head.plain, steps: store.plain };
      return { ...without(head, fields.head), steps: store.steps.map((step) => without(step, fields.step)), plain };
    },

    ends: (id) => Boolean(store.head?.eos_ids?.includes(id)),

    summary() {
      /** @type {Piece[]} */
      const found = [];
      store.steps.forEach((step, i) => {
        step.draft.forEach((t, j) => t.status === "accepted" && found.push({ id: t.id, text: t.text, step: i, at: j }));
        if (step.emitted) found.push({ id: step.emitted.id, text: step.emitted.text, step: i, at: step.draft.length });
      });
      return found;
    },
  };
  return store;
}

/**
 * The settings of the run that is held; for what is done only with a run.
 * @param {Store} store
 */
export function headOf(store) {
  if (!store.head) throw new Error("There is no run yet.");
  return store.head;
}

/**
 * The text that was deflated and written in base64.
 * @param {string} packed
 */
export async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
