"""The product's promise from end to end: label a court, fine-tune on it, find the ball in what was not labelled."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.page_server import served
from tracker.labels.schema import read_labels
from tracker.video import VideoWriter

httpx = pytest.importorskip("httpx", reason="this test needs httpx")
for needed in ("starlette", "torch"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"this test needs {needed}", allow_module_level=True)

W, H = 320, 192
# a small network on small crops, so that it learns within seconds
SMALL = (
    "train.batch=8", "train.crop_width=96", "train.crop_height=64", "train.epochs=1", "train.lr=5e-3", "train.ema=0.95",
    "train.workers=0", "train.warmup_steps=20", "model.widths=[8,12,16,24]", "data.working_width=320",
    "data.full_pass_scale=[0.9,1.1]", "data.roi_scale=[0.9,1.1]", "data.mining_every=0", "data.paste_share=0",
    "data.augment=false",
)  # fmt: skip


def rally(
    frames: int, ground: tuple[int, ...], ball: tuple[int, ...], seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """A bouncing ball over a court with a player; pictures and places [N, 2]."""
    rng = np.random.default_rng(seed)
    noise = cv2.resize(rng.normal(0, 18, (24, 40, 3)).astype(np.float32), (W, H), interpolation=cv2.INTER_CUBIC)
    court = np.clip(np.array(ground) + noise, 0, 255)
    for x in (60, 160, 260):
        court[20:180, x : x + 2] = 230
    at, speed, player = np.array([40.0, 60.0]), np.array([6.0, 0.0]), 200.0
    pictures, places = [], []
    for _ in range(frames):
        speed[1] += 0.7
        at = at + speed
        if at[1] > 170:
            at[1], speed[1] = 170, -0.95 * abs(speed[1])
        if not 10 < at[0] < W - 10:
            at[0], speed[0] = np.clip(at[0], 10, W - 10), -speed[0]
        player += rng.normal(0, 3)
        picture = court.copy()
        cv2.rectangle(picture, (int(player), 90), (int(player) + 14, 150), (60, 40, 40), -1)
        cv2.circle(picture, (round(at[0] * 8), round(at[1] * 8)), 32, ball, -1, cv2.LINE_AA, 3)
        pictures.append(np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8))
        places.append(at.copy())
    return pictures, np.array(places)


def write(path: Path, pictures: list[np.ndarray]) -> Path:
    path.parent.mkdir(exist_ok=True)
    writer = VideoWriter(path, W, H, 30.0)
    for i, picture in enumerate(pictures):
        writer.write(picture, i / 30)
    writer.close()
    return path


def tracker(*args: str | Path) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "tracker", *map(str, args)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def label(video: Path, places: np.ndarray, every: int) -> None:
    """What a person does on the page, by its calls: click every tenth frame, wait for the path."""
    with served(video, "--port", "0") as server, httpx.Client(base_url=server.url, timeout=60) as page:
        revision = page.get("/api/clips/0").json()["revision"]
        for row in (*range(0, len(places), every), len(places) - 1):
            x, y = places[row].tolist()
            action = {"op": "set", "row": row, "visibility": 1, "x": x, "y": y}
            body = json.dumps({"id": f"click-{row:04d}", "revision": revision, "action": action})
            headers = {"X-Oneball": "1", "Content-Type": "application/json"}
            revision = page.post("/api/clips/0/actions", content=body, headers=headers).json()["revision"]
        end = time.monotonic() + 300
        with page.stream("GET", "/api/clips/0/events") as events:
            for line in events.iter_lines():
                event = json.loads(line[5:]) if line.startswith("data:") else {}
                assert event.get("kind") != "failed" and time.monotonic() < end, event
                if event.get("up_to_date"):
                    break


def f1_at_10(trajectory: Path, places: np.ndarray) -> float:
    """F1 within 10 px at 1280 wide; the ball is in every frame."""
    from tracker.core.trajectory import Trajectory

    found = Trajectory.from_csv(trajectory).xy
    hit = np.linalg.norm(found - places, axis=1) <= 10 * W / 1280
    return float(2 * hit.sum() / (np.isfinite(found[:, 0]).sum() + len(places)))


@pytest.mark.slow
def test_a_labelled_half_teaches_the_model_the_other_half(tmp_path: Path) -> None:
    other, elsewhere = rally(60, (70, 110, 70), (30, 40, 60), seed=1)  # a court with a dark ball
    pictures, places = rally(140, (170, 90, 60), (230, 240, 60), seed=2)  # the new one
    config = tmp_path / "small.yaml"
    config.write_text("sport: any\n")
    write(tmp_path / "known" / "other.mp4", other)
    (tmp_path / "known" / "other.labels.csv").write_text(
        "frame,visibility,x,y\n" + "".join(f"{i},1,{x:.2f},{y:.2f}\n" for i, (x, y) in enumerate(elsewhere))
    )
    first = write(tmp_path / "court" / "first.mp4", pictures[:70])
    second = write(tmp_path / "second.mp4", pictures[70:])
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    tracker("train", config, *SMALL, "train.steps_per_epoch=60", "--data", first.parent.with_name("known"),
            "--out", base, "--quiet")  # fmt: skip

    label(first, places[:70], every=10)
    rows = read_labels(first.with_name("first.labels.csv"))
    assert len(rows) == 70 and sum(r.source == "human" for r in rows) == 8
    away = np.array([np.hypot(r.x - x, r.y - y) for r, (x, y) in zip(rows, places[:70], strict=True)])
    assert np.mean(away < 2.5) > 0.9
    tracker("train", config, *SMALL, "train.steps_per_epoch=240", "--data", first.parent, "--from", base / "last.pt",
            "--out", tuned, "--quiet")  # fmt: skip
    score = {}
    for run in (base, tuned):
        tracker("infer", second, "--model", run / "model.onnx", "--out", run / "out", "--quiet",
                "--set", "detect.full_width=320", "--set", "detect.threshold=0.3")  # fmt: skip
        score[run.name] = f1_at_10(run / "out" / "trajectory.csv", places[70:])
    assert score["tuned"] > score["base"] + 0.3, score
