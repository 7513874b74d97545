// @ts-check
// One token under the glass: the two distributions, the draw, the residual, the article.
import { sideName, sideOf, whyLost } from "./branches.js";
import { make, partOf, whyMark } from "./elements.js";
import { residualOf, residualRows, saysBoth } from "./residual.js";
import { findSource, piecesAround } from "./source.js";
import { headOf } from "./store.js";
import { chance, plural, rankOf, tokenName, visible } from "./text.js";

/** @typedef {{id: number, text: string}} Token */
/** @typedef {Token & {value: number, marked?: string, known?: boolean}} Row */
/** @typedef {Map<number, string>} Marks words beside the tokens of these ids */

/**
 * What the panel can have done, and which refusal of how many it shows.
 * @typedef {object} Acts
 * @property {(i: number, at: number) => void} close
 * @property {(by: number) => void} walk
 * @property {(i: number, at: number) => {words: string, first: boolean, last: boolean}} count
 * @property {((i: number, at: number) => void) | null} ask
 */

/**
 * @param {HTMLElement} box
 * @param {Store} store
 * @param {Acts} act
 */
export function makeInspector(box, store, act) {
  let raw = false;
  /** @type {Place | null} */
  let open = null;

  /** @param {Token} t */
  const name = (t) => tokenName(t.text, store.ends(t.id));

  /**
   * @param {string} title
   * @param {Row[]} rows
   * @param {string | null} note
   * @param {Node | null} why
   */
  function bars(title, rows, note, why = null) {
    const body = rows.map((r) =>
      make(
        "tr", { class: r.marked ? "fl-this" : null },
        make("th", { scope: "row" }, name(r), r.marked ? make("small", {}, ` ${r.marked}`) : null),
        make("td", { class: "fl-bar-cell" }, make("span", {
          class: r.known === false ? "fl-unknown" : null, style: `width:${(100 * r.value).toFixed(2)}%`,
        })),
        make("td", {}, (r.known === false ? "≤ " : "") + chance(r.value)),
      ));
    return make(
      "figure", {}, make("table", {}, make("caption", {}, title, why), make("tbody", {}, ...body)),
      note ? make("figcaption", {}, note) : null,
    );
  }

  /**
   * @param {string} title
   * @param {Candidate[]} candidates
   * @param {Marks} marks
   * @param {Row} own what is listed besides
   */
  function distribution(title, candidates, marks, own) {
    /** @type {Row[]} */
    const rows = candidates.map(({ id, text, ...c }) => ({ id, text, value: raw ? c.raw : c.prob, marked: marks.get(id) }));
    if (!raw && !rows.some((r) => r.id === own.id)) rows.push({ ...own, marked: marks.get(own.id) });
    return bars(title, rows, candidates.length ? null : "No candidates were recorded here.");
  }

  /** @param {[string, string][]} pairs */
  function facts(pairs) {
    return make("dl", { class: "fl-facts" }, ...pairs.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
  }

  /**
   * What a token is kept with: as it was recorded; under the token rule of older traces min(1, p / q).
   * @param {DraftToken} t
   */
  function limitOf(t) {
    return t.chance ?? (headOf(store).rule === "token" ? (t.q > 0 ? Math.min(1, t.p / t.q) : 1) : null);
  }

  const limitName = () => (headOf(store).rule === "token" ? "min(1, p/q)" : "the chance of the rule");

  /**
   * @param {DraftToken} t
   * @param {number} u
   */
  function gauge(t, u) {
    const limit = limitOf(t);
    if (limit === null) return make("p", {}, `u = ${chance(u)}; what it was compared with is not recorded.`);
    // Under block verification a token that fails alone may be kept by those after it.
    const passes = u < limit;
    const alone = passes === (t.status === "accepted") ? "" : passes ? " by itself, but the text before it fell" : " by itself, and saved by those after it";
    const words = `u = ${chance(u)} is ${passes ? "below" : "not below"} ${limitName()} = ${chance(limit)}${alone}: ${t.status}`;
    return make(
      "div", { class: "fl-gauge" }, make("p", {}, words),
      make("div", { class: "fl-gauge-bar", role: "img", "aria-label": words },
        make("span", { class: "fl-gauge-limit", style: `width:${100 * limit}%` }),
        make("span", { class: "fl-gauge-u", style: `left:${100 * u}%` })),
    );
  }

  /**
   * The distribution that the replacement of the refused token at place `at` came from; null where there is none.
   * @param {Step} step
   * @param {number} at
   * @param {Marks} marks
   * @param {string} said
   */
  function residual(step, at, marks, said) {
    const t = step.draft[at];
    const how = residualOf(step, at, headOf(store).rule);
    if (!how || !t.p_top.length) return null;
    const greedy = headOf(store).temperature === 0;
    const rows = residualRows(t, step.emitted, greedy, how).map((r) => ({ ...r, marked: marks.get(r.id) }));
    const known = rows.filter((r) => r.known);
    const covered = known.reduce((sum, r) => sum + r.value, 0);
    const bounds = rows.length - known.length;
    const why = saysBoth(t)
      ? "the replacement is in neither list of candidates, so that its q was not recorded"
      : "this run is older than trace version 4, which first holds q of every candidate";
    const bound = bounds ? ` Hatched: ${why}; the bar is an upper bound.` : "";
    const exact = bounds ? "Exact where not hatched" : "Exact";
    const hold = `${exact}: the recorded candidates hold ${chance(Math.min(1, covered))} of it, all other tokens the rest.`;
    return bars(
      how.w === 1 ? "Residual, norm(max(0, p − q))" : `Residual, norm(max(0, w p − q)), w = ${chance(how.w)}`, rows,
      [said, ...(known.length ? [hold] : [])].join(" ") + bound,
      whyMark("the residual", CONFIG.why.residual),
    );
  }

  /**
   * @param {Step} step
   * @param {number} at
   */
  function draftParts(step, at) {
    const t = step.draft[at];
    const tested = t.status !== "ignored";
    /** @type {[string, string][]} */
    const pairs = [["p, target", chance(t.p)], ["q, drafter", chance(t.q)]];
    if (tested) pairs.push([limitName(), chance(limitOf(t))], ["β, chance of acceptance here", chance(t.beta)]);
    pairs.push(["rank under p", rankOf(t.p_rank, t.id, t.p_top)]);
    if (t.q_top.length) pairs.push(["rank under q", rankOf(t.q_rank, t.id, t.q_top)]);
    /** @type {HTMLElement[]} */
    const parts = [facts(pairs)];
    if (t.u !== null) parts.push(gauge(t, t.u));
    else if (tested && headOf(store).rule === "bild") parts.push(make("p", {}, `Nothing is drawn: this rule keeps a token if it is the target's first choice or -ln p is at most ${headOf(store).rollback}.`));
    else if (tested && headOf(store).temperature > 0) parts.push(make("p", {}, "What was drawn here is not recorded."));
    else if (tested) parts.push(make("p", {}, "Temperature 0: nothing is drawn. A token is kept exactly if it is the target's first choice."));
    else parts.push(make("p", {}, "Never tested: p is given the rejected text before it, which the run did not follow."));
    const marks = new Map([[t.id, "drafted"]]);
    if (t.status === "rejected" && step.emitted) marks.set(step.emitted.id, "replacement");
    const when = raw ? "before temperature" : "after temperature";
    const charts = [
      distribution(`p, the target, ${when}`, t.p_top, marks, { id: t.id, text: t.text, value: t.p }),
      t.q_top.length
        ? distribution(`q, the drafter, ${when}`, t.q_top, marks, { id: t.id, text: t.text, value: t.q })
        : bars("q, the drafter", [{ id: t.id, text: t.text, value: t.q, marked: "drafted" }], "It copies without a distribution: q is 1 for its token and 0 for the rest."),
    ];
    const left = t.status === "rejected" ? residual(step, at, marks, "The replacement is drawn from it.") : null;
    if (left) charts.push(left);
    parts.push(make("div", { class: "fl-charts" }, ...charts));
    return parts;
  }

  /**
   * @param {Step} step
   * @param {Emitted} t
   */
  function emittedParts(step, t) {
    const marks = new Map([[t.id, t.kind]]);
    const when = raw ? "before temperature" : "after temperature";
    const rejectedAt = step.draft.findIndex((d) => d.status === "rejected");
    /** @type {HTMLElement[]} */
    const parts = [facts([["p, target", chance(t.p)], ["rank under p", rankOf(t.p_rank, t.id, t.p_top)], ["kind", t.kind]])];
    const charts = [distribution(`p, the target, ${when}`, t.p_top, marks, { id: t.id, text: t.text, value: t.p })];
    const left = rejectedAt < 0 ? null : residual(step, rejectedAt, marks, `It stands in place of ${name(step.draft[rejectedAt])}.`);
    if (left) charts.push(left);
    parts.push(make("div", { class: "fl-charts" }, ...charts));
    return parts;
  }

  /**
   * A guess of a tree beside the path that was followed: why it lost, and what the target would rather have there.
   * @param {Step} step
   * @param {SideToken} t
   */
  function sideParts(step, t) {
    const { words, beside } = whyLost(step, t, store.ends);
    /** @type {[string, string][]} */
    const pairs = [["p, target", chance(t.p)], ["q, drafter", chance(t.q)]];
    if (t.chance !== null) pairs.push(["chance to be kept", chance(t.chance)]);
    const marks = new Map([[t.id, "this guess"]]);
    if (beside) marks.set(beside.id, "status" in beside ? beside.status : beside.kind);
    const when = raw ? "before temperature" : "after temperature";
    const chart = beside
      ? distribution(`p, the target, ${when}`, beside.p_top, marks, { id: t.id, text: t.text, value: t.p })
      : make("p", {}, "What the target would rather have here is not recorded: the run went another way.");
    return [facts(pairs), make("p", {}, words), make("div", { class: "fl-charts" }, chart)];
  }

  /**
   * @param {number} i
   * @param {number} at
   * @param {boolean} isEnd
   */
  function source(i, at, isEnd) {
    const text = headOf(store).article.text;
    const view = make("div", { class: "fl-article", tabindex: "0", role: "region", "aria-label": "The article" });
    const { pieces, index } = piecesAround(store, i, at);
    const found = isEnd ? null : findSource(text, pieces, index);
    const said = make("p", {}, make("b", {}, "In the article: "));
    if (!text) said.append("it arrives with the end of the run.");
    else if (!found) said.append(isEnd ? "the end of the text stands nowhere in it." : "nowhere in the article.");
    else said.append(`the longest run of tokens around it that stands there has ${plural(found.last - found.first + 1, "token")}.`);
    if (!found) view.append(visibleLines(text));
    else {
      view.append(
        visibleLines(text.slice(0, found.start)),
        make("mark", {}, visibleLines(text.slice(found.start, found.end))),
        visibleLines(text.slice(found.end)),
      );
    }
    return make("div", { class: "fl-source" }, said, view);
  }

  /** @param {string} text */
  function visibleLines(text) {
    return text.split(/\r?\n/u).map(visible).join("\n");
  }

  /**
   * @param {string} name
   * @param {string} title
   * @param {string} label
   * @param {() => void} does
   */
  function button(name, title, label, does) {
    const made = make("button", { type: "button", class: `fl-${name}`, "aria-label": label, title: label }, title);
    made.addEventListener("click", () => {
      does();
      const again = box.querySelector(`.fl-${name}:not(:disabled)`);
      (again instanceof HTMLElement ? again : box).focus({ preventScroll: true });
    });
    return made;
  }

  /** @param {Place} place */
  function draw({ i, at }) {
    const step = store.steps[i];
    const isDraft = at < step.draft.length;
    const side = sideOf(step, at);
    const t = side ?? (isDraft ? step.draft[at] : step.emitted);
    if (!t) return;
    const close = make("button", { type: "button", class: "fl-close", "aria-label": "Close the inspector" }, "✕");
    close.addEventListener("click", hide);
    const which = button("raw", "Before temperature", "Show p and q before temperature", () => {
      raw = !raw;
      draw({ i, at });
    });
    which.setAttribute("aria-pressed", String(raw));
    const back = button("walk-back", "‹", "The rejection before, key K", () => act.walk(-1));
    const on = button("walk-on", "›", "The next rejection, key J", () => act.walk(1));
    const { words, first, last } = act.count(i, at);
    back.disabled = first;
    on.disabled = last;
    const more = [which];
    const { ask } = act;
    if (ask && isDraft && step.draft[at].status !== "ignored" && headOf(store).rule === "token" && store.complete) {
      more.unshift(button("ask-what", "What if …", "What other settings had done with this token", () => ask(i, at)));
    }
    box.replaceChildren(
      make("header", {}, back, on, make("span", { class: "fl-walk-place" }, words), ...more, close),
      make("h3", {}, `Step ${i + 1}: ${side ? sideName(side, store.ends) : step.say[at]}`),
      make("div", { class: "fl-numbers" }, ...("parent" in t ? sideParts(step, t) : "status" in t ? draftParts(step, at) : emittedParts(step, t))),
      // Where a text stands that was never written is no question.
      ...(side ? [] : [source(i, at, store.ends(t.id))]),
    );
    box.scrollTop = 0;
    const mark = box.querySelector("mark");
    if (mark) partOf(box, ".fl-article").scrollTop = mark.offsetTop - 40;
  }

  /**
   * @param {number} i
   * @param {number} at
   */
  function show(i, at) {
    open = { i, at };
    box.hidden = false;
    draw(open);
    makeRoom();
  }

  function hide() {
    if (!open) return;
    const was = open;
    open = null;
    box.hidden = true;
    box.replaceChildren();
    act.close(was.i, was.at);
  }

  const isSheet = () => box.offsetWidth > 0.9 * innerWidth;

  /** The panel begins below Run where that is in the upper half of the window; a sheet begins below it anyway. */
  function makeRoom() {
    const run = document.querySelector("#run")?.getBoundingClientRect();
    box.style.top = run && !isSheet() && run.bottom > 0 && run.bottom < innerHeight / 2 ? `${run.bottom + 8}px` : "";
  }
  for (const moved of ["scroll", "resize"]) addEventListener(moved, () => open && makeRoom(), { passive: true });

  /**
   * Puts the panel at the other side if it lies over `token`, which it is about; from under a sheet the token is moved.
   * @param {HTMLElement} token
   */
  function clear(token) {
    const [a, b] = [box.getBoundingClientRect(), token.getBoundingClientRect()];
    if (b.left >= a.right || b.right <= a.left || b.bottom <= a.top || b.top >= a.bottom) return;
    if (isSheet()) token.scrollIntoView({ block: "start" });
    else box.classList.toggle("fl-left");
  }

  return { show, hide, clear, place: () => open, isOpen: () => open !== null };
}
