"""A student taught by a teacher's labels against one taught by people's, on the same clips for as many steps.

    python benchmarks/student.py TEACHER.onnx --data $TRACKER_DATA --clips atp_finals,rotterdam_hard,amateur_grass \\
        --work FOLDER [--epochs 4 --steps 100] [--set KEY=VALUE]... --out benchmarks/results/student.md

The teacher must not have seen the clips. Three students of our own network, equal seeds and steps, on these clips
alone: people's labels, the teacher's labels (source ``model``, weighed by data.model_weight), and people's labels of
only those frames the teacher labelled too (what the missing frames cost). Scored on the val clips of the sport by the
reference protocol. What is done already in FOLDER is taken as it is.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from tracker.core.config import load_config
from tracker.core.files import atomic_write
from tracker.detect.model import BallModel
from tracker.evaluate.frames import align
from tracker.evaluate.protocol import pool_protocol, protocol_scores
from tracker.labels.dataset import REQUIRED, Clip, load_dataset
from tracker.labels.schema import LabelTable
from tracker.track.pipeline import track_video
from tracker.video import open_video

ARMS = ("people", "teacher", "people, the teacher's frames")


def labels_of(arm: str, clip: Clip, teacher: Path, work: Path) -> LabelTable:
    assert clip.labels is not None
    people = LabelTable.read(clip.labels)
    if arm == ARMS[0]:
        return people
    made = work / f"{clip.name}.pseudo.csv"
    if not made.exists():
        ask = ["pseudolabel", str(clip.media), "--teacher", str(teacher), "--out", str(made), "--quiet"]
        subprocess.run([sys.executable, "-m", "tracker", *ask], check=True)
    table = LabelTable.read(made)
    return table if arm == ARMS[1] else people.select(np.isin(people.frame, table.frame))


def data_set(arm: str, clips: list[Clip], val: list[Clip], teacher: Path, work: Path) -> Path:
    """A folder with copies of the media, this arm's labels for the training clips, the val clips as they are."""
    folder = work / arm.replace(", ", "-").replace(" ", "_").replace("'", "")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in [*clips, *val]:
        media = folder / clip.media.name
        if not media.exists():
            if clip.media.is_dir():
                shutil.copytree(clip.media, media)
            else:
                shutil.copyfile(clip.media, media)
        assert clip.labels is not None
        table = labels_of(arm, clip, teacher, work) if clip in clips else LabelTable.read(clip.labels)
        table.write(folder / f"{clip.name}.labels.csv")
        rows.append(
            (clip.name, clip.sport, clip.kind, "train" if clip in clips else "val", clip.venue, media.name,
             f"{clip.name}.labels.csv", clip.width, clip.height, clip.fps, clip.frames)
        )  # fmt: skip
    with atomic_write(folder / "index.csv") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(REQUIRED)
        writer.writerows(rows)
    return folder


def score(model: Path, val: list[Clip]) -> dict:
    config, net, done = load_config(None), BallModel(model), []
    for clip in val:
        with open_video(clip.media) as video:
            states = [s.state for s in track_video(video, net, config)]
        assert clip.labels is not None
        t = LabelTable.read(clip.labels)
        done.append(protocol_scores(align(
            label_frame=t.frame, visibility=t.visibility, truth=t.xy, frame=[s.frame for s in states],
            xy=np.array([s.xy for s in states]), width=clip.width, n_detections=[s.n_detections for s in states],
        )))  # fmt: skip
    return pool_protocol(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    everything = load_dataset(args.data)
    names = args.clips.split(",")
    clips = [c for c in everything if c.name in names]
    val = [c for c in everything if c.split == "val" and c.kind != "stills" and c.sport == clips[0].sport]
    lines = ["| labels | frames with a ball | F1@5 | F1@10 | two balls |", "|---|---|---|---|---|"]
    for arm in ARMS:
        folder = data_set(arm, clips, val, args.teacher, args.work)
        model = folder / "run" / "model.onnx"
        if not model.exists():
            settings = [f"train.epochs={args.epochs}", f"train.steps_per_epoch={args.steps}", *args.settings]
            train = ["-m", "tracker.train", "oneball", *settings, f"data.cache_dir={args.work / 'cache'}"]
            where = ["--data", str(folder), "--out", str(folder / "run")]
            subprocess.run([sys.executable, *train, *where], check=True)
        tables = [LabelTable.read(folder / f"{c.name}.labels.csv") for c in clips]
        n = sum(int((t.visibility > 0).sum()) for t in tables)
        s = score(model, val)
        lines.append(f"| {arm} | {n} | {s['@5']['f1']:.3f} | {s['@10']['f1']:.3f} | {s['multi_ball']:.3f} |")
        print(lines[-1], flush=True)
    if args.out:
        command = f"python benchmarks/student.py TEACHER.onnx --data $TRACKER_DATA --clips {args.clips} --work WORK"
        command += f" --epochs {args.epochs} --steps {args.steps}" + "".join(f" --set {s}" for s in args.settings)
        with atomic_write(args.out) as f:
            f.write(f"# A student of pseudo-labels\n\n    {command}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
