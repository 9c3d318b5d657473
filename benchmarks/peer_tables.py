"""The tables of benchmarks/peers.py."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from tracker.evaluate.protocol import pool_protocol
from tracker.labels.dataset import Clip

if TYPE_CHECKING:
    from peers import Row

HEAD = """\
Other people's detectors on the same pictures, one thread. Each has the threshold that is best for it, per sport, on
the very clips it is scored on (pooled F1 within 10 px), once for its raw detections, once behind our tracker. Ours has
the one threshold in its file. Raw: the best detection of a picture by itself (ours: a full pass and ROI passes). Wrong
place: reports farther than 10 px from the ball, of its visible frames. Two balls: multi-ball frames of the detector
alone, of all judged. False alarms need frames without a ball; where the clips have none the column is empty.
F1 by the reference protocol, px of a picture 1280 wide. Isolated pictures have no tracker.
"""
COSTS = """\
Processor time per picture of everything after decoding, {n} pictures, all models in turn on the same pictures in one
process; a call that takes nine pictures is shared among them. Ours is its whole pipeline with camera motion and
tracking, the mean over ROI passes and full passes.
"""
TENTH = 0.0005  # differences of F1 below this are none


def pooled(scores: dict[str, dict[str, Any]], clips: list[Clip]) -> dict[str, Any]:
    return pool_protocol([scores[c.name] for c in clips])


def number(value: float, digits: int = 3) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def wrong(s: dict[str, Any]) -> float:
    """Share of the visible frames with a report farther than 10 px."""
    return float(s["@10"]["far"] / max(1, s["visible"]))


def figures(s: dict[str, Any]) -> list[str]:
    alarms = number(s["false_alarm_rate"]) if s["absent"] else "-"
    return [number(s["@5"]["f1"]), number(s["@10"]["f1"]), number(wrong(s)), alarms, number(s["multi_ball"])]


def table(rows: list[Row], clips: list[Clip]) -> list[str]:
    lines = [
        "| model | threshold | F1@5 | F1@10 | wrong place | false alarms | two balls | with our tracker: F1@5 | "
        "F1@10 | wrong place | two balls |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    sports = sorted({c.sport for c in clips})
    for r in sorted(rows, key=lambda r: -pooled(r.tracked, clips)["@10"]["f1"]):
        raw, tracked = pooled(r.raw, clips), pooled(r.tracked, clips)
        both = figures(tracked)
        at = " / ".join(f"{r.threshold[s]:g}" for s in sports)
        name = f"**{r.name}**" if r.ours else r.name
        lines.append("| " + " | ".join([name, at, *figures(raw), both[0], both[1], both[2], both[4]]) + " |")
    return lines


def costs(rows: list[Row], clips: list[Clip]) -> list[str]:
    base = next((r for r in rows if r.ours), rows[0])
    lines = [
        "| model | time to ours | F1@10 (best of raw and tracked) | F1@10 per time, ours = 1 | MB | licence |",
        "|---|---|---|---|---|---|",
    ]
    own = max(pooled(base.raw, clips)["@10"]["f1"], pooled(base.tracked, clips)["@10"]["f1"])
    for r in sorted(rows, key=lambda r: r.ms if r.ms == r.ms else math.inf):
        best = max(pooled(r.raw, clips)["@10"]["f1"], pooled(r.tracked, clips)["@10"]["f1"])
        ratio = r.ms / base.ms
        worth = (best / ratio) / own if own else math.nan
        name = f"**{r.name}**" if r.ours else r.name
        cells = [name, number(ratio, 2), number(best), number(worth, 2), f"{r.megabytes:.1f}", r.licence]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def per_clip(rows: list[Row], clips: list[Clip]) -> list[str]:
    lines = ["| model | " + " | ".join(c.name for c in clips) + " |", "|---" * (len(clips) + 1) + "|"]
    for r in rows:
        cells = [f"{r.raw[c.name]['@10']['f1']:.3f} / {r.tracked[c.name]['@10']['f1']:.3f}" for c in clips]
        lines.append(f"| {r.name} | " + " | ".join(cells) + " |")
    return lines


def wins(rows: list[Row], clips: list[Clip]) -> list[str]:
    """Sentences on every clip and figure where a peer is ahead of the first of ours (as it runs)."""
    ours = next(r for r in rows if r.ours)
    peers = [r for r in rows if not r.ours]
    out = []
    for c in clips:
        for key, what, better in (("@5", "F1@5", 1), ("@10", "F1@10", 1), ("multi", "frames with two balls", -1)):
            mine = _figure(ours.tracked[c.name], key)
            for r in peers:
                for how, scores in (("raw", r.raw), ("behind our tracker", r.tracked)):
                    theirs = _figure(scores[c.name], key)
                    # a peer that finds next to nothing also finds no second ball; that is no win
                    useful = scores[c.name]["@10"]["f1"] >= 0.5 * ours.tracked[c.name]["@10"]["f1"]
                    if useful and better * (theirs - mine) > TENTH:
                        out.append(f"- {c.name}, {what}: {r.name} {how} {theirs:.3f}, ours {mine:.3f}")
    for sport in sorted({c.sport for c in clips}):  # detectors alone
        some = [c for c in clips if c.sport == sport]
        mine = pooled(ours.raw, some)["@10"]["f1"]
        for r in peers:
            theirs = pooled(r.raw, some)["@10"]["f1"]
            if theirs > mine + TENTH:
                out.append(f"- {sport}, F1@10 of raw detections alone: {r.name} {theirs:.3f}, ours {mine:.3f}")
    faster = [r.name for r in peers if r.ms < ours.ms]
    if faster:
        out.append(f"- time: {', '.join(faster)} take less than ours")
    smaller = [r.name for r in peers if r.megabytes < ours.megabytes]
    if smaller:
        out.append(f"- size: {', '.join(smaller)} are smaller than ours")
    return out or ["- nowhere"]


def _figure(s: dict[str, Any], key: str) -> float:
    return float(s["multi_ball"] or 0.0) if key == "multi" else float(s[key]["f1"])


def report(rows: list[Row], clips: list[Clip], looked: dict[str, tuple[int, int]], args: argparse.Namespace) -> str:
    """Markdown. ``looked``: pictures looked at and pictures there are, per clip."""
    more = "".join(f" --ours {o.partition('=')[0]}=..." for o in args.ours)
    cap = " --cached" if args.cached else f" --max-frames {args.max_frames}" if args.max_frames else ""
    split = "" if args.split == "val" else f" --split {args.split}"
    command = f"python benchmarks/peers.py PEERS --data $TRACKER_DATA --cache CACHE{split}{cap}{more}"
    short = [f"{n} {a} of {b}" for n, (a, b) in looked.items() if a < b]
    lines = ["# Peers", "", f"    {command} --out benchmarks/results/peers.md", "", HEAD]
    if short:
        lines += [f"**Not all pictures were looked at** (the first ones of each clip): {', '.join(short)}.", ""]
    for name, some in [("All clips", clips), *_by_sport(clips)]:
        lines += [f"## {name}", "", *table(rows, some), ""]
    lines += ["## F1@10 per clip, raw / behind our tracker", "", *per_clip(rows, clips), ""]
    if any(r.ms == r.ms for r in rows):
        lines += ["## Costs", "", COSTS.format(n=args.time_frames), *costs(rows, clips), ""]
    lines += ["## Where a peer is ahead", "", *wins(rows, clips), ""]
    return "\n".join(lines)


def _by_sport(clips: list[Clip]) -> list[tuple[str, list[Clip]]]:
    sports = sorted({c.sport for c in clips})
    return [(s.capitalize(), [c for c in clips if c.sport == s]) for s in sports] if len(sports) > 1 else []
