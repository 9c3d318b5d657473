"""Makes evaluate.json with the reference scorer: ``python tests/golden/make_evaluate.py SCORE.py``.

Inputs are synthetic and stored beside the figures, so that the test needs neither the scorer nor a random generator.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def load_scorer(path: Path):
    spec = importlib.util.spec_from_file_location("reference_score", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_case(seed: int, frames: int | None = None) -> dict:
    """Labels and a trajectory as rows of text, with every kind of frame and some edge values."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60)) if frames is None else frames
    width = int(rng.choice([640, 720, 1280, 1920]))
    k = width / 1280
    labels, trajectory = [], []
    with_counts, with_status = bool(rng.random() < 0.7), bool(rng.random() < 0.7)
    for f in np.cumsum(rng.choice([1, 1, 1, 1, 2, 5], size=n)).tolist():
        v = int(rng.choice([-1, 0, 1, 1, 1, 1, 2, 3]))
        x, y = np.round(rng.uniform(0.2, 0.6, 2) * width, 2)
        if rng.random() < 0.9:
            labels.append([f, v, "" if v <= 0 else repr(float(x)), "" if v <= 0 else repr(float(y))])
        if rng.random() < 0.1:
            continue
        spread = float(rng.choice([0.5, 2.5, 5.0, 10.0, 39.0, 60.0, 300.0])) * k
        angle = rng.uniform(0, 2 * np.pi)
        exact = rng.random() < 0.3  # lands on a tolerance's edge
        r = spread if exact else spread * rng.random()
        px, py = x + r * np.cos(angle), y + r * np.sin(angle)
        said = rng.random() < 0.8
        row = [f, repr(float(px)) if said else "", repr(float(py)) if said else "nan"[: 3 * int(rng.integers(2))]]
        status = "detected" if said else "lost"
        if said and rng.random() < 0.05:
            status = "lost"  # a position that is not reported
        trajectory.append([*row, status, int(rng.integers(0, 4))])
    return {
        "width": width, "labels": labels, "trajectory": trajectory, "counts": with_counts, "status": with_status,
    }  # fmt: skip


def write_case(case: dict, folder: Path, count: str = "n_detections") -> tuple[Path, Path]:
    """The two files of a case; ``count`` names the column of the number of detections."""
    t, labels = folder / "trajectory.csv", folder / "labels.csv"
    head = ["frame", "x", "y", *(["status"] if case["status"] else []), *([count] if case["counts"] else [])]
    rows = [
        [*r[:3], *([r[3]] if case["status"] else []), *([r[4]] if case["counts"] else [])] for r in case["trajectory"]
    ]
    t.write_text("\n".join(",".join(map(str, r)) for r in [head, *rows]) + "\n")
    labels.write_text(
        "\n".join(",".join(map(str, r)) for r in [["frame", "visibility", "x", "y"], *case["labels"]]) + "\n"
    )
    return t, labels


def main() -> None:
    scorer = load_scorer(Path(sys.argv[1]))
    cases = []
    with tempfile.TemporaryDirectory() as tmp:
        for seed in range(12):
            case = random_case(seed, frames=25)
            case["expected"] = scorer.score(*write_case(case, Path(tmp), "candidates"), case["width"])
            cases.append(case)
        pooled = scorer.pooled([c["expected"] for c in cases])
    text = json.dumps({"cases": cases, "pooled": pooled}, separators=(",", ":"))
    assert not math.isnan(pooled["@5"]["f1"])
    (HERE / "evaluate.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
