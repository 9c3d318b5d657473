"""Does the two-pass track beat the online one on the same detections?

The same recorded and simulated detections as benchmarks/tracking.py, tracked by BallTracker and by track_path.
"occluded" is the share of the frames with a hidden ball (visibility 3) in which a place within 10 px is reported.

    python benchmarks/tracking_path.py $TRACKER_DATA/tracks --clips $TRACKER_DATA \\
        --out benchmarks/results/tracking_offline.md
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from simulated import KEEP, START
from tracking import DETECTORS, Rally, errors, figures, read_clips, read_rallies, track

from tracker.core.config import TrackConfig
from tracker.core.files import atomic_write
from tracker.track.path_settings import PathSettings
from tracker.track.path_tracker import track_path


def settings_of(items: list[str]) -> PathSettings:
    """``key=value`` of the settings, ``costs.key=value`` of the path's costs."""
    settings = PathSettings()
    for item in items:
        key, _, value = item.partition("=")
        if key.startswith("costs."):
            settings = replace(settings, costs=replace(settings.costs, **{key[6:]: float(value)}))
        else:
            settings = replace(settings, **{key: float(value)})
    return settings


def offline(rally: Rally, settings: PathSettings) -> np.ndarray:
    states = track_path(
        rally.detections, rally.frame / rally.fps, *rally.size, frames=rally.frame.tolist(),
        repeated=rally.repeated, settings=settings,
    )  # fmt: skip
    return np.array([s.xy for s in states])


def occluded(xy: np.ndarray, rally: Rally) -> tuple[int, int]:
    """Frames with a hidden ball that is reported within 10 px, and how many there are."""
    if rally.visibility is None:
        return 0, 0
    hidden = rally.visibility == 3
    d = np.hypot(*(xy - rally.truth).T) * 1280 / rally.size[0]
    return int((d[hidden] <= 10).sum()), int(hidden.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the offline path")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    settings = settings_of(args.set)
    matches = sorted(p.name.removesuffix("-ball-gt.csv") for p in args.folder.glob("*-ball-gt.csv"))
    sets = [(m, d, read_rallies(args.folder, m, d), *DETECTORS[d]) for m in matches for d in DETECTORS]
    if args.clips:
        sets += [(sport, "simulated", r, START, KEEP) for sport, r in read_clips(args.clips).items()]
    lines = [
        "| tracks | detector | system | F1@5 | F1@10 | precision@5 | recall@5 | occluded | wrong lock | ms/frame |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    pooled: dict[str, list] = {"BallTracker": [], "track_path": []}
    for name, detector, rallies, start, keep in sets:
        for system in pooled:
            began = time.process_time()
            if system == "BallTracker":
                found = [(r, track(r, TrackConfig(), start, keep)[0]) for r in rallies]
            else:
                found = [(r, offline(r, settings)) for r in rallies]
            ms = 1e3 * (time.process_time() - began) / sum(len(r.frame) for r in rallies)
            pooled[system] += found
            lines.append(row(name, detector, system, found, f"{ms:.2f}"))
            print(lines[-1], flush=True)
    for system, found in pooled.items():
        lines.append(row("all", "all", system, found, "-"))
        print(lines[-1])
    if args.out:
        with atomic_write(args.out) as f:
            command = "python benchmarks/tracking_path.py $TRACKER_DATA/tracks"
            command += " --clips $TRACKER_DATA" if args.clips else ""
            f.write(f"# Offline against online on the same detections\n\n    {command}\n\n" + "\n".join(lines) + "\n")


def row(name: str, detector: str, system: str, found: list[tuple[Rally, np.ndarray]], ms: str) -> str:
    s = figures([(errors(xy, r), r) for r, xy in found])
    hit, hidden = np.sum([occluded(xy, r) for r, xy in found], axis=0)
    share = f"{hit}/{hidden}" if hidden else "-"
    return (
        f"| {name} | {detector} | {system} | {s['F1@5']:.3f} | {s['F1@10']:.3f} | {s['P@5']:.3f} | {s['R@5']:.3f} | "
        f"{share} | {s['wrong_lock']:.0f} | {ms} |"
    )


if __name__ == "__main__":
    main()
