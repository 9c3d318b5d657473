"""How calmly the automatic camera moves, and how often the ball is in what it shows.

    python benchmarks/follow.py DATASET --out benchmarks/results/follow.md

Clips are tracked online with the bundled weights and the crop is planned from that track (offline: with look-ahead;
live: without); where the ball is too fast or lost, the crop widens up to follow.widest, unless its width is fixed. In
sight: share of frames labelled visible or hard whose labelled ball is inside the crop. Lengths are
in widths of the picture; jerk is the root mean square of the third difference of the crop's centre, also as a share of
that of a crop centred on the raw track (which stays where it was while the ball is lost).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker.core.config import Config
from tracker.core.files import atomic_write
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.render.follow import ASPECTS, CropBounds, LiveFollow
from tracker.render.follow_plan import plan_follow
from tracker.render.replay import states_of

CLIPS = ("facup_300", "miami_blue", "paris_indoor")
HEAD = (
    "| clip | crop | | width of the crop | in sight | peak speed /s | peak acceleration /s^2 | jerk | of raw |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def derivatives(time_s: np.ndarray, centre: np.ndarray) -> tuple[float, float, float]:
    """Peak speed, peak acceleration, root mean square of the jerk."""
    step = np.median(np.diff(time_s))
    speed, acceleration, jerk = (np.diff(centre, n, axis=0) / step**n for n in (1, 2, 3))
    return (
        float(np.hypot(*speed.T).max()), float(np.hypot(*acceleration.T).max()),
        float(np.sqrt((jerk**2).sum(1).mean())),
    )  # fmt: skip


def raw_jerk(track: Trajectory, size: tuple[int, int]) -> float:
    centre = track.xy.copy()
    for i in range(len(centre)):
        if not np.isfinite(centre[i]).all():
            centre[i] = centre[i - 1] if i else np.array(size) / 2
    return derivatives(track.time_s, centre / size[0])[2]


def measure(clip: Clip, track: Trajectory, config: Config) -> list[str]:
    labels = LabelTable.read(clip.labels)
    visible = np.isin(labels.visibility, (1, 2))
    place = dict(zip(labels.frame[visible].tolist(), labels.xy[visible], strict=True))
    size = (clip.width, clip.height)
    raw = raw_jerk(track, size)
    states = states_of(track)
    lines = []
    for aspect in ASPECTS:
        follow = replace(config.follow, aspect=aspect)
        bounds = CropBounds.of(follow, *size)
        planned = plan_follow(track.time_s, track.xy, track.status == "detected", size, follow)
        camera = LiveFollow(follow, *size)
        live = [
            camera.step(states.get(int(f), BallState.lost(int(f), float(t))), float(t))
            for f, t in zip(track.frame, track.time_s, strict=True)
        ]
        fixed = plan_follow(track.time_s, track.xy, track.status == "detected", size, replace(follow, widest=1.0))
        ways = {
            "look-ahead": [planned.crop(i) for i in range(len(track))],
            "look-ahead, width fixed": [fixed.crop(i) for i in range(len(track))],
            "live": live,
        }
        for name, crops in ways.items():
            seen = [c.contains(place[int(f)]) for c, f in zip(crops, track.frame, strict=True) if int(f) in place]
            centre = np.array([(c.x, c.y) for c in crops]) / clip.width
            speed, acceleration, jerk = derivatives(track.time_s, centre)
            mean = np.mean([c.width for c in crops]) / clip.width
            lines.append(
                f"| {clip.name} | {aspect} | {name} | {bounds.base / clip.width:.2f} (mean {mean:.2f}) | "
                f"{100 * np.mean(seen):.1f} % of {len(seen)} | {speed:.2f} | {acceleration:.2f} | {jerk:.2f} | "
                f"1/{raw / jerk:.0f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", nargs="*", default=CLIPS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--runs", type=Path, help="keep the tracks there, and use those that are there")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    from tracker.app.infer import infer

    config, runs = Config(), args.runs or Path(tempfile.mkdtemp())
    lines = []
    for clip in load_dataset(args.data):
        if clip.name not in args.clips:
            continue
        out = runs / clip.name
        if not (out / "trajectory.csv").is_file():
            infer(clip.media, config, out=out, model=args.model, fps=clip.fps if clip.kind == "frames" else None)
        lines += measure(clip, Trajectory.from_csv(out / "trajectory.csv"), config)
    f = config.follow
    bounds = f"Bounds: speed {f.max_speed:g} /s, acceleration {f.max_acceleration:g} /s^2.\n"
    text = f"{bounds}\n{HEAD}\n" + "\n".join(lines) + "\n"
    print(text)
    if args.out:
        with atomic_write(args.out) as file:
            file.write("# The automatic camera\n\n" + __doc__.split("\n", 2)[2] + "\n" + text)


if __name__ == "__main__":
    main()
