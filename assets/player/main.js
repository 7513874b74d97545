// @ts-check
// Wires the parts together. Runs once, when Gradio has put the component on the page.
import { inAddress, keepInAddress, stepNamed } from "./address.js";
import { makePlaces, makeTimeline } from "./charts.js";
import { buttonOf, inputOf, make, partOf, whyMark } from "./elements.js";
import { makeFiles } from "./files.js";
import { makeInspector } from "./inspector.js";
import { makeLead } from "./lead.js";
import { SPEEDS, makePlayback } from "./playback.js";
import { makePredict } from "./predict.js";
import { makeRace } from "./race.js";
import { ownerOf } from "./sentences.js";
import { makeSpeech } from "./speech.js";
import { headOf, makeStore, unpack } from "./store.js";
import { VIEWS, makeStream } from "./stream.js";
import { makeTable } from "./table.js";
import { plural } from "./text.js";
import { makeVisit } from "./visit.js";
import { nextRefusal, refusals } from "./walk.js";

const root = partOf(element, ".fl-player");
root.innerHTML = SKELETON; // our own file assets/player/player.html, no data
/** @param {string} selector */
const part = (selector) => partOf(root, selector);
/** @param {string} selector */
const pressing = (selector) => buttonOf(root, selector);
const store = makeStore(CONFIG.fields);
const stream = makeStream(part(".fl-stream-box"), store);
const predict = makePredict(part(".fl-predict"), inputOf(root, ".fl-predict-on"), () => Boolean(store.head?.nodes));
const lead = makeLead(part(".fl-lead"), store);
const speech = makeSpeech(part(".fl-said"), store);
const playback = makePlayback(store, predict.on, lead.stays, show);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const inspector = makeInspector(part(".fl-inspector"), store, {
  close(i, at) {
    stream.mark();
    const token = stream.find(i, at);
    if (token) stream.focus(token);
  },
  walk,
  count(i, at) {
    const found = toWalk();
    const n = found.findIndex((r) => r.i === i && r.at === at);
    const words = n < 0 ? plural(found.length, "rejection") : `Rejection ${n + 1} of ${found.length}`;
    return { words, first: !nextRefusal(found, { i, at }, -1), last: !nextRefusal(found, { i, at }, 1) };
  },
  ask: CONFIG.alone ? null : (i, at) => trigger("what_if", { text: JSON.stringify(store.trace()), step: i, offset: at }),
});
const table = makeTable(part(".fl-rejections"), store, inspect);
const files = makeFiles(part(".fl-files"), store, openRecording);
const visit = makeVisit(part(".fl-visit"), store, (text) => trigger("open_trace", { text }));
const race = makeRace(part(".fl-racing"));
const places = makePlaces(part(".fl-places"));
const timeline = makeTimeline(part(".fl-timeline"));
const figures = CONFIG.figures.map((f) => {
  const value = document.createTextNode("–");
  const below = make("small", {}, " ");
  const name = make("dt", {}, f.name, whyMark(f.name, f.why));
  part(".fl-tiles").append(make("div", { class: "fl-tile" }, name, make("dd", {}, value, below)));
  return { value, below };
});
part(".fl-lossy").append(CONFIG.lossy);
let wanted = stepNamed(inAddress("step")); // the step that a link opens, until it is reached
/** @type {string | null} the packaged recording that was asked for */
let opened = null;
let explained = false; // whether a run of this visit has begun with its explanation
let begun = true; // whether the run that was asked for has been heard of

/** @param {string} name */
function openRecording(name) {
  opened = name;
  trigger("open_recording", { name });
}

/**
 * @param {number} i
 * @param {number} at
 */
function inspect(i, at) {
  if (playback.state.halves < 2 * (i + 1)) playback.seek(i + 1);
  else playback.pause();
  stream.mark(i, at);
  inspector.show(i, at);
  const token = stream.find(i, at);
  token?.scrollIntoView({ block: "nearest" });
  if (token) inspector.clear(token);
  part(".fl-inspector").focus({ preventScroll: true });
}

/** The refused tokens that may be walked to: while the viewer predicts, those whose verdict is seen. */
function toWalk() {
  return refusals(store.steps, predict.on() ? Math.floor(playback.state.halves / 2) : store.steps.length);
}

/** @param {number} by */
function walk(by) {
  const next = nextRefusal(toWalk(), inspector.place(), by);
  if (next) inspect(next.i, next.at);
}

/** @param {HTMLElement} token */
function chosen(token) {
  const [i, at] = [Number(token.dataset.step), Number(token.dataset.at)];
  if (!token.classList.contains("fl-draft")) inspect(i, at);
  else if (predict.on()) guess(at);
}

/** @param {number} at */
function guess(at) {
  const i = Math.floor(playback.state.halves / 2);
  if (predict.guess(i, store.steps[i], at)) playback.reveal();
}

function show() {
  const { halves, playing } = playback.state;
  const whole = Math.floor(halves / 2);
  const count = store.steps.length;
  stream.show(halves);
  lead.show(halves);
  speech.at(whole, playing);
  predict.show(halves, store.steps, store.ends);
  for (const draw of [race, places, timeline]) draw(store, whole);
  const now = whole ? store.steps[whole - 1].figures : null;
  figures.forEach((f, n) => {
    f.value.data = now ? now[n][0] : "–";
    f.below.textContent = now ? now[n][1] : " ";
  });
  part(".fl-place").textContent = `Step ${whole} of ${count}${store.complete || !count ? "" : " so far"}`;
  const scrub = inputOf(root, ".fl-scrub input");
  scrub.max = String(count);
  scrub.value = String(whole);
  scrub.setAttribute("aria-valuetext", part(".fl-place").textContent ?? "");
  const play = part("[data-do=play]");
  play.textContent = playing ? "❚❚" : "▶";
  play.setAttribute("aria-label", playing ? "Pause" : "Play");
  for (const name of ["play", "end"]) pressing(`[data-do=${name}]`).disabled = !count;
  pressing("[data-do=step]").disabled = halves >= playback.limit();
  pressing("[data-do=back]").disabled = halves === 0;
  root.classList.toggle("fl-has-run", store.run !== null);
  part(".fl-lead-again").hidden = lead.state.on || !count;
  noteStep();
  root.classList.toggle("fl-awaits", playing && !store.complete && halves >= playback.limit());
  // What is below the stream would give the answers away.
  document.querySelector("#fastllm")?.classList.toggle("fl-veiled", predict.on() && count > 0 && !(store.complete && halves >= playback.limit()));
}

function showRun() {
  const banner = part(".fl-banner");
  banner.textContent = store.head ? ownerOf(store.head) : "";
  banner.title = banner.textContent;
  banner.classList.toggle("fl-recorded-run", Boolean(store.head?.recorded));
  pressing(".fl-to-lab").disabled = !store.head?.article.text;
  part(".fl-lossy-note").hidden = store.head?.lossless !== false;
  table.show();
  files.show();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let noting;

/** The address names the step at which a whole run is paused, once the playhead rests. */
function noteStep() {
  clearTimeout(noting);
  if (!store.run || wanted !== null) return;
  noting = setTimeout(() => {
    const { halves, playing } = playback.state;
    const rests = store.complete && !playing && halves > 0 && halves < playback.limit();
    keepInAddress({ step: rests ? Math.floor(halves / 2) : null });
  }, 250);
}

/**
 * How a new run begins: with the explanation if it is the first of the visit, at rest for who wants no motion.
 * @param {boolean} live
 */
function begin(live) {
  lead.state.on = live && !explained && !still.matches && !predict.on() && wanted === null;
  if (live) explained = true;
  playback.restart(!still.matches);
  visit.begin(live);
  // A run that was opened was made with settings of its own: those of the page do not make it stale.
  const result = /** @type {HTMLElement | null} */ (root.closest("#result"));
  if (result && store.head?.recorded) {
    delete result.dataset.madeWith;
    result.classList.remove("fl-stale");
  }
  keepInAddress({ recorded: store.head?.recorded ? opened : null });
  opened = null;
}

/** Where a whole run is opened: at the link's step; at its end, where nothing may move by itself. */
function settle() {
  const step = wanted;
  wanted = null;
  if (step !== null) playback.seek(Math.min(step, store.steps.length));
  else if (still.matches && !predict.on() && playback.state.halves === 0) playback.seek(store.steps.length);
}

/** @param {Message} message */
function take(message) {
  const live = !begun;
  begun = true;
  if (message.run !== store.run) {
    store.accept(message);
    inspector.hide();
    stream.clear();
    predict.clear();
    speech.clear();
    begin(live);
    files.said("");
    showRun();
  } else store.accept(message);
  if (store.complete) {
    showRun();
    visit.add();
    settle();
  }
  show();
  playback.grown();
}

let taken = Promise.resolve();

/** Messages are taken in the order in which they came, though unpacking one takes a moment. */
function receive() {
  const text = props.value;
  if (!text) return;
  taken = taken.then(async () => {
    const message = JSON.parse(text);
    if (message.packed) Object.assign(message, JSON.parse(await unpack(message.packed)));
    take(message);
  }).catch((error) => console.error(error));
}

/**
 * The element of `selector` that `event` happened in.
 * @param {Event} event
 * @param {string} selector
 */
function within(event, selector) {
  const found = event.target instanceof Element ? event.target.closest(selector) : null;
  return found instanceof HTMLElement ? found : null;
}

part(".fl-to-lab").addEventListener("click", () => {
  const { article, drafter, gamma, temperature, top_p } = headOf(store);
  trigger("to_lab", { article: article.text, drafter, gamma, temperature, top_p });
});

/** @type {Record<string, (() => void) | undefined>} */
const act = {
  back: playback.back,
  play: playback.toggle,
  step: playback.step,
  end: () => playback.seek(store.steps.length),
};
part(".fl-transport").addEventListener("click", (event) => {
  const pressed = within(event, "[data-do]")?.dataset.do;
  if (pressed) act[pressed]?.();
});
part(".fl-scrub input").addEventListener("input", () => playback.seek(Number(inputOf(root, ".fl-scrub input").value)));
part(".fl-speed input").addEventListener("input", () => showSpeed(Number(inputOf(root, ".fl-speed input").value)));
part(".fl-class-on").addEventListener("change", show);
part(".fl-class-show").addEventListener("click", () => {
  const i = Math.floor(playback.state.halves / 2);
  predict.close(i, store.steps[i]);
  playback.reveal();
});
part(".fl-predict-on").addEventListener("change", () => {
  if (!predict.on() && playback.state.halves % 2) playback.reveal();
  show();
  playback.grown();
});
part(".fl-all-accepted").addEventListener("click", () => guess(store.steps[Math.floor(playback.state.halves / 2)].draft.length));
stream.list.addEventListener("click", (event) => {
  const token = within(event, ".fl-tok, .fl-side");
  if (token) chosen(token);
});

for (const name of VIEWS) {
  const choice = make("input", { type: "radio", name: "fl-view", value: name, checked: name === VIEWS[0] });
  choice.addEventListener("change", () => stream.look(name, playback.state.halves));
  // Whoever pointed at it goes on with the keys of the playback; whoever came by key stays in the group.
  choice.addEventListener("click", (event) => event.detail && choice.blur());
  part(".fl-views").append(make("label", {}, choice, make("span", {}, name)));
}

/** @param {number} value index in SPEEDS */
function showSpeed(value) {
  const speed = SPEEDS[value];
  const words = speed === Infinity ? "all at once" : `${speed} ${speed === 1 ? "step" : "steps"} a second`;
  part(".fl-speed-name").textContent = words;
  part(".fl-speed input").setAttribute("aria-valuetext", words);
  playback.speed(value);
}

/**
 * Whether a key press belongs to what has the focus: a text field, a slider, a menu, or a button that it presses.
 * @param {Element} target
 * @param {string} key
 */
function isTaken(target, key) {
  if (target.closest("input:not([type=checkbox]), textarea, select, [contenteditable=''], [contenteditable=true], [role=listbox], [role=slider]")) return key !== "Escape";
  return [" ", "Enter"].includes(key) && target.closest("button, summary, a, label, input") !== null;
}

/** @type {Record<string, (() => void) | undefined>} */
const KEYS = {
  " ": playback.toggle,
  ArrowRight: playback.step,
  ArrowLeft: playback.back,
  ArrowDown: () => stream.move(1),
  ArrowUp: () => stream.move(-1),
  End: () => playback.seek(store.steps.length),
  j: () => walk(1),
  J: () => walk(1),
  k: () => walk(-1),
  K: () => walk(-1),
};

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || !root.offsetParent) return;
  const target = event.target instanceof HTMLElement ? event.target : document.body;
  if (isTaken(target, event.key)) return;
  const asking = predict.on() && playback.state.halves % 2 === 1;
  if (event.key === "Escape") {
    if (inspector.isOpen()) inspector.hide();
    stopped();
    pressOnPage("#stop:not(:disabled)");
  } else if (event.key === "Enter" && target.classList.contains("fl-tok")) chosen(target);
  else if (asking && /^[0-9]$/u.test(event.key)) {
    const draft = store.steps[Math.floor(playback.state.halves / 2)].draft;
    const at = Number(event.key) - 1;
    if (at < draft.length) guess(at < 0 ? draft.length : at);
  } else if (["ArrowUp", "ArrowDown"].includes(event.key) && !stream.list.contains(target)) return;
  else if (KEYS[event.key] && store.steps.length) KEYS[event.key]?.();
  else return;
  event.preventDefault();
}

/**
 * Presses a button of the page around the player, where there is one.
 * @param {string} selector
 */
function pressOnPage(selector) {
  const found = document.querySelector(selector);
  if (found instanceof HTMLElement) found.click();
}

function stopped() {
  playback.pause();
  // A run that nobody has heard of waits in the queue: it is taken out of it.
  if (!begun) pressOnPage("#cancel");
  begun = true;
}

document.addEventListener("keydown", pressed);
root.addEventListener("fl-run", () => { begun = false; });
root.addEventListener("fl-stop", stopped);
// The page's settings are in place: a link's recording can be opened.
root.addEventListener("fl-restored", () => {
  const named = CONFIG.recordings.find((r) => r.name === inAddress("recorded"));
  if (named) openRecording(named.name);
});
part(".fl-lead-skip").addEventListener("click", () => {
  lead.state.on = false;
  playback.play(true);
});
part(".fl-lead-again").addEventListener("click", () => {
  playback.seek(0);
  lead.state.on = true;
  playback.play(true);
});
Object.assign(root, { store }); // for whoever studies the page from the console, and for the browser tests
showSpeed(5);
show();
table.show();
watch("value", receive);
receive();
