// What the page knows: the clip, own labels, the propagated path, where the person is. One object, one way to listen.

export const VISIBLE = 1, HARD = 2, OCCLUDED = 3, ABSENT = 0;
export const WORDS = { "-1": "not judged", 0: "absent", 1: "visible", 2: "hard", 3: "occluded" };

const listeners = {};

export const state = {
  tab: crypto.getRandomValues(new Uint32Array(2)).join("-"),
  index: 0, clip: null, row: 0, shown: -1, direction: 1,
  cursor: { x: 0, y: 0 },
  own: new Map(), // row -> {v, x, y, source}
  path: null, // columns, see takePath
  hints: [], moved: [], old: [], items: [], item: -1, proposal: 0,
  revision: 0, undo: 0, redo: 0, saved: 0, stale: false, offline: false, pending: null, inFlight: 0, upToDate: false,
  after: "10", keysOn: true,
  metrics: { frame: [], path: [], whole: [], pathCpu: [], wholeCpu: [], actions: 0 },
};

export function on(name, listener) { (listeners[name] ??= []).push(listener); }
export function emit(name, value) { for (const l of listeners[name] ?? []) l(value); }

export function number(row) {
  const c = state.clip;
  return c.numbers ? c.numbers[row] : c.first + row;
}

export function rowOf(frame) {
  const c = state.clip;
  const row = c.numbers ? c.numbers.indexOf(frame) : frame - c.first;
  return row >= 0 && row < c.count ? row : -1;
}

export function takeClip(clip) {
  state.clip = clip;
  state.own = new Map();
  state.saved = 0;
  takeRows(clip.rows);
  takeCounts(clip);
  const n = clip.count;
  state.path = {
    visibility: new Int8Array(n).fill(-1), x: new Float32Array(n).fill(NaN), y: new Float32Array(n).fill(NaN),
    sd: new Float32Array(n).fill(NaN), risk: new Float32Array(n).fill(1), reason: new Array(n).fill(""), version: -1,
  };
  Object.assign(state, { hints: [], moved: [], old: [], stale: false, upToDate: clip.up_to_date });
  state.row = Math.min(state.row, n - 1);
}

export function takeRows(rows) {
  for (const [row, v, x, y, source] of rows) {
    if (v === null) state.own.delete(row);
    else state.own.set(row, { v, x: x ?? NaN, y: y ?? NaN, source });
  }
}

// What was saved stays so: the news of it may come before the answer to the action.
export function takeCounts(s) {
  state.revision = s.revision; state.undo = s.undo; state.redo = s.redo; takeSaved(s.saved);
}

export function takeSaved(revision) { state.saved = Math.max(state.saved, revision); }

// A part of the path; what it replaces is kept for a moment, so that the change can be seen.
export function takePath(part) {
  const p = state.path, a = part.first;
  state.old = [];
  for (let i = 0; i < part.x.length; i++) {
    const r = a + i;
    if (r >= p.x.length) break;
    if (!Number.isNaN(p.x[r])) state.old.push([r, p.x[r], p.y[r]]);
    p.visibility[r] = part.visibility[i] ?? -1;
    p.x[r] = part.x[i] ?? NaN; p.y[r] = part.y[i] ?? NaN; p.sd[r] = part.sd[i] ?? NaN;
    p.risk[r] = part.risk[i]; p.reason[r] = part.reasons[part.reason[i]];
  }
  p.version = part.version;
  state.hints = part.suggestions.filter(([r]) => !state.own.has(r));
}

// What is known of a row: own label, else the propagated one, else null.
export function known(row) {
  const own = state.own.get(row);
  if (own) return { ...own, own: true, sd: NaN, reason: "" };
  const p = state.path;
  if (!p || p.visibility[row] === -1) return null;
  return { v: p.visibility[row], x: p.x[row], y: p.y[row], sd: p.sd[row], reason: p.reason[row], source: "propagated", own: false };
}

export function ownRows() { return [...state.own.keys()].sort((a, b) => a - b); }

export function say(text) { emit("say", text); }
