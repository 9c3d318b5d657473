"""A benchmark's result as text for people."""

from __future__ import annotations

from typing import Any


def table(r: dict[str, Any]) -> str:
    """Markdown."""
    v, m = r["video"], r["machine"]
    size = f"{v['width']} x {v['height']}, {v['fps']:g} frames a second"
    lines = [
        f"{v['name']}: {size}" + (f", looped to {v['looped_to']} frames" if "looped_to" in v else ""),
        f"model {r['model']['name']} {r['model']['hash']} ({r['model']['kb']} KB), threads {r['threads']}, "
        f"settings {r['config_hash']}",
        f"{m['processor']}, {m['cores_usable']} of {m['cores']} cores, {m['memory_mb']} MB, load {m['load_average']}; "
        f"Python {m['python']}, onnxruntime {m['onnxruntime']}, OpenCV {m['opencv']}, PyAV {m['pyav']}",
        "",
    ]
    if "cold_start" in r:
        c = r["cold_start"]
        lines += [
            f"start-up: first state after {c['first_state_s']:.2f} s (imports {c['import_s']:.2f}, model "
            f"{c['model_load_s']:.2f}, first frame {c['first_frame_s']:.2f}; processor time {c['cpu_s']:.2f})",
        ]
    if "end_to_end" in r:
        e = r["end_to_end"]
        joules = "not told by this machine" if e["joules"] is None else f"{e['joules']} J"
        lines += [
            f"end to end (a process from start to exit): {e['frames']} frames in {e['wall_s']:.2f} s = "
            f"{e['frames_per_s']:.1f} frames a second ({e['frames_per_cpu_s']:.1f} by processor time)",
            f"  {e['times_decode']:.2f} times decoding alone ({e['times_decode_cpu']:.2f} by processor time); "
            f"{e['cpu_s_per_video_s']:.3f} processor seconds a second of video; peak memory {e['peak_mb']:.0f} MB; "
            f"energy {joules}",
        ]
    s = r["steady"]
    lines += [
        f"steady state: {s['frames']} frames after {s['warmup']['frames']} of warm-up, {s['frames_per_s']:.1f} frames "
        f"a second; {s['late_frames']} frames later than {s['late_after_ms']:g} ms",
        f"  {s['views_per_frame']:.2f} views and {s['gmac_per_frame'] or float('nan'):.3f} GMAC a frame",
        "", "| ms a frame | mean | p50 | p90 | p95 | p99 | max |", "|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    rows = [
        ("warm-up", s["warmup"]["wall_ms"]), ("whole, wall clock", s["wall_ms"]), ("whole, processor", s["cpu_ms"]),
        ("decoding alone, wall clock", s["decode_alone"]["wall_ms"]),
        ("decoding alone, processor", s["decode_alone"]["cpu_ms"]),
    ]  # fmt: skip
    for a in r.get("against", []):
        rows += [(f"{a['model']} ({a['timed']}), processor", a["cpu_ms"]), ("  ours beside it", a["ours_cpu_ms"])]
    if "paced" in r:
        rows.append(("paced: camera to state", r["paced"]["delay_ms"]))
    for name, p in rows:
        if p:
            lines.append(f"| {name} | " + " | ".join(f"{x:.2f}" for x in p.values()) + " |")
    lines += ["", "| stage | processor ms | wall ms | wall p95 |", "|---|--:|--:|--:|"]
    for name, t in s["stages"].items():
        lines.append(f"| {name} | {t['cpu_ms']:.2f} | {t['wall_ms']:.2f} | {t['wall_p95_ms']:.2f} |")
    lines.append("")
    for a in r.get("against", []):
        what = "our network" if a["timed"] == "network" else "our pipeline"
        lines.append(f"{a['model']} takes {a['ratio']:.2f} times {what} (averages over {a['frames']} frames)")
    if "paced" in r:
        p = r["paced"]
        lines.append(
            f"paced for {p['seconds']:.0f} s: {p['frames']} frames, {p['dropped']} dropped (queue of {p['queue']}), "
            f"{100 * p['cpu_share']:.0f} % of one core"
        )
    return "\n".join(lines)
