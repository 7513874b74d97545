// What every module knows without an import: what main.js is given, and the shapes of what it is sent.

// ── Given by Gradio to a component's script (js_on_load); on a page alone by _FRAME in fastllm/ui/watch/player.py ──

/** The component's own element. */
declare const element: HTMLElement;
/** Its value: the newest message, as JSON, or "". */
declare const props: { value: string };
/** Sends an event of the component to the server, with its data. */
declare const trigger: (event: string, data: object) => void;
/** Functions of fastllm/ui/watch/player.py that answer the browser. */
declare const server: {
  export_run(asked: { key: string; text: string }): Promise<Answer>;
  export_rows(asked: { text: string; rows: number[][] }): Promise<Answer>;
};
/** Has a function called whenever a property has changed. */
declare const watch: (property: string, changed: () => void) => void;

// ── Written before the modules by script() in fastllm/ui/watch/player.py ──

declare const CONFIG: Config;
/** The markup of player.html. */
declare const SKELETON: string;

interface Answer { text?: string; error?: string }

interface Config {
  alone: boolean;
  statuses: Record<string, { glyph: string } | undefined>;
  figures: { name: string; why: string }[];
  why: { race: string; residual: string; "p and q": string };
  charts: { positions: [name: string, why: string]; timeline: [name: string, why: string] };
  kinds: string[];
  context: number;
  fields: Fields;
  lossy: string;
  exports: { key: string; label: string; suffix: string; type: string }[];
  recordings: { name: string; title: string }[];
  maxBytes: number;
}

/** fields.json. */
interface Fields { message: string[]; head: string[]; step: string[]; rejection: string[] }

// ── Of fastllm/trace.py, where each field is explained; tests/test_ui_scripts.py holds the two together ──

interface Candidate { id: number; text: string; raw: number; prob: number; other: number | null }

interface DraftToken {
  id: number; text: string; status: "accepted" | "rejected" | "ignored";
  p: number; q: number; u: number | null; beta: number | null;
  p_top: Candidate[]; q_top: Candidate[];
  by: string; chance: number | null; p_rank: number | null; q_rank: number | null; tempered: Tempered | null;
}

interface Tempered {
  p_raw: number; q_raw: number | null; p_norms: number[]; q_norms: number[]; betas: number[];
  p_others: number[]; q_others: number[];
}

interface SideToken {
  id: number; text: string; parent: number; p: number; q: number; u: number | null; chance: number | null; by: string;
}

interface Emitted {
  id: number; text: string; kind: "resampled" | "bonus" | "target"; p: number; p_top: Candidate[]; p_rank: number | null;
}

/** With `say`, a sentence for each token, and `figures`, [value, words below it] of the run up to this step. */
interface Step {
  index: number; position: number; draft: DraftToken[]; emitted: Emitted | null;
  seconds_draft: number; seconds_target: number; seconds_other: number;
  stop: string; cap: number; calls: number; aside: SideToken[];
  say: string[]; figures: [string, string][];
}

/** Seconds of each call, of both ways of decoding. */
interface Times { ours: number[]; plain: number[] }

/** Those by which the comparison goes, its speedup with the 95 % interval, and what is wrong where it has none. */
interface Timing extends Times { speedup: number | null; interval: [low: number, high: number] | null; trouble: string }

/** A trace without its steps; `recorded`: made at another time; `lossless`: what its rule promises; `timing`: null where
 * plain decoding is not whole. */
interface Head {
  mode: string; target: string; drafter: string; gamma: number; temperature: number; top_k: number; top_p: number;
  no_repeat_ngram_size: number; seed: number; max_new_tokens: number; article: Article; text: string; ending: string;
  seconds_encode: number; target_hash: string; drafter_hash: string; versions: Record<string, string>; eos_ids: number[];
  engine: string; to_the_last_bit: boolean; made: string; plain: { text: string; ending: string } | null;
  rule: string; lengths: string; rollback: number; nodes: number; width: number; temperatures: number[];
  version: number;
  recorded: boolean; lossless: boolean; timing: Timing | null;
}

interface Article { text: string; tokens: number; cut: number }

// ── Of fastllm/analysis/rejections.py and fastllm/ui/watch/messages.py; fields.json names the same ──

interface Rejection {
  step: number; offset: number; position: number; token: string;
  u: number | null; p: number; q: number; chance: number | null; beta: number | null;
  rank: number | null; drafter_rank: number | null; replacement: string; kind: string; context: string; rule: string;
}

interface Message {
  run: string; state: string; head?: Head;
  from?: number; steps?: Step[]; plain_from?: number; plain?: Step[];
  rejections?: Rejection[]; complete?: boolean; packed?: string;
}

// ── Of the modules themselves ──

/** Whether a token of this id ends the text. */
type Ends = (id: number) => boolean;

/** A token of the summary, and the step and the place in it that it came from. */
interface Piece { id: number; text: string; step: number; at: number }

/** A refused token: place `at` in the draft of step `i`. */
interface Place { i: number; at: number }

interface Store {
  run: string | null;
  head: Head | null;
  steps: Step[];
  plain: Step[];
  rejections: Rejection[];
  state: string;
  complete: boolean;
  /** Messages that told of a lost one before them. */
  gaps: number;
  accept(message: Message): void;
  trace(): object;
  summary(): Piece[];
  ends: Ends;
}
