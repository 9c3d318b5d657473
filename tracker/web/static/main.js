// Wires the page together.

import { state, on, emit, known, number, rowOf, ownRows, say, WORDS, ABSENT, VISIBLE } from "./state.js";
import { get, act, allSent, loadClip, listen, clipUrl } from "./api.js";
import * as pictures from "./pictures.js";
import * as viewer from "./viewer.js";
import * as review from "./review.js";
import * as play from "./play.js";
import { bind } from "./keys.js";
import "./timeline.js";
import "./teach.js";

const $ = (id) => document.getElementById(id);

// -- where we are ------------------------------------------------------------------------------------------------

function go(row, pressedAt = 0) {
  row = Math.min(Math.max(row, 0), state.clip.count - 1);
  if (row === state.row) return;
  state.direction = row > state.row ? 1 : -1;
  state.row = row;
  viewer.show(pressedAt);
  emit("row");
}
on("go", (row) => go(row));

function stepKey(direction) {
  const rows = ownRows().filter((r) => state.own.get(r).source === "human");
  const all = rows.length ? rows : ownRows();
  const next = direction > 0 ? all.find((r) => r > state.row) : all.findLast((r) => r < state.row);
  if (next === undefined) say(direction > 0 ? "No keyframe after this frame." : "No keyframe before this frame.");
  return next;
}

// The row near by whose label is worth most: [row, expected frames repaired, why]. It is sought within five seconds, then
// farther: a person works through a clip, and its far end is always the least known.
const REACH_S = 0.2, NEAR_S = 5; // over which a label helps its neighbours (as tracker propagate --suggest); sought first
function worstNear() {
  const c = state.clip, p = state.path, reach = Math.max(1, Math.round(3 * REACH_S * c.fps)), keys = ownRows();
  const gap = (r) => { let n = 0; for (const k of keys) { if (k >= r) break; n++; } return n; };
  const worth = (r) => {
    let sum = 0.5 * p.risk[r];
    const g = gap(r);
    for (let k = Math.max(0, r - reach); k <= Math.min(c.count - 1, r + reach); k++) {
      if (!state.own.has(k) && gap(k) === g) sum += p.risk[k] * Math.exp(-(((k - r) / c.fps / REACH_S) ** 2) / 2);
    }
    return sum;
  };
  for (let near = NEAR_S; ; near *= 4) {
    const span = Math.round(near * c.fps), first = Math.max(0, state.row - span), last = Math.min(c.count - 1, state.row + span);
    const step = Math.max(1, Math.floor((last - first) / 400));
    let best = null;
    for (let r = first; r <= last; r += step) {
      if (state.own.has(r) || r === state.row) continue;
      const gain = worth(r), value = gain / (1 + Math.abs(r - state.row) / c.fps / 2);
      if (gain > 0.5 && (!best || value > best[3])) best = [r, gain, p.reason[r], value];
    }
    if (best || (first === 0 && last === c.count - 1)) return best;
  }
}

function hint() {
  if (state.own.size) {
    const best = worstNear() ?? state.hints.find(([r]) => !state.own.has(r) && r !== state.row);
    if (best) return best;
  }
  say(state.own.size ? "Nothing is worth a label any more, as far as the propagator knows." : "Label a few frames first, say every tenth.");
  return null;
}

function afterLabel() {
  if (state.after === "stay") return;
  const row = state.after === "hint" ? hint()?.[0] : state.row + Number(state.after);
  if (row !== undefined && row < state.clip.count) go(row);
  else if (row !== undefined) say("The end of the clip. N goes to what is worth a label most near by.");
}

// -- actions -----------------------------------------------------------------------------------------------------

function ready() {
  if (state.shown === state.row) return true;
  say("Wait for the picture.");
  return false;
}

function set(visibility, x, y, source, goesOn = true) {
  const row = state.row, absent = visibility === ABSENT;
  const own = { v: visibility, x: absent ? NaN : x, y: absent ? NaN : y, source };
  const action = { op: "set", row, visibility, source, ...(absent ? {} : { x, y }), ...review.decisionFor(absent) };
  const item = review.current();
  act(action, () => { state.own.set(row, own); state.hints = state.hints.filter(([r]) => r !== row); emit("labels"); }).then((done) => {
    if (done && item) review.decided(item.id, action.decision);
  });
  if (!item && goesOn && !state.stale) afterLabel();
}

function ball(x, y) {
  if (!ready()) return;
  const before = state.own.get(state.row);
  set(before && before.v > 1 ? before.v : VISIBLE, x, y, "human");
}
on("click", ({ x, y }) => ball(x, y));

function judge(visibility) {
  if (!ready()) return;
  const k = known(state.row);
  if (k && !Number.isNaN(k.x)) set(visibility, k.x, k.y, k.own ? k.source : "checked", !k.own);
  else set(visibility, state.cursor.x, state.cursor.y, "human");
}

function stretch() {
  const rows = ownRows();
  let first = (rows.findLast((r) => r < state.row) ?? -1) + 1, last = (rows.find((r) => r > state.row) ?? state.clip.count) - 1;
  const sure = (r) => { const k = known(r); return k && !k.own && !k.reason; };
  if (first === 0) { first = state.row; while (first > 0 && sure(first - 1)) first--; } // no keyframe holds that side: only what is sure
  if (last === state.clip.count - 1) { last = state.row; while (last < state.clip.count - 1 && sure(last + 1)) last++; }
  return [first, last];
}

function accept(first, last) {
  if (state.own.has(state.row)) { say("This frame has a label of its own."); return; }
  act({ op: "accept", first, last });
}

const commands = {
  next: ({ shift, at }) => { play.stop(); go(state.row + (shift ? 10 : 1), at); },
  prev: ({ shift, at }) => { play.stop(); go(state.row - (shift ? 10 : 1), at); },
  next_key: ({ at }) => { const r = stepKey(1); if (r !== undefined) go(r, at); },
  prev_key: ({ at }) => { const r = stepKey(-1); if (r !== undefined) go(r, at); },
  hint: ({ at }) => { const h = hint(); if (h) { go(h[0], at); say(`Frame ${number(h[0])}: ${h[2] || "the most to gain"}.`); } },
  play: () => play.toggle(),
  ball: () => ball(state.cursor.x, state.cursor.y),
  visible: () => judge(1), hard: () => judge(2), occluded: () => judge(3),
  absent: () => { if (ready()) set(ABSENT, NaN, NaN, "human"); },
  clear: () => { if (state.own.has(state.row)) { const row = state.row; act({ op: "clear", row }, () => { state.own.delete(row); emit("labels"); }); } else say("No label to remove here."); },
  undo: () => (state.undo || state.inFlight ? act({ op: "undo" }) : say("Nothing to undo.")),
  redo: () => (state.redo || state.inFlight ? act({ op: "redo" }) : say("Nothing to redo.")),
  accept_frame: () => accept(state.row, state.row),
  accept: () => accept(...stretch()),
  zoom: () => viewer.toggleZoom(), zoom_in: () => viewer.zoomStep(1), zoom_out: () => viewer.zoomStep(-1),
  follow: () => { viewer.view.follow = !viewer.view.follow; viewer.followBall(); viewer.draw(); emit("view"); },
  loupe_toggle: () => { viewer.view.loupe = !viewer.view.loupe; viewer.draw(); emit("view"); },
  to_ball: () => { const k = known(state.row); if (k && !Number.isNaN(k.x)) viewer.moveCursor(k.x, k.y, true); else say("No ball is known here."); },
  next_item: () => review.step(1), prev_item: () => review.step(-1), accept_item: () => { if (ready()) review.accept(); },
  other_proposal: () => review.otherProposal(), reject_item: () => review.reject(),
  load_newest: () => loadNewest(),
  help: () => { $("help").showModal(); $("help").scrollTop = 0; },
};

async function loadNewest() {
  try { await loadClip(); } catch (e) { trouble(`Not loaded: ${e.message}`); return; }
  $("banner").hidden = true;
  say("The newest labels are loaded.");
}

// -- what is told ------------------------------------------------------------------------------------------------

function status() {
  const k = known(state.row), c = state.clip, parts = [`Frame ${number(state.row)} (${number(0)} to ${number(c.count - 1)})`];
  if (!k) parts.push("nothing known yet");
  else {
    parts.push(k.own ? `${k.source}: ${WORDS[k.v]}` : `propagated: ${WORDS[k.v]}`);
    if (!Number.isNaN(k.x)) parts.push(`${k.x.toFixed(1)}, ${k.y.toFixed(1)}${k.own || Number.isNaN(k.sd) ? "" : ` ± ${k.sd.toFixed(1)} px`}`);
    if (k.reason) parts.push(`flagged: ${k.reason}`);
  }
  $("status").textContent = parts.join(" · ");
  for (const v of [0, 1, 2, 3]) $(`v${v}`).setAttribute("aria-pressed", String(Boolean(k?.own && k.v === v)));
  $("undo").disabled = !state.undo; $("redo").disabled = !state.redo;
}
for (const name of ["row", "labels", "path", "clip"]) on(name, () => { if (state.clip) status(); });

function saved() {
  const chip = $("saved"), bad = state.offline || state.stale || state.trouble;
  chip.classList.toggle("bad", Boolean(bad));
  chip.textContent = state.offline ? (state.pending ? "not saved: no server" : "no server") : state.stale ? "out of date"
    : state.trouble ? "not saved" : !state.inFlight && state.saved >= state.revision ? "saved" : "saving";
}
for (const name of ["saved", "labels", "connection", "stale", "clip"]) on(name, saved);
on("written", () => { state.trouble = ""; saved(); });

function banner(text, label = "", does = null) {
  $("banner-text").textContent = text;
  const b = $("banner-act");
  b.hidden = !does;
  b.textContent = label;
  b.onclick = does;
  $("banner").hidden = false;
}
on("stale", (text) => banner(text, "Load the newest (G)", loadNewest));
on("connection", () => {
  if (state.offline) banner(state.pending ? "The server does not answer. Your last action waits and is sent when it is back." : "The server does not answer.");
  else if (!state.stale) $("banner").hidden = true;
});
function trouble(text) { state.trouble = text; banner(text); saved(); }
on("trouble", trouble);
on("say", (text) => { $("said").textContent = text; });

const tasks = {};
on("progress", (news) => {
  Object.assign(tasks, news);
  const parts = [], words = { evidence: "Looking at all frames", model: "Asking the model" };
  for (const [name, t] of Object.entries(tasks)) {
    if (t.finished) continue;
    const bar = document.createElement("progress");
    bar.max = state.clip.count; bar.value = t.done;
    bar.setAttribute("aria-label", words[name]);
    parts.push(`${words[name]} `, bar, ` ${Math.floor((100 * t.done) / state.clip.count)} % `);
  }
  $("tasks").replaceChildren(...parts);
  if (news.model?.finished) review.loadSoon();
});
on("path", (e) => {
  if (!e) return;
  if (e.moved.length) {
    const a = number(e.moved[0]), b = number(e.moved.at(-1));
    say(`${e.moved.length === 1 ? "1 frame" : `${e.moved.length} frames`} ${e.largest_px ? `moved by up to ${e.largest_px} px` : "changed"} (${a} to ${b})${e.stage === "motion" ? "; by motion alone so far" : ""}.`);
  }
});
on("point", ({ x, y }) => viewer.moveCursor(x, y, true));
on("view", () => {
  $("zoom").setAttribute("aria-pressed", String(viewer.view.zoom > 1));
  $("follow").setAttribute("aria-pressed", String(viewer.view.follow));
  $("loupe-toggle").setAttribute("aria-pressed", String(viewer.view.loupe));
});
on("playing", (yes) => { $("play").setAttribute("aria-pressed", String(yes)); });

on("clip", () => {
  const c = state.clip;
  $("title").textContent = c.name;
  document.title = `${c.name}: label the ball`;
  if (c.notice) say(c.notice);
  if (c.outside) say(`${c.outside} labels lie beyond the video's last frame (are they another video's?); they are kept, not shown.`);
  if (c.failed || c.save_error) trouble(c.failed || c.save_error);
  saved();
});

// -- start -------------------------------------------------------------------------------------------------------

async function openClip(index, project) {
  await allSent();
  state.index = index; state.row = 0; state.shown = -1; state.item = -1; state.items = []; state.pending = null; state.trouble = "";
  state.hasModel = project.clips[index].model;
  $("banner").hidden = true;
  pictures.clear();
  try { await loadClip(); } catch (e) { trouble(e.message); return; }
  if (index !== state.index) return; // another one was chosen meanwhile
  viewer.reset();
  viewer.show();
  pictures.want();
  listen();
  await review.load();
  if (project.clips[index].items) review.first();
  welcome();
}

// What to do first, until a few labels are there or it was read.
function welcome() {
  const wanted = state.clip && state.own.size < 3 && !state.items.length && !localStorage.getItem("welcomed");
  $("first").hidden = !wanted;
}
on("labels", welcome);

async function start() {
  if (location.search.includes("token=")) history.replaceState(null, "", "/"); // not into the history or a screenshot
  const project = await (await get("/api/project")).json();
  for (const [name, title] of Object.entries(project.formats)) $("format").add(new Option(title, name));
  project.clips.forEach((c, i) => $("clip").add(new Option(`${c.name}${c.items ? ` (${c.items})` : ""}`, i)));
  $("clip-choice").hidden = project.clips.length < 2;
  $("clip").addEventListener("change", () => openClip(Number($("clip").value), project));
  $("after").addEventListener("change", () => { state.after = $("after").value; localStorage.setItem("after", state.after); });
  const after = localStorage.getItem("after");
  if (after) { $("after").value = after; state.after = $("after").value || "10"; }
  $("first-done").addEventListener("click", () => { localStorage.setItem("welcomed", "1"); welcome(); $("viewer").focus({ preventScroll: true }); });
  $("keys-on").addEventListener("change", () => { state.keysOn = $("keys-on").checked; });
  $("goto").addEventListener("change", () => {
    const row = rowOf(Number($("goto").value));
    if (row >= 0) go(row); else say("There is no such frame.");
  });
  $("export").addEventListener("click", () => {
    const a = document.createElement("a");
    a.href = clipUrl(`/export?format=${encodeURIComponent($("format").value)}&rows=${$("which").value}`);
    a.download = "";
    a.click();
    say("The export follows when the whole clip is propagated.");
  });
  bind(commands, (dx, dy, far) => { if (state.clip) viewer.moveCursor(state.cursor.x + dx * (far ? 10 : 1), state.cursor.y + dy * (far ? 10 : 1), true); });
  await openClip(0, project);
  $("viewer").focus({ preventScroll: true });
}

window.oneball = { state, go, worstNear, pictures, viewer, known, commands };
start().catch((e) => trouble(`The page could not start: ${e.message}`));
