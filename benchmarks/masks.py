"""Do the ball's pixels (`tracker infer --highlight`) agree with masks drawn by eye?

    python benchmarks/masks.py DRAWN.csv --data $TRACKER_DATA --work runs/masks --out benchmarks/results/masks.md

DRAWN.csv has a row per ball: clip, frame, x1, y1, x2, y2, r. A ball is a capsule in source px: all within r of the line
from (x1, y1) to (x2, y2); a round ball is one whose line is short. Overlap is intersection over union; a frame in which
the tracker does not report the ball is counted apart; the expected shape in place of pixels counts.
Trajectories are kept in --work and read again.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tracker.core.config import Config
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState, Frame, Region
from tracker.render.mask import BallMask
from tracker.render.replay import CameraWatch, states_of
from tracker.render.sink import REACH, Waiting, ball_mask
from tracker.video import open_video

ROUND = 1.5  # longest length over width of a ball called round
FAR = 2.0  # radii: a report further from the drawn ball is not of that ball


@dataclass(frozen=True)
class Drawn:
    """A capsule in source px."""

    clip: str
    frame: int
    ends: np.ndarray  # float64 [2, 2]
    radius: float

    @property
    def elongation(self) -> float:
        return 1 + float(np.hypot(*(self.ends[1] - self.ends[0]))) / (2 * self.radius)

    @property
    def is_round(self) -> bool:
        return self.elongation < ROUND

    def distance(self, xy: np.ndarray) -> np.ndarray:
        """float64 [...] px from points [..., 2] to the capsule's middle line."""
        a, along = self.ends[0], self.ends[1] - self.ends[0]
        t = np.clip((xy - a) @ along / max(float(along @ along), 1e-9), 0, 1)
        return np.hypot(*np.moveaxis(xy - a - t[..., None] * along, -1, 0))


def read_drawn(path: Path) -> dict[str, list[Drawn]]:
    out = defaultdict(list)
    with path.open(newline="") as f:
        for row in csv.DictReader(f):
            ends = np.array([[float(row["x1"]), float(row["y1"])], [float(row["x2"]), float(row["y2"])]])
            out[row["clip"]].append(Drawn(row["clip"], int(row["frame"]), ends, float(row["r"])))
    return out


def overlap(mask: BallMask | None, drawn: Drawn) -> float:
    """Intersection over union of two sets of pixels; a pixel belongs to a capsule if its middle does."""
    reach = int(np.ceil(drawn.radius)) + 2
    low = np.floor(drawn.ends.min(0)).astype(int) - reach
    high = np.ceil(drawn.ends.max(0)).astype(int) + reach + 1
    if mask is not None:
        low = np.minimum(low, [mask.x0, mask.y0])
        high = np.maximum(high, [mask.x0 + mask.part.shape[1], mask.y0 + mask.part.shape[0]])
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    wanted = drawn.distance(np.stack([x, y], -1).astype(float)) <= drawn.radius
    found = np.zeros_like(wanted)
    if mask is not None:
        h, w = mask.part.shape
        found[mask.y0 - low[1] : mask.y0 - low[1] + h, mask.x0 - low[0] : mask.x0 - low[0] + w] = mask.part
    return float((wanted & found).sum() / max(1, (wanted | found).sum()))


def near(video: str, states: dict[int, BallState], wanted: set[int]) -> dict[int, tuple[list[Waiting], int]]:
    """For each frame of ``wanted`` what the highlighter holds when it comes to it, and its place in there."""
    held: deque[Waiting] = deque(maxlen=2 * REACH + 1)
    out, watch = {}, CameraWatch()
    with open_video(video, config=Config().video) as source:
        for frame in source:
            state = states.get(frame.index) or BallState.lost(frame.index, frame.time_s)
            held.append(Waiting.of(frame, state, *watch.see(frame)))
            for at in range(max(0, len(held) - 1 - REACH), len(held)):  # at the clip's end fewer frames come after
                if held[at].frame.index in wanted:
                    out[held[at].frame.index] = (list(held), at)
            if frame.index > max(wanted) + REACH:
                break
    return out


def track(video: str, frames: int, folder: Path) -> Trajectory:
    """The trajectory of the first ``frames`` frames, from ``folder`` if it is there."""
    path = folder / "trajectory.csv"
    if not path.exists():
        command = [sys.executable, "-m", "tracker", "infer", video, "--quiet", "--max-frames", str(frames)]
        subprocess.run([*command, "--out", str(folder)], check=True)
    return Trajectory.load(path)


@dataclass(frozen=True)
class Result:
    ball: Drawn
    mask: BallMask | None  # None: the tracker does not report the ball there
    iou: float


HEAD = """| balls | drawn | not found | expected shape | IoU of the found, mean (95 %) | median | tenth percentile |
|---|--:|--:|--:|---|--:|--:|"""


def row(name: str, results: list[Result]) -> str:
    found = [r for r in results if r.mask is not None]
    iou = np.array([r.iou for r in found])
    low, high = np.percentile(np.random.default_rng(0).choice(iou, (2000, len(iou))).mean(1), (2.5, 97.5))
    shape = sum(not r.mask.segmented for r in found if r.mask)
    return (
        f"| {name} | {len(results)} | {len(results) - len(found)} | {shape} | "
        f"{iou.mean():.3f} ({low:.3f} to {high:.3f}) | {np.median(iou):.3f} | {np.percentile(iou, 10):.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawn", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="write each ball magnified, with both outlines")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with (args.data / "index.csv").open(newline="") as f:
        media = {r["clip"]: str(args.data / r["media"]) for r in csv.DictReader(f)}
    results: list[Result] = []
    for clip, balls in read_drawn(args.drawn).items():
        trajectory = track(media[clip], max(b.frame for b in balls) + 10, args.work / clip)
        found = near(media[clip], states_of(trajectory), {b.frame for b in balls})
        for ball in balls:
            held, at = found[ball.frame]
            mask = ball_mask(held, at)
            if mask is not None and ball.distance(held[at].state.xy) > FAR * ball.radius:
                mask = None
            results.append(Result(ball, mask, overlap(mask, ball)))
            print(
                f"{clip} {ball.frame}: {ball.elongation:.2f} x {2 * ball.radius:.1f} px, {results[-1].iou:.3f}",
                flush=True,
            )
            if args.pictures and mask is not None:
                save_picture(args.pictures, held[at].frame, results[-1])
    lines = [
        HEAD,
        *(row(name, [r for r in results if r.ball.is_round == (name == "round")]) for name in ("round", "streaks")),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text)


def save_picture(folder: Path, frame: Frame, result: Result) -> None:
    """The ball eight times as large: the drawn outline magenta, that of the found pixels white."""
    folder.mkdir(parents=True, exist_ok=True)
    ball, k = result.ball, 8
    half = int(np.ceil(np.abs(ball.ends - ball.ends.mean(0)).max() + ball.radius)) + 8
    x0, y0 = (np.round(ball.ends.mean(0)).astype(int) - half).tolist()
    found = np.zeros((frame.height, frame.width, 3), np.uint8)
    if result.mask is not None:
        found[result.mask.whole(frame.width, frame.height)] = 255
    region = Region(x0 - 0.5, y0 - 0.5, 2 * half + 1, 2 * half + 1)
    big, inside = (
        cv2.resize(Frame(0, 0.0, image).crop(region, 2 * half + 1, 2 * half + 1), None, fx=k, fy=k, interpolation=0)
        for image in (frame.image, found)
    )
    y, x = (np.mgrid[: big.shape[0], : big.shape[1]] + 0.5) / k - 0.5
    drawn = ball.distance(np.stack([x + x0, y + y0], -1)) <= ball.radius
    for part, colour in ((drawn, (255, 0, 255)), (inside[..., 0] > 127, (255, 255, 255))):
        outline, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(big, outline, -1, colour, 1)
    cv2.putText(big, f"{ball.clip[:10]} {ball.frame} {result.iou:.2f}", (4, 14), 0, 0.42, (255, 255, 0), 1, cv2.LINE_AA)
    cv2.imwrite(str(folder / f"{result.iou:.3f}_{ball.clip}_{ball.frame}.png"), big[..., ::-1])


if __name__ == "__main__":
    main()
