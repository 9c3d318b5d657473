// Playing at the clip's own speed; where a picture has not come yet it waits, it does not skip. Whoever goes to another
// frame meanwhile, by whatever way, ends it.

import { state, emit, on } from "./state.js";
import { bitmap } from "./pictures.js";

let running = false, from = 0, row = 0;

export const playing = () => running;

export function toggle() { if (running) stop(); else start(); }

export function stop() { if (running) { running = false; emit("playing", false); } }

function start() {
  running = true;
  if (state.row >= state.clip.count - 1) emit("go", 0);
  row = state.row;
  from = performance.now() - 1000 / state.clip.fps;
  state.direction = 1;
  emit("playing", true);
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!running) return;
  if (state.row !== row) { stop(); return; }
  const step = 1000 / state.clip.fps;
  if (now - from >= step) {
    const next = state.row + Math.max(1, Math.min(2, Math.floor((now - from) / step)));
    if (next >= state.clip.count) { stop(); return; }
    const target = bitmap(next) ? next : state.row + 1;
    if (bitmap(target)) { emit("go", target); from = Math.max(from + step * (target - row), now - 2 * step); row = target; }
    else from = now - step; // waits here
  }
  requestAnimationFrame(tick);
}

on("clip", stop);
