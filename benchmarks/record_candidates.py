"""Records every candidate of a model once per clip, so that decisions can be studied without running the network again.

Passes of each frame are kept side by side: what the pipeline looked at by itself (``online``), that with what the path
of a whole file looked at once more (``again``; ``out``: the same with the ball's candidates taken out for 40 of every
90 frames), and full passes with the picture's longer side at each of ``--sizes``. Beside them: times, repeats, gaps,
cuts, camera motion and the labels. benchmarks/decide.py and the fitting of the scorer read these files.

    python benchmarks/record_candidates.py $TRACKER_DATA --out recorded --model fold.onnx --venue vienna --sizes 448,905

A clip that is recorded already is passed over. Test a model only on venues that it never saw.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.core.config import Config, load_config
from tracker.core.types import CameraMotion, Detections
from tracker.detect.detector import Detector
from tracker.detect.model import BallModel
from tracker.detect.second_look import SecondLook
from tracker.detect.views import full_view
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.track.path_tracker import PathTracker
from tracker.track.pipeline import Pipeline, Step
from tracker.video import open_video


@dataclass
class Recorded:
    """One clip's candidates.

    Attributes:
        name, sport, venue, split: of the clip. width, height: px.
        frame: int64 [T]; time_s: float64 [T]; repeated, gap: bool [T] (a gap or a cut comes before the frame).
        camera: a motion per frame, source px.
        passes: name -> Detections per frame (``online`` and one per size).
        look: str [T], how the pipeline looked.
        state: float64 [T, 3] of the causal track: x, y, status (2 detected, 1 predicted, 0 lost).
        visibility: int64 [T], -1 where nobody looked; truth: float64 [T, 2] source px.
    """

    name: str
    sport: str
    venue: str
    split: str
    width: int
    height: int
    frame: np.ndarray
    time_s: np.ndarray
    repeated: np.ndarray
    gap: np.ndarray
    camera: list[CameraMotion]
    passes: dict[str, list[Detections]]
    look: np.ndarray
    state: np.ndarray
    visibility: np.ndarray
    truth: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)


OUT, PERIOD = 40, 90  # frames without the ball's candidates
NEAR_PX = 20.0  # at 1280 wide: candidates so near are the ball's


def is_out(row: int | np.ndarray) -> bool | np.ndarray:
    """Whether rows of a clip lie in a stretch without the ball, where it is known where it is."""
    return row % PERIOD >= PERIOD - OUT


def without_ball(found: Detections, ball: np.ndarray, width: int) -> Detections:
    """Candidates without those at the ball, float64 [2] source px."""
    far = ~(1280 / width * np.hypot(*(found.xy - ball).T) <= NEAR_PX)
    return Detections(found.xy[far], found.score[far], found.radius_px[far], None, found.n_detections)


class _Again:
    """What a path has to choose from once it has looked again. ``gone``: the ball's place in the frames without it."""

    def __init__(self, second: SecondLook, config: Config, size: tuple[int, int], gone: dict[int, np.ndarray]) -> None:
        self._second, self._gone, self._width = second, gone, size[0]
        self._path = PathTracker(*size, config.track, look=self._look)
        self.found: dict[int, Detections] = {}
        self.final = -1

    def add(self, step: Step, gap: bool) -> None:
        frame = step.frame
        self.found[frame.index] = self._left(frame.index, step.detections)
        states = self._path.add(
            frame.index, frame.scene_s, self.found[frame.index], camera=step.camera,
            repeated=step.passes == "repeat", gap=gap,
        )  # fmt: skip
        self.final = states[-1].frame if states else self.final

    def finish(self) -> list[Detections]:
        self._path.finish()
        return list(self.found.values())

    def _left(self, frame: int, found: Detections) -> Detections:
        return without_ball(found, self._gone[frame], self._width) if frame in self._gone else found

    def _look(self, frame: int, places: Sequence, found: Detections) -> Detections | None:
        again = self._second(frame, places, found)
        if again is not None:
            again = self.found[frame] = self._left(frame, again)
        return again


def record(
    clip: Clip, model: BallModel, config: Config, sizes: list[int], path: Path, *, thorough: bool = True
) -> None:
    """Runs every pass over the clip and writes ``path`` (.npz)."""
    rows: dict[str, list] = {k: [] for k in ("frame", "time_s", "repeated", "gap", "camera", "sure", "look", "state")}
    passes: dict[str, list[Detections]] = {"online": [], **{str(s): [] for s in sizes}}
    gone: dict[int, np.ndarray] = {}
    truth: dict[int, np.ndarray] = {}
    if clip.labels is not None:
        t = LabelTable.read(clip.labels)
        truth = {int(f): p for f, p, v in zip(t.frame, t.xy, t.visibility, strict=True) if v > 0}
    status = {"lost": 0, "predicted": 1, "detected": 2}
    with open_video(clip.media, config=config.video) as video:
        width, height = video.info.width, video.info.height
        pipeline = Pipeline(model, config, width, height, thorough=thorough)
        second = SecondLook(model, config.detect, width, height)
        again = {n: _Again(second, config, (width, height), g) for n, g in (("again", {}), ("out", gone))}
        seen: list[Detector] = []
        for size in sizes:
            detector = Detector(model, config.detect, width, height)
            detector._full = full_view(width, height, size, model.info.multiple)
            seen.append(detector)
        for frame in video:
            step = pipeline.step(frame)
            repeats = step.passes == "repeat"
            if is_out(len(rows["frame"])) and frame.index in truth:
                gone[frame.index] = truth[frame.index]
            if not repeats:
                second.keep(step.seen)
            for a in again.values():
                a.add(step, frame.gap or step.cut)
            second.forget(min(a.final for a in again.values()))
            passes["online"].append(step.detections)
            for size, detector in zip(sizes, seen, strict=True):
                detector.history = pipeline.detector.history
                passes[str(size)].append(Detections.empty() if repeats else detector.full_pass())
            camera = step.camera or CameraMotion()
            rows["frame"].append(frame.index)
            rows["time_s"].append(frame.time_s)
            rows["repeated"].append(repeats)
            rows["gap"].append(frame.gap or step.cut)
            rows["camera"].append(camera.matrix)
            rows["sure"].append(camera.confident)
            rows["look"].append(step.passes)
            rows["state"].append((*step.state.xy, status[str(step.state.status)]))
        passes |= {n: a.finish() for n, a in again.items()}
    columns = {k: np.array(v) for k, v in rows.items()}
    for name, found in passes.items():
        columns[f"{name}/n"] = np.array([len(d) for d in found])
        columns[f"{name}/xy"] = np.concatenate([d.xy for d in found])
        columns[f"{name}/score"] = np.concatenate([d.score for d in found])
        columns[f"{name}/radius"] = np.concatenate([d.radius_px for d in found])
        columns[f"{name}/count"] = np.array([d.n_detections for d in found])
    size = np.array([width, height])
    part = path.with_name(f".{path.name}.part.npz")
    np.savez_compressed(part, size=size, passes=np.array(list(passes)), **columns)
    part.rename(path)


def at_feet(path: Path) -> dict[str, list[tuple[int, int]]]:
    """The stretches (first, last frame) with the ball at a player's feet, by clip, of an at_feet.csv."""
    spans: dict[str, list[tuple[int, int]]] = {}
    with path.open() as f:
        for row in csv.DictReader(f):
            spans.setdefault(row["clip"], []).append((int(row["first"]), int(row["last"])))
    return spans


def load(path: Path, clip: Clip) -> Recorded:
    """The recording of a clip with its labels."""
    z = np.load(path, allow_pickle=False)
    passes: dict[str, list[Detections]] = {}
    for name in z["passes"].tolist():
        at = np.concatenate([[0], np.cumsum(z[f"{name}/n"])])
        xy, score, radius, count = (z[f"{name}/{k}"] for k in ("xy", "score", "radius", "count"))
        passes[name] = [
            Detections(xy[a:b], score[a:b], radius[a:b], None, int(c))
            for a, b, c in zip(at[:-1], at[1:], count, strict=True)
        ]
    n = len(z["frame"])
    visibility, truth = np.full(n, -1), np.full((n, 2), np.nan)
    if clip.labels is not None:
        labels = LabelTable.read(clip.labels)
        row = {int(f): i for i, f in enumerate(z["frame"])}
        for f, v, xy in zip(labels.frame, labels.visibility, labels.xy, strict=True):
            if int(f) in row:
                visibility[row[int(f)]], truth[row[int(f)]] = v, xy
    cameras = [CameraMotion(m, bool(s)) for m, s in zip(z["camera"], z["sure"], strict=True)]
    width, height = z["size"].tolist()
    return Recorded(
        clip.name, clip.sport, clip.venue, clip.split, width, height, z["frame"], z["time_s"], z["repeated"], z["gap"],
        cameras, passes, z["look"], z["state"], visibility, truth,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--venue", action="append", help="only these venues (again for more)")
    parser.add_argument("--clip", action="append", help="only these clips (again for more)")
    parser.add_argument("--sizes", default="448,905", help="longer sides of the full passes, px")
    parser.add_argument("--causal", action="store_true", help="look as the causal tracker does, not as for a file")
    parser.add_argument("--max-frames", type=int, help="of a clip; longer clips are passed over")
    args = parser.parse_args()
    model = BallModel(args.model)
    config = load_config(None, [])
    sizes = [int(s) for s in args.sizes.split(",") if s]
    args.out.mkdir(parents=True, exist_ok=True)
    clips = [c for c in load_dataset(args.data) if c.kind in ("clip", "frames") and c.labels is not None]
    if args.venue:
        clips = [c for c in clips if c.venue in args.venue]
    if args.clip:
        clips = sorted((c for c in clips if c.name in args.clip), key=lambda c: args.clip.index(c.name))
    for clip in clips:
        path = args.out / f"{clip.name}.npz"
        if not path.exists():
            record(clip, model, config, sizes, path, thorough=not args.causal)
            print(clip.name, flush=True)


if __name__ == "__main__":
    main()
