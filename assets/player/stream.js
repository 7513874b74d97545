// Draws the steps that are shown. Forward appends, back removes: no step is drawn twice.

function makeStream(box, store) {
  const list = box.querySelector(".fl-stream");
  const drawn = []; // {node, judged} for each step shown
  let roving = null;

  function token(step, i, at, status, text, label) {
    const isEnd = store.ends((at < step.draft.length ? step.draft[at] : step.emitted).id);
    const body = isEnd
      ? make("span", { class: "fl-end" }, "end of text")
      : visible(text.replace(/^ +| +$/g, "")) || "␣";
    const glyph = CONFIG.statuses[status]?.glyph;
    return make(
      "span",
      {
        class: `fl-tok fl-${status}`, role: "button", tabindex: "-1", title: label, "aria-label": label,
        "data-step": i, "data-at": at,
      },
      glyph ? make("i", { "aria-hidden": "true" }, glyph) : null,
      body,
    );
  }

  function draw(i, judged) {
    const step = store.steps[i];
    const number = make("span", { class: "fl-step", "aria-hidden": "true" }, String(i + 1));
    const node = make("span", { class: "fl-group", role: "listitem", "aria-label": `Target call ${i + 1}` }, " ", number);
    const add = (text, piece) => {
      const isEnd = piece.querySelector(".fl-end");
      if (text.startsWith(" ") || isEnd) node.append(" ");
      node.append(piece);
    };
    step.draft.forEach((t, at) => {
      const name = tokenName(t.text, store.ends(t.id));
      if (judged) add(t.text, token(step, i, at, t.status, t.text, step.say[at]));
      else add(t.text, token(step, i, at, "draft", t.text, `${name}, drafted: will it be the first to be rejected?`));
    });
    if (judged && step.emitted) {
      const at = step.draft.length;
      add(step.emitted.text, token(step, i, at, step.emitted.kind, step.emitted.text, step.say[at]));
    }
    const side = judged && branches(step, store.ends);
    if (side) node.append(" ", side);
    return { node, judged };
  }

  /** Shows `halves` half steps: two for each judged step, one more for the draft of the next, unjudged. */
  function show(halves) {
    const whole = Math.floor(halves / 2);
    const wanted = whole + (halves % 2);
    const held = list.contains(document.activeElement);
    drawn[drawn.length - 1]?.node.classList.remove("fl-now");
    while (drawn.length && (drawn.length > wanted || drawn[drawn.length - 1].judged !== drawn.length <= whole)) {
      drawn.pop().node.remove();
    }
    const fresh = document.createDocumentFragment();
    for (let i = drawn.length; i < wanted; i++) {
      drawn.push(draw(i, i < whole));
      fresh.append(drawn[i].node);
    }
    list.append(fresh);
    drawn[drawn.length - 1]?.node.classList.add("fl-now");
    if (!roving?.isConnected) setRoving(list.querySelector(".fl-tok"));
    if (held && !list.contains(document.activeElement)) box.focus({ preventScroll: true });
  }

  function setRoving(node) {
    if (roving) roving.tabIndex = -1;
    roving = node;
    if (roving) roving.tabIndex = 0;
  }

  /** Moves the focus by `by` tokens. */
  function move(by) {
    const all = [...list.querySelectorAll(".fl-tok")];
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) focus(next);
  }

  function focus(node) {
    setRoving(node);
    node.focus();
  }

  function find(step, at) {
    return list.querySelector(`.fl-tok[data-step="${step}"][data-at="${at}"]`);
  }

  /** Marks the token that is inspected. */
  function mark(step, at) {
    list.querySelectorAll("[aria-pressed]").forEach((n) => n.removeAttribute("aria-pressed"));
    if (step !== null) find(step, at)?.setAttribute("aria-pressed", "true");
  }

  function clear() {
    drawn.length = 0;
    list.replaceChildren();
    setRoving(null);
  }

  return { show, clear, move, focus, find, mark, list };
}
