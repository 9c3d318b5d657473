// The time line: keyframes, how sure the propagated frames are, what just changed, what to look at next.

import { state, on, emit, known, number, WORDS } from "./state.js";

const bar = document.getElementById("timeline"), detail = document.getElementById("detail"), whole = document.getElementById("whole");
const SPAN = 400; // frames across the upper strip
const C = { sure: "#4cc38a", unsure: "#ffb224", key: "#ffffff", checked: "#70b8ff", moved: "#ff8bd1", hint: "#ffe629", item: "#c58fff", nothing: "#3b444e", absent: "#6d7a88" };

function range(canvas) {
  const n = state.clip.count;
  if (canvas === whole || n <= SPAN) return [0, n];
  const first = Math.min(Math.max(0, state.row - SPAN / 2), n - SPAN);
  return [Math.round(first), Math.round(first) + SPAN];
}

export function draw() {
  if (!state.clip) return;
  whole.hidden = state.clip.count <= SPAN;
  for (const canvas of [detail, whole]) if (!canvas.hidden) strip(canvas);
  const k = known(state.row), n = number(state.row);
  bar.setAttribute("aria-valuemax", state.clip.count - 1);
  bar.setAttribute("aria-valuenow", state.row);
  bar.setAttribute("aria-valuetext", `frame ${n}, ${k ? `${k.source} ${WORDS[k.v]}${k.reason ? `, ${k.reason}` : ""}` : "unknown"}`);
}

function strip(canvas) {
  const dpr = Math.min(window.devicePixelRatio || 1, 3), w = canvas.clientWidth, h = canvas.clientHeight;
  if (!w) return;
  if (canvas.width !== Math.round(w * dpr)) { canvas.width = Math.round(w * dpr); canvas.height = Math.round(h * dpr); }
  const c = canvas.getContext("2d"), [a, b] = range(canvas), per = w / (b - a);
  c.setTransform(dpr, 0, 0, dpr, 0, 0);
  c.clearRect(0, 0, w, h);
  const base = h - 6, tall = canvas === detail ? h - 22 : h - 10;
  const x = (row) => (row + 0.5 - a) * per;
  for (let px = 0; px < w; px += Math.max(1, per)) { // the least sure frame of each column is what it shows
    const r0 = Math.floor(a + px / per + 1e-6), r1 = Math.max(r0 + 1, Math.floor(a + (px + 1) / per));
    let worst = null, score = -1;
    for (let r = r0; r < r1 && r < b; r++) {
      const k = known(r), s = !k ? 3 : k.own ? 0 : 1 + state.path.risk[r] + (k.reason ? 1 : 0);
      if (s > score) { score = s; worst = [k, r]; }
    }
    if (!worst) continue;
    const [k, r] = worst;
    c.fillStyle = !k ? C.nothing : k.v === 0 ? C.absent : k.own ? (k.source === "human" ? C.key : C.checked) : k.reason ? C.unsure : C.sure;
    const sd = k && !k.own && !Number.isNaN(k.sd) ? k.sd * 1280 / state.clip.width : 0;
    const size = !k ? 3 : k.own ? tall * 0.25 : Math.max(4, tall * Math.min(1, 0.2 + sd / 12)); // the band is as high as it is unsure
    c.fillRect(px, base - size, Math.max(1, per - (per > 4 ? 1 : 0)), size);
    if (k && k.own && k.source === "human") c.fillRect(x(r) - 1, base - tall, 2, tall);
  }
  c.fillStyle = C.moved;
  for (const r of state.moved) if (r >= a && r < b) c.fillRect(x(r) - per / 2, base + 2, Math.max(1.5, per), 3);
  state.items.forEach((item) => { if (!item.decision && item.row >= a && item.row < b) mark(c, x(item.row), 9, C.item, true); });
  state.hints.forEach(([r], i) => { if (r >= a && r < b && (canvas === detail || i < 5)) mark(c, x(r), i ? 4 : 5, C.hint, false, i ? 4 : 7); });
  c.fillStyle = "#fff"; c.fillRect(x(state.row) - 1, 0, 2, h);
  c.strokeStyle = "#000"; c.lineWidth = 1; c.strokeRect(x(state.row) - 1.5, -1, 3, h + 2);
  if (canvas === whole) { const [u, v] = range(detail); c.strokeStyle = "#b4bec9"; c.strokeRect(x(u) - per / 2, 0.5, (v - u) * per, h - 1); }
}

function mark(c, x, y, colour, diamond, size = 5) {
  c.fillStyle = colour; c.beginPath();
  if (diamond) { c.moveTo(x, y - size); c.lineTo(x + size, y); c.lineTo(x, y + size); c.lineTo(x - size, y); }
  else { c.moveTo(x - size, y - 4); c.lineTo(x + size, y - 4); c.lineTo(x, y + size); }
  c.closePath(); c.fill(); c.strokeStyle = "#000"; c.lineWidth = 1; c.stroke();
}

let held = null;
function seek(e) {
  const r = held.getBoundingClientRect(), [a, b] = held.range;
  emit("go", Math.floor(a + Math.min(Math.max((e.clientX - r.left) / r.width, 0), 0.9999) * (b - a)));
}
for (const canvas of [detail, whole]) {
  canvas.addEventListener("pointerdown", (e) => { held = canvas; held.range = range(canvas); canvas.setPointerCapture(e.pointerId); seek(e); });
  canvas.addEventListener("pointermove", (e) => { if (held === canvas) seek(e); });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointercancel", () => { held = null; });
}
bar.addEventListener("keydown", (e) => {
  const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 }[e.key];
  if (step === undefined || e.ctrlKey || e.altKey || e.metaKey) return;
  e.preventDefault(); e.stopPropagation();
  emit("go", state.row + step);
});
new ResizeObserver(draw).observe(bar);
let asked = false;
function soon() { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } }
for (const name of ["clip", "row", "path", "labels", "items"]) on(name, soon);
