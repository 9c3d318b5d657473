// Every command, its keys, and the buttons that do the same.

import { state, say } from "./state.js";

// [name, keys as shown and matched, what it does]
export const COMMANDS = [
  ["next", [".", "d"], "next frame (with Shift ten on)"], ["prev", [",", "a"], "previous frame (with Shift ten back)"],
  ["next_key", ["]", "e"], "next keyframe"], ["prev_key", ["[", "q"], "previous keyframe"],
  ["hint", ["n"], "the frame that is best labelled next"], ["play", [" "], "play and stop"],
  ["ball", ["Enter"], "the ball is at the crosshair"], ["visible", ["1"], "the ball is visible"], ["hard", ["2"], "hard to see"],
  ["occluded", ["3"], "occluded, place inferred"], ["absent", ["0"], "no ball in this frame"], ["clear", ["Delete", "Backspace"], "remove this frame's label"],
  ["undo", ["u", "Ctrl+z"], "undo"], ["redo", ["r", "Ctrl+y", "Ctrl+Shift+z"], "redo"],
  ["accept_frame", ["c"], "this propagated frame is right"], ["accept", ["v"], "so is the stretch between the keyframes around"],
  ["zoom", ["z"], "zoom in at the crosshair, and out"], ["zoom_in", ["+", "="], "zoom in"], ["zoom_out", ["-"], "zoom out"],
  ["follow", ["f"], "the zoomed picture follows the ball"], ["loupe_toggle", ["l"], "loupe on and off"],
  ["to_ball", ["b"], "crosshair to the ball"],
  ["next_item", ["j"], "next frame to review"], ["prev_item", ["k"], "previous frame to review"],
  ["accept_item", ["y"], "accept the proposal"], ["other_proposal", ["o"], "the other proposal"], ["reject_item", ["x"], "reject the proposal"],
  ["load_newest", ["g"], "load the newest labels (when another tab changed them)"], ["help", ["?", "h"], "this list"],
];
const NAMES = { " ": "Space" };
const named = (k) => NAMES[k] ?? k;

const byKey = new Map();
for (const [name, keys] of COMMANDS) for (const k of keys) byKey.set(k.toLowerCase(), name);

export function bind(commands, moveCrosshair) {
  for (const button of document.querySelectorAll("[data-key]")) {
    const name = button.dataset.key, entry = COMMANDS.find(([n]) => n === name);
    button.setAttribute("aria-keyshortcuts", entry[1].map((k) => named(k).replace("Ctrl", "Control")).join(" "));
    button.title = `${entry[2]} (${entry[1].map(named).join(" or ")})`;
    const hint = document.createElement("kbd");
    hint.textContent = named(entry[1][0]);
    hint.setAttribute("aria-hidden", "true");
    button.append(hint);
    button.addEventListener("click", (e) => commands[name]({ shift: e.shiftKey, at: 0 }));
  }
  document.addEventListener("keydown", (e) => {
    if (e.altKey || e.metaKey || e.defaultPrevented || document.querySelector("dialog[open]")) return;
    const target = e.target, form = target.closest("input, select, textarea"), pressed = target.closest("button, summary, a");
    if (form || (pressed && (e.key === "Enter" || e.key === " "))) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (arrow && !e.ctrlKey) {
      e.preventDefault();
      moveCrosshair(arrow[0], arrow[1], e.shiftKey);
      return;
    }
    const key = e.key.toLowerCase();
    const full = e.ctrlKey ? `ctrl+${e.shiftKey ? "shift+" : ""}${key}` : key;
    const plain = { ">": ".", "<": ",", ":": ".", ";": "," }; // Shift with the frame keys, on several keyboards
    const name = byKey.get(full) ?? (e.shiftKey && !e.ctrlKey ? byKey.get(plain[key]) : undefined);
    if (!name || !state.clip) return;
    if (!state.keysOn && !e.ctrlKey && e.key.length === 1 && e.key !== " ") { say("Single keys are off (see Settings)."); return; }
    e.preventDefault();
    commands[name]({ shift: e.shiftKey, at: e.timeStamp });
  });
  const body = document.querySelector("#help-table tbody");
  const rows = [...COMMANDS.map(([, keys, text]) => [keys, text]), [["Arrow keys"], "move the crosshair by a pixel (with Shift by ten)"]];
  body.replaceChildren(...rows.map(([keys, text]) => {
    const tr = document.createElement("tr"), a = document.createElement("td"), b = document.createElement("td");
    keys.forEach((k, i) => { const kbd = document.createElement("kbd"); kbd.textContent = named(k); if (i) a.append(" "); a.append(kbd); });
    b.textContent = text;
    tr.append(a, b);
    return tr;
  }));
}
