// One token under the glass: the two distributions, the draw, the residual, the article.

/** Rank of a token in words: `rank` as recorded, or where an older trace does not say it, its place in `candidates`. */
function rankOf(rank, id, candidates) {
  if (rank) return String(rank);
  if (!candidates.length) return "not recorded";
  const at = candidates.findIndex((c) => c.id === id);
  return at < 0 ? `below the ${candidates.length} recorded` : `${at + 1}`;
}

/** The pieces of the text that ends in, or holds, the token at place `at` of step `i`, and its index among them. */
function piecesAround(store, i, at) {
  const summary = store.summary();
  const kept = summary.findIndex((piece) => piece.step === i && piece.at === at);
  if (kept >= 0) return { pieces: summary.map((piece) => piece.text), index: kept };
  const before = summary.filter((piece) => piece.step < i).map((piece) => piece.text);
  const draft = store.steps[i].draft.slice(0, at + 1).map((t) => t.text);
  return { pieces: [...before, ...draft], index: before.length + at };
}

/** `act` holds what the panel can have done: `close(i, at)`, `walk(by)`, `ask(i, at)`; `count(i, at)` says which refusal
 * of how many it shows. */
function makeInspector(box, store, act) {
  let raw = false;
  let open = null;

  const name = (t) => tokenName(t.text, store.ends(t.id));

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

  function distribution(title, candidates, marks, extra) {
    const rows = candidates.map((c) => ({ ...c, value: raw ? c.raw : c.prob, marked: marks.get(c.id) }));
    for (const t of extra) {
      if (!raw && !rows.some((r) => r.id === t.id)) rows.push({ ...t, marked: marks.get(t.id) });
    }
    return bars(title, rows, candidates.length ? null : "No candidates were recorded here.");
  }

  function facts(pairs) {
    return make("dl", { class: "fl-facts" }, ...pairs.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
  }

  /** What a token is kept with: as it was recorded; under the token rule of older traces min(1, p / q). */
  function limitOf(t) {
    return t.chance ?? (store.head.rule === "token" ? (t.q > 0 ? Math.min(1, t.p / t.q) : 1) : null);
  }

  const limitName = () => (store.head.rule === "token" ? "min(1, p/q)" : "the chance of the rule");

  function gauge(t) {
    const limit = limitOf(t);
    if (limit === null) return make("p", {}, `u = ${chance(t.u)}; what it was compared with is not recorded.`);
    // Under block verification a token that fails alone may be kept by those after it.
    const passes = t.u < limit;
    const alone = passes === (t.status === "accepted") ? "" : passes ? " by itself, but the text before it fell" : " by itself, and saved by those after it";
    const words = `u = ${chance(t.u)} is ${passes ? "below" : "not below"} ${limitName()} = ${chance(limit)}${alone}: ${t.status}`;
    return make(
      "div", { class: "fl-gauge" }, make("p", {}, words),
      make("div", { class: "fl-gauge-bar", role: "img", "aria-label": words },
        make("span", { class: "fl-gauge-limit", style: `width:${100 * limit}%` }),
        make("span", { class: "fl-gauge-u", style: `left:${100 * t.u}%` })),
    );
  }

  /** The distribution that the replacement of the refused token at place `at` came from; null where there is none. */
  function residual(step, at, marks, said) {
    const t = step.draft[at];
    const how = residualOf(step, at, store.head.rule);
    if (!how || !t.p_top.length) return null;
    const greedy = store.head.temperature === 0;
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

  function draftParts(step, t) {
    const greedy = store.head.temperature === 0;
    const tested = t.status !== "ignored";
    const pairs = [["p, target", chance(t.p)], ["q, drafter", chance(t.q)]];
    if (tested) pairs.push([limitName(), chance(limitOf(t))], ["β, chance of acceptance here", chance(t.beta)]);
    pairs.push(["rank under p", rankOf(t.p_rank, t.id, t.p_top)]);
    if (t.q_top.length) pairs.push(["rank under q", rankOf(t.q_rank, t.id, t.q_top)]);
    const parts = [facts(pairs)];
    if (t.u !== null) parts.push(gauge(t));
    else if (tested && store.head.rule === "bild") parts.push(make("p", {}, `Nothing is drawn: this rule keeps a token if it is the target's first choice or -ln p is at most ${store.head.rollback}.`));
    else if (tested) parts.push(make("p", {}, "Temperature 0: nothing is drawn. A token is kept exactly if it is the target's first choice."));
    else parts.push(make("p", {}, "Never tested: p is given the rejected text before it, which the run did not follow."));
    const marks = new Map([[t.id, "drafted"]]);
    if (t.status === "rejected" && step.emitted) marks.set(step.emitted.id, "replacement");
    const when = raw ? "before temperature" : "after temperature";
    const charts = [
      distribution(`p, the target, ${when}`, t.p_top, marks, [{ id: t.id, text: t.text, value: t.p }]),
      t.q_top.length
        ? distribution(`q, the drafter, ${when}`, t.q_top, marks, [{ id: t.id, text: t.text, value: t.q }])
        : bars("q, the drafter", [{ id: t.id, text: t.text, value: t.q, marked: "drafted" }], "It copies without a distribution: q is 1 for its token and 0 for the rest."),
    ];
    const left = t.status === "rejected" ? residual(step, open.at, marks, "The replacement is drawn from it.") : null;
    if (left) charts.push(left);
    parts.push(make("div", { class: "fl-charts" }, ...charts));
    return parts;
  }

  function emittedParts(step, t) {
    const marks = new Map([[t.id, t.kind]]);
    const when = raw ? "before temperature" : "after temperature";
    const rejectedAt = step.draft.findIndex((d) => d.status === "rejected");
    const parts = [facts([["p, target", chance(t.p)], ["rank under p", rankOf(t.p_rank, t.id, t.p_top)], ["kind", t.kind]])];
    const charts = [distribution(`p, the target, ${when}`, t.p_top, marks, [{ id: t.id, text: t.text, value: t.p }])];
    const left = rejectedAt < 0 ? null : residual(step, rejectedAt, marks, `It stands in place of ${name(step.draft[rejectedAt])}.`);
    if (left) charts.push(left);
    parts.push(make("div", { class: "fl-charts" }, ...charts));
    return parts;
  }

  function source(i, at, isEnd) {
    const text = store.head.article.text;
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

  function visibleLines(text) {
    return text.split(/\r?\n/u).map(visible).join("\n");
  }

  function button(name, title, label, does) {
    const made = make("button", { type: "button", class: `fl-${name}`, "aria-label": label, title: label }, title);
    made.addEventListener("click", () => {
      does();
      (box.querySelector(`.fl-${name}:not(:disabled)`) ?? box).focus({ preventScroll: true });
    });
    return made;
  }

  function draw() {
    const { i, at } = open;
    const step = store.steps[i];
    const isDraft = at < step.draft.length;
    const t = isDraft ? step.draft[at] : step.emitted;
    const close = make("button", { type: "button", class: "fl-close", "aria-label": "Close the inspector" }, "✕");
    close.addEventListener("click", hide);
    const which = button("raw", "Before temperature", "Show p and q before temperature", () => {
      raw = !raw;
      draw();
    });
    which.setAttribute("aria-pressed", String(raw));
    const back = button("walk-back", "‹", "The rejection before, key K", () => act.walk(-1));
    const on = button("walk-on", "›", "The next rejection, key J", () => act.walk(1));
    const { words, first, last } = act.count(i, at);
    back.disabled = first;
    on.disabled = last;
    const more = [which];
    if (act.ask && isDraft && t.status !== "ignored" && store.head.rule === "token" && store.complete) {
      more.unshift(button("ask-what", "What if …", "What other settings had done with this token", () => act.ask(i, at)));
    }
    box.replaceChildren(
      make("header", {}, back, on, make("span", { class: "fl-walk-place" }, words), ...more, close),
      make("h3", {}, `Step ${i + 1}: ${step.say[at]}`),
      make("div", { class: "fl-numbers" }, ...(isDraft ? draftParts(step, t) : emittedParts(step, t))),
      source(i, at, store.ends(t.id)),
    );
    box.scrollTop = 0;
    const mark = box.querySelector("mark");
    if (mark) box.querySelector(".fl-article").scrollTop = mark.offsetTop - 40;
  }

  function show(i, at) {
    open = { i, at };
    box.hidden = false;
    draw();
  }

  function hide() {
    if (!open) return;
    const was = open;
    open = null;
    box.hidden = true;
    box.replaceChildren();
    act.close(was.i, was.at);
  }

  /** Puts the panel at the other side if it lies over `token`, which it is about. */
  function clear(token) {
    const [a, b] = [box.getBoundingClientRect(), token.getBoundingClientRect()];
    if (a.width > 0.9 * innerWidth) token.scrollIntoView({ block: "start" });
    else if (b.left < a.right && b.right > a.left && b.bottom > a.top && b.top < a.bottom) box.classList.toggle("fl-left");
  }

  return { show, hide, clear, place: () => open, isOpen: () => open !== null };
}
