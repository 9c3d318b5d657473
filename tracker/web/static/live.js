// The newest state below the picture, asked for twice a second.

setInterval(async () => {
  const e = document.getElementById("s");
  try {
    const s = await (await fetch("state", {cache: "no-store"})).json();
    e.className = s.source;
    const where = s.x === null ? "" : ` x ${s.x.toFixed(1)} y ${s.y.toFixed(1)}`;
    e.textContent = s.source === "live"
      ? `frame ${s.frame}  ${s.status}${where}  delay ${(1000 * s.delay_s).toFixed(0)} ms  dropped ${s.dropped}`
      : `${s.source} for ${s.delay_s.toFixed(0)} s`;
  } catch { e.className = "silent"; e.textContent = "no answer: the tracker has ended"; }
}, 500);
