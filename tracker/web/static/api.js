// Talking to the server: requests, one action at a time, and the stream of news.

import { state, emit, takeClip, takeCounts, takeSaved, takePath, takeRows, say } from "./state.js";

export class Refused extends Error {
  constructor(status, body) { super(body.error ?? `the server said ${status}`); this.status = status; this.stale = body.stale; }
}

export async function get(path, options = {}) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export const clipUrl = (rest = "") => `/api/clips/${state.index}${rest}`;

export async function loadClip() {
  const index = state.index, clip = await (await get(clipUrl())).json();
  if (index !== state.index) return; // another clip was opened meanwhile
  takeClip(clip);
  await loadPath();
  emit("clip");
}

export async function loadPath() {
  const index = state.index, n = state.clip.count, step = 50000;
  for (let first = 0; first < n; first += step) {
    const part = await (await get(clipUrl(`/path?first=${first}&last=${Math.min(n, first + step) - 1}`))).json();
    if (index !== state.index) return;
    if (part.version < state.path.version) first = -step; // news of a newer one came first
    else takePath(part);
  }
  state.old = [];
  emit("path");
}

// Actions are sent one after the other, each with the revision it was made on. An action whose answer got lost is sent
// again under the same id: the server does it once.
let chain = Promise.resolve();
let waitForServer = null;

export function act(action, before = () => {}) {
  if (state.stale) { say("Not done: load the newest labels first."); return Promise.resolve(false); }
  state.metrics.actions++;
  before(); // shown at once, taken back when the server refuses
  const started = performance.now();
  const id = `${state.tab}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  state.inFlight++;
  if (action.op !== "decide") state.upToDate = false;
  emit("saved");
  chain = chain.then(() => send(id, action, started)).finally(() => { state.inFlight--; emit("saved"); });
  return chain;
}

// Until everything is sent that was done: an action belongs to the clip that is open when it is sent.
export async function allSent() {
  while (state.inFlight) await chain;
}

async function send(id, action, started) {
  if (state.stale) return false;
  const revision = state.revision;
  for (;;) {
    try {
      const answer = await get(clipUrl("/actions"), {
        method: "POST", headers: { "Content-Type": "application/json", "X-Oneball": "1" },
        body: JSON.stringify({ id, revision, tab: state.tab, action }),
      });
      const s = await answer.json();
      takeRows(s.rows);
      takeCounts(s);
      if (!s.rows.length) state.upToDate = s.up_to_date; // nothing to propagate
      if (state.pending) { state.pending = null; say("The server is back; your last action is saved."); }
      state.waiting = { started, revision: s.revision };
      say(`${s.action}.`);
      emit("labels");
      return true;
    } catch (e) {
      if (e instanceof Refused) {
        if (e.stale) becomeStale("These labels were changed in another tab. Your last action was not done.");
        else say(`Not done: ${e.message}`);
        await reloadRows();
        return false;
      }
      state.offline = true; state.pending = id; // no answer: the server is gone
      emit("connection");
      await new Promise((resolve) => { waitForServer = resolve; setTimeout(resolve, 2000); });
    }
  }
}

async function reloadRows() {
  if (state.stale) { emit("labels"); return; }
  try {
    const clip = await (await get(clipUrl())).json();
    state.own = new Map();
    takeRows(clip.rows);
    takeCounts(clip);
    state.upToDate = clip.up_to_date;
  } catch { /* told by the banner */ }
  emit("labels");
}

export function becomeStale(text) {
  if (state.stale) return;
  state.stale = true;
  emit("stale", text);
}

let source = null;

export function listen() {
  source?.close();
  source = new EventSource(clipUrl("/events"));
  source.onmessage = (m) => news(JSON.parse(m.data));
  source.onerror = () => {
    state.offline = true;
    emit("connection");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1000); // the browser gives up on some errors
  };
}

function news(e) {
  if (e.kind === "hello") {
    const was = state.offline;
    state.offline = false;
    state.upToDate = e.up_to_date;
    takeSaved(e.saved);
    emit("connection");
    emit("progress", e.progress);
    emit("teach", e.teaching);
    if (waitForServer) { waitForServer(); waitForServer = null; }
    const late = !state.inFlight && e.revision !== state.revision;
    if (late) becomeStale("These labels were changed elsewhere while this tab was not connected.");
    else if (was || e.version !== state.path.version) { state.path.version = -1; loadPath(); } // a new server counts from 0
  } else if (e.kind === "labels") {
    if (e.by !== state.tab) becomeStale(`Another tab changed these labels (${e.action}).`);
  } else if (e.kind === "saved") {
    takeSaved(e.revision);
    emit("written");
  } else if (e.kind === "save_failed" || e.kind === "failed") {
    emit("trouble", e.text);
  } else if (e.kind === "progress") {
    emit("progress", { [e.task]: e });
  } else if (e.kind === "teach") {
    emit("teach", e);
  } else if (e.kind === "reload") {
    loadClip();
  } else if (e.kind === "track") {
    state.upToDate = e.up_to_date;
    state.moved = e.moved;
    const done = () => {
      emit("path", e);
      if (state.waiting) {
        const ms = performance.now() - state.waiting.started;
        (e.whole ? state.metrics.whole : state.metrics.path).push(ms);
        (e.whole ? state.metrics.wholeCpu : state.metrics.pathCpu).push(e.cpu_s * 1000);
        if (!e.whole) state.metrics.last = ms;
        if (e.whole || e.up_to_date) state.waiting = null;
      }
    };
    if (e.path) { takePath(e.path); done(); } else loadPath().then(done);
  }
}
