// One token under the glass: the two distributions, the draw, the residual, the article.

/** Rank of token `id` among `candidates`, which are in the order of raw probability, in words. */
function rankOf(id, candidates) {
  if (!candidates.length) return "not recorded";
  const at = candidates.findIndex((c) => c.id === id);
  return at < 0 ? `below the ${candidates.length} recorded` : `${at + 1}`;
}

/**
 * What a rejected token `t` was replaced from, norm(max(0, p - q)), for the recorded candidates and the replacement.
 * The sum of max(0, p - q) over the vocabulary is 1 - beta, so a row is exact where q is known; where it is not, q is
 * below the recorded ones and the row is an upper bound. A one-hot q is 0 for every other token.
 */
function residualRows(t, emitted, greedy) {
  const oneHot = greedy || !t.q_top.length;
  const q = new Map([...t.q_top.map((c) => [c.id, c.prob]), [t.id, t.q]]);
  const rows = t.p_top.map((c) => ({ id: c.id, text: c.text, p: c.prob }));
  if (emitted && !rows.some((r) => r.id === emitted.id)) rows.push({ id: emitted.id, text: emitted.text, p: emitted.p });
  const mass = Math.max(1 - (t.beta ?? 0), 1e-12);
  return rows.map((r) => {
    const known = q.has(r.id) || oneHot;
    const value = Math.min(1, Math.max(0, r.p - (q.get(r.id) ?? 0)) / mass);
    return { ...r, value, known };
  });
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

function makeInspector(box, store, onClose) {
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

  function gauge(t) {
    const limit = t.q > 0 ? Math.min(1, t.p / t.q) : 1;
    const words = `u = ${chance(t.u)} is ${t.u * t.q < t.p ? "below" : "not below"} min(1, p/q) = ${chance(limit)}: ${t.status}`;
    return make(
      "div", { class: "fl-gauge" }, make("p", {}, words),
      make("div", { class: "fl-gauge-bar", role: "img", "aria-label": words },
        make("span", { class: "fl-gauge-limit", style: `width:${100 * limit}%` }),
        make("span", { class: "fl-gauge-u", style: `left:${100 * t.u}%` })),
    );
  }

  function draftParts(step, t) {
    const greedy = store.head.temperature === 0;
    const tested = t.status !== "ignored";
    const limit = t.q > 0 ? Math.min(1, t.p / t.q) : 1;
    const pairs = [["p, target", chance(t.p)], ["q, drafter", chance(t.q)], ["min(1, p/q)", chance(limit)]];
    if (tested) pairs.push(["β, chance of acceptance here", chance(t.beta)]);
    pairs.push(["rank under p", rankOf(t.id, t.p_top)]);
    const parts = [facts(pairs)];
    if (t.u !== null) parts.push(gauge(t));
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
    if (t.status === "rejected" && t.p_top.length) {
      const rows = residualRows(t, step.emitted, greedy).map((r) => ({ ...r, marked: marks.get(r.id) }));
      const covered = rows.filter((r) => r.known).reduce((sum, r) => sum + r.value, 0);
      const unknown = rows.some((r) => !r.known) ? " Hatched: q was not recorded, so this is an upper bound." : "";
      charts.push(bars(
        "Residual, norm(max(0, p − q))", rows,
        `The replacement is drawn from it. Only recorded candidates are shown; those with a known q hold ${chance(Math.min(1, covered))} of it.${unknown}`,
        whyMark("the residual", CONFIG.why.residual),
      ));
    }
    parts.push(make("div", { class: "fl-charts" }, ...charts));
    return parts;
  }

  function emittedParts(step, t) {
    const marks = new Map([[t.id, t.kind]]);
    const when = raw ? "before temperature" : "after temperature";
    const rejectedAt = step.draft.findIndex((d) => d.status === "rejected");
    const parts = [facts([["p, target", chance(t.p)], ["rank under p", rankOf(t.id, t.p_top)], ["kind", t.kind]])];
    const charts = [distribution(`p, the target, ${when}`, t.p_top, marks, [{ id: t.id, text: t.text, value: t.p }])];
    if (rejectedAt >= 0) {
      const rejected = step.draft[rejectedAt];
      const rows = residualRows(rejected, t, store.head.temperature === 0).map((r) => ({ ...r, marked: marks.get(r.id) }));
      if (rejected.p_top.length) charts.push(bars("Residual it was drawn from", rows, `It stands in place of ${name(rejected)}; only recorded candidates are shown.`));
    }
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

  function draw() {
    const { i, at } = open;
    const step = store.steps[i];
    const isDraft = at < step.draft.length;
    const t = isDraft ? step.draft[at] : step.emitted;
    const close = make("button", { type: "button", class: "fl-close", "aria-label": "Close the inspector" }, "✕");
    close.addEventListener("click", hide);
    const which = make("button", { type: "button", class: "fl-raw", "aria-pressed": String(raw) }, "Before temperature");
    which.addEventListener("click", () => {
      raw = !raw;
      draw();
      box.querySelector(".fl-raw").focus();
    });
    box.replaceChildren(
      make("header", {}, make("h3", {}, `Step ${i + 1}: ${step.say[at]}`), which, close),
      make("div", { class: "fl-inspected" },
        make("div", { class: "fl-numbers" }, ...(isDraft ? draftParts(step, t) : emittedParts(step, t))),
        source(i, at, store.ends(t.id))),
    );
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
    onClose(was.i, was.at);
  }

  return { show, hide, isOpen: () => open !== null };
}
