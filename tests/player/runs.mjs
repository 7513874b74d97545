// Runs as the modules see them, written short.

/**
 * A step whose draft is these texts: "~ b" was refused, what follows it was not tested; ids count up from 10. `emitted` is
 * what the target writes after it, of id 90. A step takes a second, and `more` holds other fields of it.
 */
export function step(texts, emitted = null, { seconds = [0.25, 0.5, 0.25], ...more } = {}) {
  const refused = texts.findIndex((text) => text.startsWith("~"));
  const draft = texts.map((text, at) => {
    const status = refused < 0 || at < refused ? "accepted" : at === refused ? "rejected" : "ignored";
    return { id: 10 + at, text: text.replace("~", ""), status, p: 0.25, q: 0.5, chance: status === "ignored" ? null : 0.5 };
  });
  const [seconds_draft, seconds_target, seconds_other] = seconds;
  const kind = refused >= 0 ? "resampled" : draft.length ? "bonus" : "target";
  return {
    draft, emitted: emitted === null ? null : { id: 90, text: emitted, kind, p: 0.5 }, aside: [],
    seconds_draft, seconds_target, seconds_other, ...more,
  };
}

/** No token ends the text. */
export const never = () => false;
