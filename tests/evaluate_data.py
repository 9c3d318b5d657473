"""A small data set for the tests: folders of painted pictures, labels, and trajectories made by spoiling the truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

W, H = 320, 180
HEAD = "clip,sport,kind,split,venue,media,labels,width,height,fps,frames\n"


def ball_at(i: int) -> tuple[float, float]:
    return 20.0 + 4 * i, 90.0 + 40 * float(np.sin(i / 7))


def make_dataset(root: Path, clips: dict[str, tuple[str, str]], frames: int = 40) -> Path:
    """Clips as name -> (split, venue); the last five frames of each show no ball, frames 10 to 14 are hard."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (split, venue) in clips.items():
        media = root / name
        media.mkdir()
        lines = ["frame,visibility,x,y"]
        for i in range(frames):
            picture = np.full((H, W, 3), (60, 120, 60), np.uint8)
            x, y = ball_at(i)
            if i < frames - 5:
                cv2.circle(picture, (round(x), round(y)), 3, (80, 255, 255), -1)
                lines.append(f"{i},{2 if 10 <= i < 15 else 1},{x:.2f},{y:.2f}")
            else:
                lines.append(f"{i},0,,")
            cv2.imwrite(str(media / f"{i:04d}.png"), picture)
        (root / f"{name}.labels.csv").write_text("\n".join(lines) + "\n")
        rows.append(f"{name},tennis,frames,{split},{venue},{name},{name}.labels.csv,{W},{H},25,{frames}\n")
    (root / "index.csv").write_text(HEAD + "".join(rows))
    return root


def make_trajectory(folder: Path, name: str, *, frames: int = 40, seed: int = 0, decoy: float = 0.0) -> Path:
    """NAME/trajectory.csv and candidates.csv; ``decoy`` is the share of frames with a second detection."""
    rng = np.random.default_rng(seed)
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    rows, candidates = ["frame,time_s,x,y,status,score,n_detections"], ["frame,x,y,score"]
    for i in range(frames):
        x, y = np.array(ball_at(i)) + rng.normal(0, 0.4, 2)
        found = [(x, y, rng.uniform(0.6, 1))] if i < frames - 5 and rng.random() > 0.1 else []
        if rng.random() < decoy:
            found.append((250.0, 30.0, rng.uniform(0.3, 0.9)))
        found.sort(key=lambda c: -c[2])
        candidates += [f"{i},{a:.2f},{b:.2f},{s:.4f}" for a, b, s in found]
        if found:
            a, b, s = found[0]
            rows.append(f"{i},{i / 25},{a:.2f},{b:.2f},detected,{s:.4f},{len(found)}")
        else:
            rows.append(f"{i},{i / 25},,,lost,,0")
    (out / "trajectory.csv").write_text("\n".join(rows) + "\n")
    (out / "candidates.csv").write_text("\n".join(candidates) + "\n")
    return out / "trajectory.csv"
