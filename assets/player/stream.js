// @ts-check
// Draws the steps that are shown, in one of three views. Forward appends, back removes: no step is drawn twice.
import { make, partOf } from "./elements.js";
import { branchFold } from "./folds.js";
import { goesOn, tokenName, visible } from "./text.js";

export const VIEWS = ["stream", "calls", "text"];
const SO_FAR = 90; // letters of the text so far under each call

/**
 * The drawn tokens in `list`, or those that `which` selects.
 * @param {HTMLElement} list
 */
const tokensIn = (list, which = "") => /** @type {HTMLElement[]} */ ([...list.querySelectorAll(`.fl-tok${which}`)]);

/**
 * @param {HTMLElement} box
 * @param {Store} store
 */
export function makeStream(box, store) {
  const list = partOf(box, ".fl-stream");
  /** @type {{node: HTMLElement, judged: boolean}[]} for each step shown */
  const drawn = [];
  /** @type {HTMLElement | null} */
  let roving = null;
  let view = "stream";

  /**
   * @param {{id: number, text: string}} t
   * @param {number} i
   * @param {number} at
   * @param {string} status
   * @param {string} label
   */
  function token({ id, text }, i, at, status, label) {
    const isEnd = store.ends(id);
    const body = isEnd
      ? make("span", { class: "fl-end" }, "end of text")
      : visible(text.replace(/^ +| +$/g, "")) || "␣";
    const glyph = CONFIG.statuses[status]?.glyph;
    // Joined to what is before it: not the end of the text, and not what stands in another token's place.
    const joined = !isEnd && goesOn(text) && (i > 0 || at > 0) && status !== "resampled";
    return make(
      "span",
      {
        class: `fl-tok fl-${status}${joined ? " fl-joined" : ""}`, role: "button", tabindex: "-1", title: label,
        "aria-label": label, "data-step": i, "data-at": at,
      },
      glyph ? make("i", { "aria-hidden": "true" }, glyph) : null,
      body,
    );
  }

  /**
   * The tokens of step `i` that are seen: its draft alone, or judged and with the target's own token.
   * @param {number} i
   * @param {boolean} judged
   * @returns {{text: string, node: HTMLElement}[]}
   */
  function tokens(i, judged) {
    const step = store.steps[i];
    const found = step.draft.map((t, at) => {
      const name = tokenName(t.text, store.ends(t.id));
      const [status, label] = judged
        ? [t.status, step.say[at]]
        : ["draft", `${name}, drafted: will it be the first to be rejected?`];
      return { text: t.text, node: token(t, i, at, status, label) };
    });
    if (judged && step.emitted) {
      const at = step.draft.length;
      found.push({ text: step.emitted.text, node: token(step.emitted, i, at, step.emitted.kind, step.say[at]) });
    }
    return found;
  }

  /**
   * A call as three lines: what was guessed, what became of it, and the text so far.
   * @param {number} i
   * @param {boolean} judged
   * @param {ReturnType<typeof tokens>} found
   */
  function callLines(i, judged, found) {
    const { draft } = store.steps[i];
    const cells = draft.map((t) => make("span", { class: "fl-guess" }, store.ends(t.id) ? "end of text" : visible(t.text.trim()) || "␣"));
    const lines = [make("span", { class: "fl-line-name" }, "guess"), ...cells];
    if (judged && store.steps[i].emitted) lines.push(make("span", {}));
    lines.push(make("span", { class: "fl-line-name" }, judged ? "verdict" : ""), ...found.map((t) => t.node));
    const grid = make("span", { class: "fl-call", style: `--places:${Math.max(1, found.length)}` }, ...lines);
    const seen = store.summary().filter((t) => t.step < i + (judged ? 1 : 0) && !store.ends(t.id));
    const kept = seen.map((t) => t.text).join("").trim();
    const text = kept.length > SO_FAR ? `… ${kept.slice(-SO_FAR)}` : kept;
    return [grid, make("span", { class: "fl-so-far" }, make("span", { class: "fl-unseen" }, "Text so far: "), visible(text))];
  }

  /**
   * The mark that hides the refused guesses of a call in the clean text, and opens them.
   * @param {number} i
   * @param {number} refused
   * @param {HTMLElement} node
   */
  function foldMark(i, refused, node) {
    const words = `${refused} refused ${refused === 1 ? "guess" : "guesses"} in call ${i + 1}`;
    const mark = make("button", { type: "button", class: "fl-fold", "aria-expanded": "false", "aria-label": words, title: words }, `×${refused}`);
    mark.addEventListener("click", () => mark.setAttribute("aria-expanded", String(node.classList.toggle("fl-unfolded"))));
    return mark;
  }

  /**
   * @param {number} i
   * @param {boolean} judged
   */
  function draw(i, judged) {
    const number = make("span", { class: "fl-step", "aria-hidden": "true" }, String(i + 1));
    const node = make("span", { class: "fl-group", role: "listitem", "aria-label": `Target call ${i + 1}` });
    if (view === "stream") node.append(" ");
    node.append(number);
    const found = tokens(i, judged);
    const side = judged ? branchFold(store.steps[i], i, store.ends) : null;
    if (view === "calls") {
      node.append(...callLines(i, judged, found));
      if (side) node.append(side);
      return { node, judged };
    }
    if (i > 0 && found[0]?.node.classList.contains("fl-joined")) node.classList.add("fl-goes-on");
    const refused = found.filter((t) => t.node.matches(".fl-rejected, .fl-ignored")).length;
    for (const t of found) {
      const apart = t.text.startsWith(" ") || t.node.querySelector(".fl-end") ? [" "] : [];
      if (view === "text" && t.node.matches(".fl-rejected, .fl-ignored")) {
        // Where the kept part ends the mark stands: before the first refused token. Spaces are hidden with the tokens.
        if (t.node.matches(".fl-rejected")) node.append(foldMark(i, refused, node));
        node.append(make("span", { class: "fl-folded" }, ...apart, t.node));
      } else node.append(...apart, t.node);
    }
    if (side) node.append(" ", side);
    return { node, judged };
  }

  /**
   * Shows `halves` half steps: two for each judged step, one more for the draft of the next, unjudged.
   * @param {number} halves
   */
  function show(halves) {
    const whole = Math.floor(halves / 2);
    const wanted = whole + (halves % 2);
    const held = list.contains(document.activeElement);
    drawn[drawn.length - 1]?.node.classList.remove("fl-now");
    while (drawn.length && (drawn.length > wanted || drawn[drawn.length - 1].judged !== drawn.length <= whole)) {
      drawn.pop()?.node.remove();
    }
    const fresh = document.createDocumentFragment();
    for (let i = drawn.length; i < wanted; i++) {
      drawn.push(draw(i, i < whole));
      fresh.append(drawn[i].node);
    }
    list.append(fresh);
    drawn[drawn.length - 1]?.node.classList.add("fl-now");
    if (!roving?.isConnected) setRoving(tokensIn(list)[0] ?? null);
    if (held && !list.contains(document.activeElement)) box.focus({ preventScroll: true });
  }

  /**
   * Draws what is shown in another of VIEWS.
   * @param {string} name
   * @param {number} halves
   */
  function look(name, halves) {
    view = name;
    for (const one of VIEWS) list.classList.toggle(`fl-view-${one}`, one === name);
    clear();
    show(halves);
  }

  /** @param {HTMLElement | null} node */
  function setRoving(node) {
    if (roving) roving.tabIndex = -1;
    roving = node;
    if (roving) roving.tabIndex = 0;
  }

  /**
   * Moves the focus by `by` tokens, over those that are seen.
   * @param {number} by
   */
  function move(by) {
    const all = tokensIn(list).filter((n) => n.getClientRects().length);
    const at = all.findIndex((n) => n === document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) focus(next);
  }

  /** @param {HTMLElement} node */
  function focus(node) {
    if (node.matches(".fl-tok")) setRoving(node);
    node.focus();
  }

  /**
   * The token at place `at` of a step, or the line of a guess beside the path.
   * @param {number} step
   * @param {number} at
   * @returns {HTMLElement | null}
   */
  function find(step, at) {
    return list.querySelector(`:is(.fl-tok, .fl-side)[data-step="${step}"][data-at="${at}"]`);
  }

  /**
   * Marks the token that is inspected; without one, none.
   * @param {number} [step]
   * @param {number} [at]
   */
  function mark(step, at) {
    list.querySelectorAll("[aria-pressed]").forEach((n) => n.removeAttribute("aria-pressed"));
    if (step !== undefined && at !== undefined) find(step, at)?.setAttribute("aria-pressed", "true");
  }

  function clear() {
    drawn.length = 0;
    list.replaceChildren();
    setRoving(null);
  }

  return { show, look, clear, move, focus, find, mark, list };
}
