// Saves the run that the browser holds, and hands files that the viewer opens to the server to be checked.

function download(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function makeFiles(box, store, openRecording) {
  const note = box.querySelector(".fl-file-note");
  const save = box.querySelector(".fl-save");
  const input = box.querySelector("input[type=file]");
  const recordings = box.querySelector(".fl-recordings");
  const stem = () => `fastllm-${store.head.drafter}-gamma${store.head.gamma}-t${store.head.temperature}-seed${store.head.seed}`.replace(/[^\w.-]+/gu, "-").slice(0, 80);
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
    const file = input.files[0];
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

  return { show, said: (text) => { note.textContent = text; } };
}
