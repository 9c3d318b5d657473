"""What is reported while there is no ball? Stretches of real clips with the ball painted out.

In runs of pictures the labelled ball and its streak are replaced by what is behind them: the temporal median of the
clip's own pictures without the ball (tracker/learn/background.py), with soft edges. The clip then goes through the
pipeline as any video does. A detection in such a picture is false; in the first ones a tracker may still go straight on
(``near``: within 20 px of where the ball would be), so the rate is given for all pictures and for those more than
0.25 s after the ball went. Places are px of a picture 1280 wide; intervals are 95 %, by a bootstrap over runs. Test a
model only on venues it never saw.

    python benchmarks/painted_out.py --data $TRACKER_DATA --cache cache --model fold.onnx --clip rotterdam_hard

--frames DIR keeps the made frames for looking at them; the folder must lie outside the repository.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from occlusion_test import NEAR_PX, choose_clips, clip_parser, parse_clip_options

from tracker.core.config import load_config
from tracker.core.files import atomic_write
from tracker.core.types import Frame, Image, whole
from tracker.detect.model import BallModel
from tracker.learn.background import Background, build_background
from tracker.learn.ballpath import BallPath
from tracker.learn.cache import CachedClip
from tracker.track.pipeline import Pipeline

RUN = (10, 24)  # pictures
REST = (20, 40)  # pictures with the ball in sight between runs
HALO_PX = 4.0  # painted around the ball, at 1280 wide
LATE_S = 0.25


def plan(clip: CachedClip, path: BallPath, seed: int) -> list[list[int]]:
    """Runs of rows in which the ball is painted out: without a break, its place known in all of them."""
    rng = np.random.default_rng([seed, len(clip)])
    known = path.known
    runs: list[list[int]] = []
    i = int(rng.integers(5, REST[0]))
    while i < len(clip):
        n = int(rng.integers(RUN[0], RUN[1] + 1))
        rows = list(range(i, min(len(clip), i + n)))
        if len(rows) >= RUN[0] and known[rows].all() and np.ptp(path.stretch[rows]) == 0:
            runs.append(rows)
            i += n + int(rng.integers(*REST))
        else:
            i += 1
    return runs


def painted(path: BallPath, background: Background, row: int) -> Image | None:
    """The picture without its ball; None where what is behind it is not known."""
    clip = path.clip
    image = np.array(clip.frames[row])
    h, w = image.shape[:2]
    points, reach = path.near(row, HALO_PX * w / 1280)
    mask = np.zeros((h, w), np.float32)
    for x, y in points:
        cv2.circle(mask, (round(float(x)), round(float(y))), int(np.ceil(reach)), 1.0, -1)
    ys, xs = np.nonzero(mask)
    behind = background.view(row, whole(w, h), w, h)
    if behind is None or not len(ys) or (behind[ys, xs, 3] < 255).any():
        return None
    soft = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3))), (0, 0), 1.0)[..., None]
    known = behind[..., 3:] == 255
    return np.where(known, image * (1 - soft) + behind[..., :3] * soft + 0.5, image).astype(np.uint8)


def errors(
    path: BallPath,
    background: Background,
    runs: Sequence[Sequence[int]],
    model: BallModel,
    settings: Sequence[str],
    keep: Path | None,
) -> list[np.ndarray]:
    """Per run float64 [n, 2]: seconds since the ball went, and the distance of the detection from where it would be, px
    at 1280 wide (NaN: nothing reported). Rows that cannot be painted end a run."""
    clip = path.clip
    h, w = clip.frames.shape[1:3]
    made: dict[int, Image] = {}
    which: dict[int, int] = {}
    for k, rows in enumerate(runs):
        for r in rows:
            image = painted(path, background, r)
            if image is None:
                break
            made[r], which[r] = image, k
    out: list[list[tuple[float, float]]] = [[] for _ in runs]
    pipeline = Pipeline(model, load_config(None, settings), w, h)
    for r in range(len(clip)):
        state = pipeline.step(Frame(
            int(clip.number[r]), float(clip.time_s[r]), made.get(r, clip.frames[r]),
            repeated=bool(clip.repeated[r]), gap=bool(clip.gap[r]) and r > 0,
        )).state  # fmt: skip
        if r not in made:
            continue
        k = which[r]
        away = float(np.hypot(*(state.xy - clip.xy[r]))) * 1280 / w
        out[k].append((float(clip.time_s[r] - clip.time_s[runs[k][0]]), away))
        if keep is not None:
            picture = made[r].copy()
            cv2.circle(picture, tuple(round(float(v)) for v in clip.xy[r]), 14, (255, 0, 0), 1)
            if np.isfinite(state.xy).all():
                cv2.circle(picture, tuple(round(float(v)) for v in state.xy), 10, (255, 255, 0), 1)
            cv2.imwrite(str(keep / f"{clip.name}_{r:06d}.jpg"), picture[..., ::-1])
    return [np.array(o) for o in out if o]


def figures(runs: Sequence[np.ndarray], rounds: int = 2000) -> str:
    """One row of the table."""
    if not runs:
        return "0 | 0 | - | - | - | -"
    late = [r[r[:, 0] > LATE_S] for r in runs]
    late = [r for r in late if len(r)]
    every = np.concatenate(runs)[:, 1]
    reported = np.array([np.isfinite(r[:, 1]).sum() for r in late])
    size = np.array([len(r) for r in late])
    if not len(late):
        return f"{len(runs)} | {len(every)} | {np.isfinite(every).mean():.3f} | {np.mean(every <= NEAR_PX):.3f} | 0 | -"
    pick = np.random.default_rng(0).integers(0, len(late), (rounds, len(late)))
    low, high = np.percentile(reported[pick].sum(1) / size[pick].sum(1), [2.5, 97.5])
    return (
        f"{len(runs)} | {len(every)} | {np.isfinite(every).mean():.3f} | {np.mean(every <= NEAR_PX):.3f} |"
        f" {size.sum()} | {reported.sum() / size.sum():.3f} ({low:.3f} to {high:.3f})"
    )


HEAD = (
    "| clip | runs | painted pictures | reported | of these near | more than 0.25 s after | reported then (95 %) |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> int:
    args = parse_clip_options(clip_parser(__doc__, passes=2))
    model = BallModel(args.model)
    lines, everything = [HEAD], []
    print(HEAD)
    for clip in choose_clips(args):
        path = BallPath(clip)
        background = build_background(path)
        runs: list[np.ndarray] = []
        for seed in range(args.passes):
            runs += errors(path, background, plan(clip, path, seed), model, args.set, args.frames)
        everything += runs
        lines.append(f"| {clip.name} | {figures(runs)} |")
        print(lines[-1], flush=True)
    lines.append(f"| all | {figures(everything)} |")
    print(lines[-1])
    if args.out:
        text = (__doc__ or "").split("\n\n")[1].strip()
        more = "".join(f" --{n} {v}" for n in ("venue", "clip", "set") for v in getattr(args, n) or [])
        command = f"python benchmarks/painted_out.py --data $TRACKER_DATA --model MODEL{more} --passes {args.passes}"
        with atomic_write(args.out) as f:
            f.write(f"# No ball in the picture\n\n    {command}\n\n{text}\n\n" + "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
