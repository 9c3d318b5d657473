// The picture with what is known drawn over it: zoom, pan, crosshair, loupe, clicks and fingers.

import { state, on, emit, known, say } from "./state.js";
import * as pictures from "./pictures.js";
import { get, clipUrl } from "./api.js";

const box = document.getElementById("viewer");
const picture = document.getElementById("picture"), overlay = document.getElementById("overlay");
const loupe = document.getElementById("loupe"), loading = document.getElementById("loading");
const COLOURS = { human: "#ffffff", checked: "#70b8ff", sensor: "#9ce5ff", propagated: "#4cc38a", unsure: "#ffb224", moved: "#ff8bd1", item: "#c58fff" };
const TRAIL = 12; // frames of the path drawn before and after
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8, 12, 16];
const LOUPE_PX = 44; // source px across the loupe at 1280 wide

export const view = { zoom: 1, x: 0, y: 0, follow: false, loupe: true };
let tile = null, tileTimer = 0, loupeTile = null, loupeTimer = 0, dpr = 1, cw = 1, ch = 1, keyTime = 0;

const fit = () => Math.min(cw / state.clip.width, ch / state.clip.height);
const scale = () => fit() * view.zoom; // css px per source px
const toScreen = (x, y) => [(x - view.x) * scale() + cw / 2, (y - view.y) * scale() + ch / 2];
const toSource = (sx, sy) => [(sx - cw / 2) / scale() + view.x, (sy - ch / 2) / scale() + view.y];

export function resize() {
  if (!state.clip) return;
  dpr = Math.min(window.devicePixelRatio || 1, 3);
  cw = box.clientWidth; ch = box.clientHeight;
  for (const c of [picture, overlay]) { c.width = Math.round(cw * dpr); c.height = Math.round(ch * dpr); }
  pictures.setWidth(Math.ceil(Math.min(cw, ch * state.clip.width / state.clip.height) * dpr));
  bound();
  draw();
}

export function reset() {
  view.zoom = 1; view.x = (state.clip.width - 1) / 2; view.y = (state.clip.height - 1) / 2;
  state.cursor = { x: view.x, y: view.y };
  tile = loupeTile = null;
  resize();
}

function bound() {
  const { width: w, height: h } = state.clip, s = scale();
  const rx = cw / s / 2, ry = ch / s / 2;
  view.x = rx * 2 >= w ? (w - 1) / 2 : Math.min(Math.max(view.x, rx - 0.5), w - 0.5 - rx);
  view.y = ry * 2 >= h ? (h - 1) / 2 : Math.min(Math.max(view.y, ry - 0.5), h - 0.5 - ry);
}

// Zoom keeps the point at hand where it is on the screen.
export function zoomTo(z, at = state.cursor) {
  z = Math.min(Math.max(z, 1), ZOOMS.at(-1));
  const [sx, sy] = toScreen(at.x, at.y);
  view.zoom = z;
  const s = scale();
  view.x = at.x - (sx - cw / 2) / s; view.y = at.y - (sy - ch / 2) / s;
  bound();
  tile = null;
  draw();
  emit("view");
}

export function zoomStep(d) {
  const i = ZOOMS.findIndex((z) => z >= view.zoom - 0.01);
  zoomTo(ZOOMS[Math.min(Math.max(i + d, 0), ZOOMS.length - 1)]);
}

export function toggleZoom() { zoomTo(view.zoom > 1 ? 1 : 4); }

// -- showing a frame ---------------------------------------------------------------------------------------------

export function show(pressedAt = 0) {
  keyTime = pressedAt;
  const b = pictures.bitmap(state.row);
  if (b) { shown(); return; }
  setTimeout(() => { loading.hidden = state.shown === state.row; }, 150);
}

function shown() {
  state.shown = state.row;
  loading.hidden = true;
  tile = loupeTile = null;
  if (view.follow) followBall();
  draw();
  if (keyTime) {
    const t = keyTime;
    keyTime = 0;
    requestAnimationFrame(() => { // the time at which this picture has been handed to the screen
      const c = new MessageChannel();
      c.port1.onmessage = () => state.metrics.frame.push(performance.now() - t);
      c.port2.postMessage(0);
    });
  }
  emit("shown");
}

pictures.onArrival((row) => { if (row === state.row && state.shown !== row) shown(); });

export function followBall() {
  const k = known(state.row);
  if (view.zoom > 1 && k && !Number.isNaN(k.x)) { view.x = k.x; view.y = k.y; bound(); tile = null; }
}

// -- drawing -----------------------------------------------------------------------------------------------------

export function draw() {
  if (!state.clip) return;
  const b = pictures.bitmap(state.shown), c = picture.getContext("2d", { alpha: false });
  c.setTransform(dpr, 0, 0, dpr, 0, 0);
  c.fillStyle = "#000";
  c.fillRect(0, 0, cw, ch);
  if (b) {
    const [x, y] = toScreen(-0.5, -0.5), s = scale();
    c.imageSmoothingEnabled = s * dpr * state.clip.width / b.width < 3;
    c.drawImage(b, x, y, state.clip.width * s, state.clip.height * s);
    if (tile && tile.row === state.shown) {
      const [tx, ty] = toScreen(tile.x - 0.5, tile.y - 0.5);
      c.imageSmoothingEnabled = s * dpr < 3;
      c.drawImage(tile.bitmap, tx, ty, tile.w * s, tile.h * s);
    } else wantTile(b);
  }
  drawOverlay();
  drawLoupe();
}

// Zoomed in, the served picture is coarser than the source: fetch the visible part in full resolution.
function wantTile(b) {
  clearTimeout(tileTimer);
  if (b.width >= state.clip.width || scale() * dpr <= b.width / state.clip.width * 1.05) return;
  const row = state.shown;
  tileTimer = setTimeout(async () => {
    const [x0, y0] = toSource(0, 0), [x1, y1] = toSource(cw, ch);
    const x = Math.max(0, Math.floor(x0)), y = Math.max(0, Math.floor(y0));
    const w = Math.min(state.clip.width, Math.ceil(x1) + 1) - x, h = Math.min(state.clip.height, Math.ceil(y1) + 1) - y;
    const got = await fetchTile(row, x, y, w, h, Math.round(w * scale() * dpr));
    if (got && row === state.shown) { tile = got; draw(); }
  }, 120);
}

async function fetchTile(row, x, y, w, h, out) {
  const index = state.index;
  try {
    const answer = await get(clipUrl(`/tile?row=${row}&x=${x}&y=${y}&w=${w}&h=${h}&out=${Math.max(16, Math.min(out, 4000))}`));
    const bitmap = await createImageBitmap(await answer.blob());
    return index === state.index ? { row, x, y, w, h, bitmap } : null;
  } catch { return null; }
}

function ring(c, x, y, r, colour, dash = []) {
  c.setLineDash(dash);
  c.lineWidth = 4; c.strokeStyle = "#000b"; c.beginPath(); c.arc(x, y, r, 0, 7); c.stroke();
  c.lineWidth = 2; c.strokeStyle = colour; c.beginPath(); c.arc(x, y, r, 0, 7); c.stroke();
  c.setLineDash([]);
}

const colourOf = (k) => (k.own ? COLOURS[k.source] : k.reason ? COLOURS.unsure : COLOURS.propagated);

function drawOverlay() {
  const c = overlay.getContext("2d"), row = state.shown;
  c.setTransform(dpr, 0, 0, dpr, 0, 0);
  c.clearRect(0, 0, cw, ch);
  if (row < 0) return;
  if (state.old.length && state.moved.length) line(c, state.old.filter(([r]) => Math.abs(r - row) <= 3 * TRAIL), COLOURS.moved, [4, 4]);
  const trail = [];
  for (let r = Math.max(0, row - TRAIL); r <= Math.min(state.clip.count - 1, row + TRAIL); r++) {
    const k = known(r);
    if (k && !Number.isNaN(k.x)) trail.push([r, k.x, k.y, colourOf(k), k.own]);
  }
  line(c, trail, "#4cc38a99");
  for (const [r, x, y, colour, own] of trail) {
    if (r === row) continue;
    const [sx, sy] = toScreen(x, y);
    c.fillStyle = colour; c.globalAlpha = r < row ? 0.9 : 0.55;
    c.beginPath(); c.arc(sx, sy, own ? 3.5 : 2, 0, 7); c.fill();
  }
  c.globalAlpha = 1;
  drawProposals(c, row);
  const k = known(row), unit = state.clip.width / 1280;
  if (k && !Number.isNaN(k.x)) {
    const [sx, sy] = toScreen(k.x, k.y), r = Math.max(9, 9 * unit * scale());
    ring(c, sx, sy, r, colourOf(k), k.own && k.v !== 3 ? [] : [5, 4]);
    if (!k.own && k.sd * scale() > r) ring(c, sx, sy, k.sd * scale(), COLOURS.unsure, [2, 6]);
  } else if (k && k.v === 0) {
    c.font = "600 15px system-ui"; c.textAlign = "center";
    c.fillStyle = "#000a"; c.fillRect(cw / 2 - 90, 8, 180, 26);
    c.fillStyle = colourOf(k); c.fillText(k.own ? "no ball (absent)" : "no ball (propagated)", cw / 2, 26);
  }
  const [x, y] = toScreen(state.cursor.x, state.cursor.y);
  for (const [colour, w] of [["#000a", 3], ["#ffe629", 1]]) {
    c.strokeStyle = colour; c.lineWidth = w; c.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { c.moveTo(x + 5 * dx, y + 5 * dy); c.lineTo(x + 16 * dx, y + 16 * dy); }
    c.stroke();
  }
}

function drawProposals(c, row) {
  const item = state.items[state.item];
  if (!item || item.row !== row) return;
  item.proposals.forEach(([px, py, score], i) => {
    const [x, y] = toScreen(px, py), r = i === state.proposal ? 15 : 10;
    for (const [colour, w] of [["#000b", 5], [COLOURS.item, i === state.proposal ? 3 : 1.5]]) {
      c.strokeStyle = colour; c.lineWidth = w; c.strokeRect(x - r, y - r, 2 * r, 2 * r);
    }
    if (score !== null) { c.font = "12px system-ui"; c.textAlign = "left"; c.fillStyle = COLOURS.item; c.fillText(score.toFixed(2), x + r + 3, y - r + 10); }
  });
}

function line(c, points, colour, dash = []) {
  c.setLineDash(dash); c.strokeStyle = colour; c.lineWidth = 2; c.beginPath();
  let last = -2;
  for (const [r, x, y] of points) {
    const [sx, sy] = toScreen(x, y);
    if (r === last + 1) c.lineTo(sx, sy); else c.moveTo(sx, sy);
    last = r;
  }
  c.stroke(); c.setLineDash([]);
}

function drawLoupe() {
  loupe.hidden = !view.loupe;
  const b = pictures.bitmap(state.shown);
  if (!view.loupe || !b) return;
  const c = loupe.getContext("2d"), side = LOUPE_PX * Math.max(1, state.clip.width / 1280), n = loupe.width, s = n / side;
  const { x, y } = state.cursor, k = b.width / state.clip.width;
  c.fillStyle = "#000"; c.fillRect(0, 0, n, n);
  c.imageSmoothingEnabled = false;
  c.drawImage(b, (x + 0.5 - side / 2) * k, (y + 0.5 - side / 2) * k, side * k, side * k, 0, 0, n, n);
  const t = loupeTile;
  if (t && t.row === state.shown) c.drawImage(t.bitmap, (t.x - x - 0.5 + side / 2) * s, (t.y - y - 0.5 + side / 2) * s, t.w * s, t.h * s);
  if (b.width < state.clip.width) wantLoupe(side);
  c.strokeStyle = "#ffe629"; c.lineWidth = 1; c.strokeRect((n - s) / 2, (n - s) / 2, s, s);
  c.beginPath(); c.moveTo(n / 2, 0); c.lineTo(n / 2, n / 2 - 14); c.moveTo(n / 2, n / 2 + 14); c.lineTo(n / 2, n);
  c.moveTo(0, n / 2); c.lineTo(n / 2 - 14, n / 2); c.moveTo(n / 2 + 14, n / 2); c.lineTo(n, n / 2); c.stroke();
  const ball = known(state.shown), points = [[x, y], ...(ball && !Number.isNaN(ball.x) ? [[ball.x, ball.y]] : [])];
  loupe.classList.toggle("right", points.some((p) => { const [sx, sy] = toScreen(...p); return sx < 190 && sy < 190; })); // not over it
}

function wantLoupe(side) {
  const t = loupeTile, { x, y } = state.cursor;
  const inside = t && t.row === state.shown && x - side / 2 >= t.x && y - side / 2 >= t.y && x + side / 2 <= t.x + t.w && y + side / 2 <= t.y + t.h;
  if (inside) return;
  clearTimeout(loupeTimer);
  loupeTimer = setTimeout(async () => {
    const w = Math.min(state.clip.width, Math.round(4 * side)), h = Math.min(state.clip.height, Math.round(4 * side));
    const x0 = Math.round(Math.min(Math.max(0, x - w / 2), state.clip.width - w)), y0 = Math.round(Math.min(Math.max(0, y - h / 2), state.clip.height - h));
    const got = await fetchTile(state.shown, x0, y0, w, h, w);
    if (got && got.row === state.shown) { loupeTile = got; drawLoupe(); }
  }, 70);
}

// -- crosshair ---------------------------------------------------------------------------------------------------

export function moveCursor(x, y, keepInView = false) {
  const { width: w, height: h } = state.clip;
  state.cursor = { x: Math.min(Math.max(x, 0), w - 1), y: Math.min(Math.max(y, 0), h - 1) };
  if (keepInView) {
    const [sx, sy] = toScreen(state.cursor.x, state.cursor.y), m = 24;
    if (sx < m || sy < m || sx > cw - m || sy > ch - m) { view.x = state.cursor.x; view.y = state.cursor.y; bound(); draw(); return; }
  }
  requestAnimationFrame(() => { drawOverlay(); drawLoupe(); });
}

// -- pointers ----------------------------------------------------------------------------------------------------

const fingers = new Map();
let press = null, pinch = null;

function at(e) {
  const r = box.getBoundingClientRect();
  return [e.clientX - r.left, e.clientY - r.top];
}

box.addEventListener("pointerdown", (e) => {
  if (e.button !== 0 || !state.clip) return;
  box.focus({ preventScroll: true });
  const [sx, sy] = at(e);
  fingers.set(e.pointerId, [sx, sy]);
  box.setPointerCapture(e.pointerId);
  if (fingers.size === 2) {
    const [a, b] = [...fingers.values()];
    pinch = { span: Math.hypot(a[0] - b[0], a[1] - b[1]), zoom: view.zoom };
    press = null;
  } else if (fingers.size === 1) {
    press = { sx, sy, x: view.x, y: view.y, touch: e.pointerType === "touch", moved: false, row: state.shown, at: e.timeStamp };
    moveCursor(...toSource(sx, sy));
  }
});

box.addEventListener("pointermove", (e) => {
  if (!state.clip) return;
  const [sx, sy] = at(e);
  if (fingers.has(e.pointerId)) fingers.set(e.pointerId, [sx, sy]);
  if (pinch && fingers.size === 2) {
    const [a, b] = [...fingers.values()];
    const middle = toSource((a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    zoomTo(pinch.zoom * Math.hypot(a[0] - b[0], a[1] - b[1]) / pinch.span, { x: middle[0], y: middle[1] });
    return;
  }
  if (press && !press.touch && view.zoom > 1 && Math.hypot(sx - press.sx, sy - press.sy) > 5) press.moved = true;
  if (press?.moved) {
    view.x = press.x - (sx - press.sx) / scale(); view.y = press.y - (sy - press.sy) / scale();
    bound(); tile = null; draw();
  } else if (e.pointerType !== "touch" || press) moveCursor(...toSource(sx, sy));
});

function release(e) {
  const mine = fingers.delete(e.pointerId);
  if (fingers.size < 2 && pinch) { pinch = fingers.size ? pinch : null; press = null; return; }
  const p = press;
  press = null;
  if (!mine || !p || p.moved || e.type === "pointercancel") return;
  const [sx, sy] = at(e), [x, y] = toSource(sx, sy);
  if (x < -0.5 || y < -0.5 || x > state.clip.width - 0.5 || y > state.clip.height - 0.5) return;
  if (p.row !== state.row) { say("Wait for the picture."); return; }
  moveCursor(x, y);
  emit("click", { x, y });
}
box.addEventListener("pointerup", release);
box.addEventListener("pointercancel", release);

box.addEventListener("wheel", (e) => {
  e.preventDefault();
  const [x, y] = toSource(...at(e));
  zoomTo(view.zoom * Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0018)), { x, y });
}, { passive: false });

new ResizeObserver(resize).observe(box);
for (const name of ["path", "labels", "items"]) on(name, () => { if (state.clip) draw(); });
on("path", () => { // the old path fades from sight
  clearTimeout(on.fade);
  on.fade = setTimeout(() => { state.old = []; draw(); }, 2500);
});
