// @ts-check
// Saves the run that the browser holds, and hands files that the viewer opens to the server to be checked.
import { buttonOf, inputOf, make, one, partOf } from "./elements.js";
import { headOf } from "./store.js";
import { visible } from "./text.js";

/**
 * Saves `text` as a file of that name.
 * @param {string} text
 * @param {string} name
 * @param {string} type
 */
export function download(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * @param {HTMLElement} box
 * @param {Store} store
 * @param {(name: string) => void} openRecording
 */
export function makeFiles(box, store, openRecording) {
  const note = partOf(box, ".fl-file-note");
  const save = buttonOf(box, ".fl-save");
  const input = inputOf(box, "input[type=file]");
  const recordings = one(box, ".fl-recordings", HTMLSelectElement);
  function stem() {
    const { drafter, gamma, temperature, seed } = headOf(store);
    return `fastllm-${drafter}-gamma${gamma}-t${temperature}-seed${seed}`.replace(/[^\w.-]+/gu, "-").slice(0, 80);
  }
  const saves = [save];

  save.addEventListener("click", () => {
    download(JSON.stringify(store.trace()), `${stem()}.json`, "application/json");
    note.textContent = "Saved. It holds the article too.";
  });

  for (const kind of CONFIG.exports) {
    const button = make("button", { type: "button", class: `fl-export-${kind.key}`, disabled: true }, kind.label);
    button.addEventListener("click", async () => {
      const answer = await server.export_run({ key: kind.key, text: JSON.stringify(store.trace()) });
      if (answer.text !== undefined) download(answer.text, `${stem()}${kind.suffix}`, kind.type);
      note.textContent = answer.error ?? "Saved.";
    });
    saves[saves.length - 1].after(button);
    saves.push(button);
  }

  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (!file) return;
    if (file.size > CONFIG.maxBytes) {
      note.textContent = `${visible(file.name)} has ${(file.size / 1e6).toFixed(1)} MB; the limit is ${CONFIG.maxBytes / 1e6} MB. Nothing was opened.`;
    } else {
      note.textContent = `Opening ${visible(file.name)}.`;
      trigger("open_trace", { text: await file.text() });
    }
    input.value = "";
  });

  recordings.append(...CONFIG.recordings.map((r) => make("option", { value: r.name }, r.title)));
  recordings.addEventListener("change", () => {
    if (recordings.value) openRecording(recordings.value);
    recordings.value = "";
  });

  function show() {
    for (const button of saves) button.disabled = !store.complete;
  }

  return { show, said: (/** @type {string} */ text) => { note.textContent = text; } };
}
