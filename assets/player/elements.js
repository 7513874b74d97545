// @ts-check
// Elements made and found.

/**
 * An element with attributes and children; every string becomes a text node, so no data is ever parsed as HTML.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes] true: without a value; false, null
 *   and undefined: left out
 * @param {...(Node | string | null | undefined)} children
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

/**
 * A question mark that opens one sentence about `name`: by pointer, touch or keyboard (as render.why_html does).
 * @param {string} name
 * @param {string} sentence
 */
export function whyMark(name, sentence) {
  const mark = make("summary", { "aria-label": `What is ${name}?` }, "?");
  return make("details", { class: "fl-why", name: "fl-why" }, mark, make("p", {}, sentence));
}

/**
 * The first element of `box` that `selector` names. It is of our own markup: that it is there, and of class `kind`, is
 * no question of data.
 * @template {Element} T
 * @param {ParentNode} box
 * @param {string} selector
 * @param {new () => T} kind
 */
export function one(box, selector, kind) {
  const found = box.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`The player's markup has no ${kind.name} ${selector}.`);
  return found;
}

/**
 * @param {ParentNode} box
 * @param {string} selector
 */
export const partOf = (box, selector) => one(box, selector, HTMLElement);
/**
 * @param {ParentNode} box
 * @param {string} selector
 */
export const inputOf = (box, selector) => one(box, selector, HTMLInputElement);
/**
 * @param {ParentNode} box
 * @param {string} selector
 */
export const buttonOf = (box, selector) => one(box, selector, HTMLButtonElement);
