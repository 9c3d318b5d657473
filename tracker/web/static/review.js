// Frames to review: detections of a model against the labels, and the queue of a review folder.

import { state, emit, on, number, say } from "./state.js";
import { get, clipUrl, act } from "./api.js";

const box = document.getElementById("review"), list = document.getElementById("items"), count = document.getElementById("review-count");
const SHOWN = 60;
let timer = 0;

export async function load() {
  const here = state.items[state.item]?.id;
  try { state.items = await (await get(clipUrl("/review"))).json(); } catch { return; }
  state.item = state.items.findIndex((i) => i.id === here);
  render();
  emit("items");
}

export function loadSoon() { clearTimeout(timer); timer = setTimeout(load, 400); }

export function render() {
  box.hidden = !state.items.length;
  const open = state.items.filter((i) => !i.decision).length;
  count.textContent = `${open} of ${state.items.length} open`;
  const order = state.items.map((item, i) => [item, i]).filter(([item, i]) => !item.decision || i === state.item).slice(0, SHOWN);
  list.replaceChildren(...order.map(([item, i]) => {
    const li = document.createElement("li"), b = document.createElement("button");
    b.textContent = `Frame ${number(item.row)}: ${item.reason}${item.decision ? ` (${item.decision})` : ""}`;
    b.classList.toggle("done", Boolean(item.decision));
    if (i === state.item) b.setAttribute("aria-current", "true");
    b.addEventListener("click", () => choose(i));
    li.append(b);
    return li;
  }));
}

export function choose(i) {
  state.item = i;
  state.proposal = 0;
  render();
  emit("go", state.items[i].row);
  point();
  say(`To review: frame ${number(state.items[i].row)}, ${state.items[i].reason}, ${state.items[i].proposals.length === 1 ? "one proposal" : `${state.items[i].proposals.length} proposals`}.`);
}

// The crosshair, and with it the loupe, goes to the proposal.
function point() {
  const p = state.items[state.item].proposals[state.proposal];
  if (p) emit("point", { x: p[0], y: p[1] });
  emit("items");
}

// A queue begins at its first open one.
export function first() {
  const i = state.items.findIndex((item) => !item.decision);
  if (i >= 0 && state.item < 0) choose(i);
}

// The next open one, in order of worth.
export function step(d) {
  const n = state.items.length;
  for (let k = 1; k <= n; k++) {
    const i = (state.item + k * d + 2 * n) % n;
    if (!state.items[i].decision) { choose(i); return; }
  }
  say(n ? "Nothing is left to review." : "There is nothing to review.");
}

export function current() {
  const item = state.items[state.item];
  return item && item.row === state.row ? item : null;
}

export function otherProposal() {
  const item = current();
  if (!item || item.proposals.length < 2) { say("No other proposal here."); return; }
  state.proposal = (state.proposal + 1) % item.proposals.length;
  point();
}

// The answer may come when the person is at another frame already, and the list may have been loaded anew meanwhile.
export function decided(id, decision) {
  const item = state.items.find((i) => i.id === id), here = current() === item;
  if (!item) return;
  item.decision = decision;
  render();
  emit("items");
  if (here) step(1);
}

export async function accept() {
  const item = current(), p = item?.proposals[state.proposal];
  if (!p) { say("No proposal in this frame."); return; }
  const own = { v: 1, x: p[0], y: p[1], source: "checked" };
  const done = await act({ op: "set", row: item.row, x: p[0], y: p[1], visibility: 1, source: "checked", item: item.id, decision: "accepted" },
    () => { state.own.set(item.row, own); emit("labels"); });
  if (done) decided(item.id, "accepted");
}

export async function reject() {
  const item = current();
  if (!item) { say("No proposal in this frame."); return; }
  if (await act({ op: "decide", item: item.id, decision: "rejected" })) decided(item.id, "rejected");
}

// What a label says of the item in its frame: passed along with the label as one action.
export function decisionFor(absent) {
  const item = current();
  return item ? { item: item.id, decision: absent ? "absent" : "moved" } : {};
}

on("path", (e) => { if (state.clip && e?.whole && state.hasModel) loadSoon(); });
