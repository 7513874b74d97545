// Texts of tokens and numbers as people read them. Pure.

/** `text` with line breaks shown and every other control or direction character replaced (as render.visible does). */
function visible(text) {
  return String(text)
    .replace(/[\n\r\u2028\u2029]/gu, "⏎")
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/gu, (c) => (c === "\u200c" || c === "\u200d" ? c : "\ufffd"));
}

/** A token as words name it: in quotes, or `end of text`. */
function tokenName(text, isEnd) {
  return isEnd ? "end of text" : `'${visible(text.replace(/^ +| +$/g, "")) || "space"}'`;
}

/** A probability in three digits that never rounds to certainty. */
function chance(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.0005) return value.toExponential(1);
  if (value > 0.9995 && value < 1) return "over 0.999";
  return String(Number(value.toFixed(3)));
}

function milliseconds(seconds) {
  return seconds < 1 ? `${Math.round(1e3 * seconds)} ms` : `${seconds.toFixed(2)} s`;
}

function plural(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

/** A question mark that opens one sentence about `name`: by pointer, touch or keyboard (as render.why_html does). */
function whyMark(name, sentence) {
  const mark = make("summary", { "aria-label": `What is ${name}?` }, "?");
  return make("details", { class: "fl-why", name: "fl-why" }, mark, make("p", {}, sentence));
}

/** An element with attributes and children; every string becomes a text node, so no data is ever parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}
