// The button that teaches: starts or stops it, and shows how far it has come.

import { state, on, say } from "./state.js";
import { clipUrl, get } from "./api.js";

const $ = (id) => document.getElementById(id);
const invitation = $("teach-said").textContent;
let running = false;

function show(t) {
  running = t.running;
  $("teach-start").textContent = running ? "Stop" : "Teach this court";
  const bar = $("teach-bar");
  bar.hidden = !running;
  if (running && t.total) { bar.max = t.total; bar.value = t.done; } else bar.removeAttribute("value");
  $("teach-said").textContent = running ? `Teaching: ${t.doing}.` : t.words || invitation;
}
on("teach", show);
on("clip", () => show(state.clip.teaching));

async function ask(op) {
  $("teach-start").disabled = true;
  try {
    show(await (await get(clipUrl("/teach"), {
      method: "POST", headers: { "Content-Type": "application/json", "X-Oneball": "1" }, body: JSON.stringify({ op }),
    })).json());
  } catch (e) { say(`Not done: ${e.message}`); }
  $("teach-start").disabled = false;
}
$("teach-start").addEventListener("click", () => ask(running ? "stop" : "start"));
