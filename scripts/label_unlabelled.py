"""Labels the clips of split "unlabelled" of a data set with a teacher and writes a data set of them, all for training.

python scripts/label_unlabelled.py DATASET TEACHER.onnx OUT
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from tracker.labels.dataset import load_dataset

COLUMNS = ("clip", "sport", "kind", "split", "venue", "media", "labels", "width", "height", "fps", "frames")


def main() -> int:
    dataset, teacher, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    with (out / "index.csv").open("w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(COLUMNS)
        for clip in load_dataset(dataset, split="unlabelled"):
            if clip.kind != "clip":
                continue
            media = out / clip.media.name
            labels = out / f"{media.stem}.labels.csv"
            if not media.exists():
                shutil.copyfile(clip.media, media)
            if not labels.exists():
                command = [sys.executable, "-m", "tracker", "pseudolabel", str(media), "--teacher", teacher]
                subprocess.run([*command, "--out", str(labels)], check=True)
            rows.writerow(
                [clip.name, clip.sport, "clip", "train", clip.venue, media.name, labels.name, clip.width, clip.height,
                 clip.fps, clip.frames]
            )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
