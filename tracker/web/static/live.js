// The newest state below the picture, asked for twice a second.

function say(e, pairs) {
  e.replaceChildren(...pairs.map(([name, value]) => {
    const span = document.createElement("span"), bold = document.createElement("b");
    bold.textContent = value;
    span.append(name + " ", bold);
    return span;
  }));
}

setInterval(async () => {
  const e = document.getElementById("s");
  try {
    const s = await (await fetch("state", {cache: "no-store"})).json();
    e.className = s.source;
    if (s.source !== "live") { say(e, [[s.source, `for ${s.delay_s.toFixed(0)} s`]]); return; }
    say(e, [
      ["ball", s.status],
      ["at", s.x === null ? "–" : `${s.x.toFixed(0)}, ${s.y.toFixed(0)} px`],
      ["delay", `${(1000 * s.delay_s).toFixed(0)} ms`],
      ["dropped", s.dropped],
      ["frame", s.frame],
    ]);
  } catch { e.className = "silent"; e.textContent = "no answer: the tracker has ended"; }
}, 500);
