"""How good are a teacher's labels, and how many are there? On labelled clips the teacher never saw.

    python benchmarks/pseudolabel.py TEACHER.onnx --data $TRACKER_DATA --clips NAME,NAME \\
        [--records FOLDER] --out benchmarks/results/pseudolabel.md

Precision: labels within 10 px (5 px) of the ball, of all labels in judged frames; a label where the ball is absent is
wrong, one in an occluded frame is right within twice that. Coverage: right labels, of the frames with a visible ball.
For comparison the same detections without the filter: the best detection of each frame by itself, and the best path.
FOLDER keeps what the teacher reported, so that a second run only filters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tracker.core.config import Config
from tracker.core.files import atomic_write
from tracker.core.types import CameraMotion, Detections, FloatArray
from tracker.detect.model import BallModel
from tracker.labels.dataset import Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.propagate.pseudo import MIN_CONFIDENCE, choose, read_clip, teacher_config
from tracker.track.pipeline import ClipRecord, track_video
from tracker.video import open_video

CONFIDENCES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
Counts = (
    np.ndarray
)  # labels, judged, right within 5 px, right within 10 px, visible frames labelled right, visible frames


def record_of(clip: Clip, model: BallModel, config: Config, folder: Path | None) -> ClipRecord:
    path = folder / f"{clip.name}-{model.info.digest}-{config.digest('video', 'detect')}.npz" if folder else None
    if path is not None and path.exists():
        return load_record(path)
    record = ClipRecord()
    with open_video(clip.media) as video:
        for step in track_video(video, model, config):
            record.add(step)
    if path is not None:
        save_record(path, record)
    return record


def save_record(path: Path, r: ClipRecord) -> None:
    motion = [CameraMotion() if c is None else c for c in r.camera]
    columns = {
        "counts": np.array([len(d) for d in r.detections]),
        "candidates": np.array([d.n_detections for d in r.detections]),
        "xy": np.concatenate([d.xy for d in r.detections]), "score": np.concatenate([d.score for d in r.detections]),
        "radius": np.concatenate([d.radius_px for d in r.detections]), "camera": np.array([c.matrix for c in motion]),
        "sure": np.array([c.confident for c in motion]), "none": np.array([c is None for c in r.camera]),
        "frames": np.array(r.frames), "times_s": np.array(r.times_s), "repeated": np.array(r.repeated),
        "gaps": np.array(r.gaps),
    }  # fmt: skip
    with atomic_write(path, "wb") as f:
        np.savez_compressed(f, **columns)


def load_record(path: Path) -> ClipRecord:
    r = ClipRecord()
    with np.load(path, allow_pickle=False) as z:
        ends = np.cumsum(z["counts"])[:-1]
        parts = zip(*(np.split(z[k], ends) for k in ("xy", "score", "radius")), z["candidates"].tolist(), strict=True)
        r.detections = [Detections(xy, s, radius, None, n) for xy, s, radius, n in parts]
        motion = zip(z["camera"], z["sure"], z["none"], strict=True)
        r.camera = [None if none else CameraMotion(m, bool(sure)) for m, sure, none in motion]
        r.frames, r.times_s = z["frames"].tolist(), z["times_s"].tolist()
        r.repeated, r.gaps = z["repeated"].tolist(), z["gaps"].tolist()
    return r


def compare(frame: np.ndarray, xy: FloatArray, clip: Clip) -> Counts:
    assert clip.labels is not None
    truth = LabelTable.read(clip.labels)
    row = {int(f): i for i, f in enumerate(truth.frame)}
    seen = np.isin(truth.visibility, (1, 2))
    out = np.zeros(6, np.int64)
    out[0], out[5] = len(frame), seen.sum()
    for f, p in zip(frame.tolist(), xy, strict=True):
        i = row.get(f)
        if i is None or truth.visibility[i] == -1:
            continue
        d = np.hypot(*(p - truth.xy[i])) * 1280 / clip.width / (2 if truth.visibility[i] == 3 else 1)
        out[1:4] += [1, d <= 5, d <= 10]  # NaN where the ball is absent
        out[4] += bool(d <= 10 and seen[i])
    return out


def cells(c: Counts) -> str:
    judged = max(1, c[1])
    return f"{c[0]} | {c[1]} | {c[2] / judged:.3f} | {c[3] / judged:.3f} | {c[4] / max(1, c[5]):.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    model = BallModel(args.teacher)
    config = teacher_config(Config(), scale=args.scale)
    names = args.clips.split(",")
    clips = sorted((c for c in load_dataset(args.data) if c.name in names), key=lambda c: names.index(c.name))
    heads = "| clip | labels | labels | judged | within 5 px | within 10 px | coverage |\n|---|---|---|---|---|---|---|"
    lines, total = [heads], {}
    for clip in clips:
        record = record_of(clip, model, config, args.records)
        found = read_clip(record, model, config, clip.width, clip.height)
        rows: dict[str, tuple[np.ndarray, FloatArray]] = {}
        best = [
            (f, d.xy[0]) for f, d in zip(record.frames, record.detections, strict=True)
            if len(d) and d.score[0] >= model.info.threshold
        ]  # fmt: skip
        rows["best detection, no filter"] = (
            np.array([f for f, _ in best]),
            np.array([p for _, p in best]).reshape(-1, 2),
        )
        path = [s for s in found.states if str(s.status) == "detected"]
        rows["best path, no filter"] = (np.array([s.frame for s in path]), np.array([s.xy for s in path]))
        for least in CONFIDENCES:
            table = choose(found, record, clip.width, least).table(model.info.threshold)
            mark = " (default)" if least == MIN_CONFIDENCE else ""
            rows[f"confidence from {least:g}{mark}"] = (table.frame, table.xy)
        for name, (frame, xy) in rows.items():
            c = compare(frame, xy, clip)
            total[name] = total.get(name, 0) + c
            lines.append(f"| {clip.name} | {name} | {cells(c)}")
        print("\n".join(lines[-len(rows) :]), flush=True)
    lines += [f"| all | {name} | {cells(c)}" for name, c in total.items()]
    print("\n".join(lines[-len(total) :]))
    if args.out:
        scale = f" --scale {args.scale:g}" if args.scale != 1 else ""
        command = f"python benchmarks/pseudolabel.py TEACHER.onnx --data $TRACKER_DATA --clips {','.join(names)}{scale}"
        text = f"# Pseudo-labels\n\n    {command}\n\nTeacher {model.info.digest}, which never saw these clips. "
        text += "What the columns mean: benchmarks/pseudolabel.py.\n\n"
        with atomic_write(args.out) as f:
            f.write(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
