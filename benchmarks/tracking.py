"""How good is the online tracker on other people's detections?

Runs BallTracker over recorded candidates (positions and scores, no pictures) and compares with the detector's own best
detection in each frame. The protocol: distances at 1280 wide; a ball reported in the wrong place is a miss and costs
precision; predicted frames count as reported; longest false track = longest run of frames more than 40 px off.

    python benchmarks/tracking.py $TRACKER_DATA/tracks --out benchmarks/results/tracking_online.md
    python benchmarks/tracking.py $TRACKER_DATA/tracks --clips $TRACKER_DATA --set track.report_coast_s=0.1

The folder holds NAME-ball-gt.csv (match_id,time_ms,ball_sn,x,y) and NAME-DETECTOR.csv (the same and score).
``--clips`` adds the labelled clips of a data set with a simulated detector (benchmarks/simulated.py), pooled by sport;
pictures are not looked at, so panning cameras pan.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from simulated import KEEP, START, simulate

from tracker.core.config import TrackConfig, load_config
from tracker.core.types import Detections
from tracker.track.online import BallTracker

FRAME_MS = 40
# operating points of the recorded detectors: the start threshold is the one at which the best detection has the highest
# F1 at 10 px on m-020, the keep threshold lets weaker detections go on with a track
DETECTORS = {"single": (0.5, 0.05), "3-frames": (0.99, 0.05)}


@dataclass
class Rally:
    """frame int64 [N], truth float64 [N, 2] px, detections per frame."""

    name: str
    frame: np.ndarray
    truth: np.ndarray
    detections: list[Detections]
    fps: float = 25.0
    size: tuple[int, int] = (1920, 1080)
    repeated: np.ndarray | None = None  # bool [N]
    visibility: np.ndarray | None = None  # int64 [N]; None = visible throughout


def read_rallies(folder: Path, match: str, detector: str) -> list[Rally]:
    detections: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    with open(folder / f"{match}-{detector}.csv", newline="") as f:
        for r in csv.DictReader(f):
            detections[int(r["time_ms"])].append((float(r["score"]), float(r["x"]), float(r["y"])))
    truth: dict[str, dict[int, tuple[float, float]]] = defaultdict(dict)
    with open(folder / f"{match}-ball-gt.csv", newline="") as f:
        for r in csv.DictReader(f):
            truth[r["ball_sn"]][int(r["time_ms"])] = (float(r["x"]), float(r["y"]))
    rallies = []
    for name, points in truth.items():
        times = sorted(points)
        detections = []
        for t in times:
            best = np.array(sorted(detections.get(t, []), reverse=True)).reshape(-1, 3)
            detections.append(Detections(best[:, 1:], best[:, 0], np.full(len(best), np.nan)))
        frames = np.array([round(t / FRAME_MS) for t in times])
        rallies.append(Rally(f"{match} {name}", frames, np.array([points[t] for t in times]), detections))
    return rallies


def track(rally: Rally, config: TrackConfig, start: float, keep: float) -> tuple[np.ndarray, float]:
    """Positions [N, 2] (NaN = nothing reported) and mean seconds per step."""
    tracker = BallTracker(config, width=rally.size[0], height=rally.size[1], start_threshold=start, keep_threshold=keep)
    repeated = rally.repeated if rally.repeated is not None else np.zeros(len(rally.frame), bool)
    began = time.process_time()
    states = [
        tracker.step(int(f), f / rally.fps, d, repeated=bool(r))
        for f, d, r in zip(rally.frame, rally.detections, repeated, strict=True)
    ]
    return np.array([s.xy for s in states]), (time.process_time() - began) / max(1, len(states))


def read_clips(folder: Path, seed: int = 0) -> dict[str, list[Rally]]:
    """Labelled clips by sport, with simulated detections."""
    from tracker.labels.dataset import load_dataset
    from tracker.labels.schema import LabelTable

    rallies: dict[str, list[Rally]] = defaultdict(list)
    for clip in load_dataset(folder):
        if clip.kind not in ("clip", "frames") or clip.labels is None:
            continue
        t = LabelTable.read(clip.labels)
        same = (np.diff(t.frame) == 1) & (t.xy[1:] == t.xy[:-1]).all(1)
        repeated = np.concatenate([[False], same]) & (clip.fps > 29)  # labels of repeated frames are equal
        rng = np.random.default_rng([seed, len(t.frame)])
        d = simulate(t.xy, t.visibility, repeated, clip.width, clip.height, rng)
        size = (clip.width, clip.height)
        rallies[clip.sport].append(Rally(clip.name, t.frame, t.xy, d, clip.fps, size, repeated, t.visibility))
    return rallies


def best_detection(rally: Rally, start: float) -> np.ndarray:
    return np.array([d.xy[0] if len(d) and d.score[0] >= start else (np.nan, np.nan) for d in rally.detections])


def errors(xy: np.ndarray, rally: Rally) -> np.ndarray:
    """Error per frame [N] at 1280 wide; NaN = not reported or not asked (occluded), infinite = no ball there."""
    e = np.hypot(*(xy - rally.truth).T) * 1280 / rally.size[0]
    if rally.visibility is not None:
        e = np.where((rally.visibility == 0) & np.isfinite(xy[:, 0]), np.inf, e)
        e = np.where(rally.visibility == 3, np.nan, e)
    return e


def figures(found: list[tuple[np.ndarray, Rally]]) -> dict[str, float]:
    """Pooled figures of error columns [N] (NaN = not reported)."""
    d = np.concatenate([e for e, _ in found])
    visible = sum(len(r.frame) if r.visibility is None else np.isin(r.visibility, (1, 2)).sum() for _, r in found)
    reported, out = ~np.isnan(d), {"reported": float(np.mean(~np.isnan(d)))}
    for t in (5, 10):
        tp = np.sum(d <= t)
        p, r = tp / max(1, reported.sum()), tp / max(1, visible)
        out[f"P@{t}"], out[f"R@{t}"], out[f"F1@{t}"] = p, r, 2 * p * r / max(1e-9, p + r)
    longest = 0
    for e, rally in found:
        run = 0
        for i, wrong in enumerate(e > 40):
            follows = i > 0 and rally.frame[i] == rally.frame[i - 1] + 1
            run = (run if follows else 0) + 1 if wrong else 0
            longest = max(longest, run)
    out["longest_false_track"] = longest
    return out


def evaluate(rallies: list[Rally], config: TrackConfig, start: float, keep: float) -> tuple[dict, dict, float]:
    raw = figures([(errors(best_detection(r, start), r), r) for r in rallies])
    runs = [(r, *track(r, config, start, keep)) for r in rallies]
    return raw, figures([(errors(xy, r), r) for r, xy, _ in runs]), float(np.mean([s for *_, s in runs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=Path, help="a data set whose labels a simulated detector looks for")
    parser.add_argument("--set", action="append", default=[], metavar="track.KEY=VALUE", help="override a setting")
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    args = parser.parse_args()
    config = load_config(overrides=args.set).track
    matches = sorted(p.name.removesuffix("-ball-gt.csv") for p in args.folder.glob("*-ball-gt.csv"))
    if not matches:
        parser.error(f"{args.folder} has no *-ball-gt.csv")
    lines = [
        "| tracks | detector | system | F1@5 | F1@10 | precision@5 | recall@5 | reported | "
        "longest false track | ms/step |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    sets = [(m, d, read_rallies(args.folder, m, d), *DETECTORS[d]) for m in matches for d in DETECTORS]
    if args.clips:
        sets += [(sport, "simulated", r, START, KEEP) for sport, r in read_clips(args.clips).items()]
    for name, detector, rallies, start, keep in sets:
        raw, tracked, seconds = evaluate(rallies, config, start, keep)
        for system, s, ms in (("best claim", raw, "-"), ("BallTracker", tracked, f"{seconds * 1e3:.2f}")):
            lines.append(
                f"| {name} | {detector} | {system} | {s['F1@5']:.3f} | {s['F1@10']:.3f} | {s['P@5']:.3f} |"
                f" {s['R@5']:.3f} | {s['reported']:.3f} | {s['longest_false_track']:.0f} | {ms} |"
            )
    print("\n".join(lines))
    if args.out:
        command = "python benchmarks/tracking.py $TRACKER_DATA/tracks"
        command += " --clips $TRACKER_DATA" if args.clips else ""
        command += "".join(f" --set {s}" for s in args.set)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"# Online tracker on recorded detections\n\n    {command}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
