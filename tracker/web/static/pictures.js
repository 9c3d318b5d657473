// Pictures of the frames around the one shown: fetched by range, decoded ahead, both caches bounded.

import { state, on } from "./state.js";
import { get, clipUrl } from "./api.js";

const CHUNK = 16, AHEAD = 3; // frames per request; requests kept ahead in the direction of travel
const MAX_JPEG = 96 << 20, MAX_BITMAP = 220 << 20; // bytes
const DECODE_AHEAD = 10, DECODE_BEHIND = 5;

let width = 1280, era = 0; // what was asked for before the caches were emptied counts for nothing
const jpegs = new Map(), bitmaps = new Map(); // row -> bytes, row -> ImageBitmap; in order of last use
let jpegBytes = 0;
const loading = new Map(); // chunk -> AbortController
const decoding = new Set();
let arrived = () => {};

export function onArrival(f) { arrived = f; }
export function bitmap(row) { const b = bitmaps.get(row); if (b) { bitmaps.delete(row); bitmaps.set(row, b); } return b; }

export function setWidth(w) {
  w = Math.min(w, state.clip?.width ?? w);
  const known = [480, 640, 960, 1280, 1600, 1920, 2560, 3840].find((k) => k >= w) ?? w;
  if (known === width) return;
  width = known;
  clear();
  want();
}

export function clear() {
  era++;
  for (const c of loading.values()) c.abort();
  loading.clear(); jpegs.clear(); jpegBytes = 0;
  for (const b of bitmaps.values()) b.close();
  bitmaps.clear();
}

// Asks for what will be shown soon; what nobody waits for any more is cancelled.
export function want() {
  if (!state.clip) return;
  const last = Math.floor((state.clip.count - 1) / CHUNK), here = Math.floor(state.row / CHUNK), d = state.direction;
  const wanted = [here];
  for (let k = 1; k <= AHEAD; k++) wanted.push(here + k * d);
  wanted.push(here - d);
  const open = wanted.filter((c) => c >= 0 && c <= last);
  for (const [c, control] of loading) if (!open.includes(c)) { control.abort(); loading.delete(c); }
  for (const c of open) {
    if (loading.size >= 2) break;
    if (!loading.has(c) && missing(c)) load(c);
  }
  decodeAround();
}

function missing(chunk) {
  const end = Math.min(state.clip.count, (chunk + 1) * CHUNK);
  for (let r = chunk * CHUNK; r < end; r++) if (!jpegs.has(r)) return true;
  return false;
}

async function load(chunk) {
  const control = new AbortController();
  loading.set(chunk, control);
  const end = Math.min(state.clip.count, (chunk + 1) * CHUNK);
  let first = chunk * CHUNK;
  while (first < end && jpegs.has(first)) first++;
  if (state.row >= first && state.row < end && !jpegs.has(state.row)) first = state.row; // what is looked at comes first
  const asked = era;
  try {
    const answer = await get(clipUrl(`/frames?first=${first}&count=${end - first}&width=${width}`), { signal: control.signal });
    const reader = answer.body.getReader();
    let buffer = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done || asked !== era) break;
      const joined = new Uint8Array(buffer.length + value.length);
      joined.set(buffer); joined.set(value, buffer.length);
      buffer = take(joined);
    }
  } catch (e) {
    if (e.name !== "AbortError") await new Promise((r) => setTimeout(r, 700)); // the server may be away
  }
  if (loading.get(chunk) === control) loading.delete(chunk);
  want();
}

function take(buffer) {
  for (;;) {
    if (buffer.length < 8) return buffer;
    const view = new DataView(buffer.buffer, buffer.byteOffset);
    const row = view.getUint32(0, true), size = view.getUint32(4, true);
    if (buffer.length < 8 + size) return buffer;
    keepJpeg(row, buffer.slice(8, 8 + size));
    buffer = buffer.slice(8 + size);
    decodeAround();
  }
}

function keepJpeg(row, data) {
  jpegBytes += data.length - (jpegs.get(row)?.length ?? 0);
  jpegs.delete(row); jpegs.set(row, data);
  for (const [r, d] of jpegs) {
    if (jpegBytes <= MAX_JPEG) break;
    if (Math.abs(r - state.row) <= 2 * CHUNK) continue;
    jpegs.delete(r); jpegBytes -= d.length;
  }
}

function decodeAround() {
  const n = state.clip.count, d = state.direction;
  const per = width * width * state.clip.height / state.clip.width * 4;
  const room = Math.max(3, Math.floor(MAX_BITMAP / per));
  const ahead = Math.min(DECODE_AHEAD, Math.floor(room * 0.6)), behind = Math.min(DECODE_BEHIND, Math.floor(room * 0.3));
  const order = [state.row];
  for (let k = 1; k <= ahead; k++) { order.push(state.row + k * d); if (k <= behind) order.push(state.row - k * d); }
  for (const row of order) {
    if (decoding.size >= 3) break;
    if (row < 0 || row >= n || bitmaps.has(row) || decoding.has(row)) continue;
    const data = jpegs.get(row);
    if (data && data.length) decode(row, data);
  }
  while (bitmaps.size > room) {
    const [r, b] = bitmaps.entries().next().value;
    bitmaps.delete(r); b.close();
  }
}

async function decode(row, data) {
  decoding.add(row);
  const asked = era;
  try {
    const b = await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
    if (asked === era) { bitmaps.set(row, b); arrived(row); } else b.close();
  } catch { if (asked === era) jpegs.delete(row); }
  decoding.delete(row);
  decodeAround();
}

on("row", want);
