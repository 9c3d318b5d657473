"""Writes a fitted scorer into a model file's metadata or a checkpoint; weights and graph stay as they were.

    python scripts/stamp_scorer.py MODEL.onnx benchmarks/results/scorer.json OUT.onnx
    python scripts/stamp_scorer.py LAST.pt benchmarks/results/scorer.json OUT.pt

The scorer is what benchmarks/fit_scorer.py writes; its thresholds may be edited before.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tracker.core.files import read_text
from tracker.detect.model import BallModel
from tracker.detect.stamp import with_metadata
from tracker.learn.checkpoint import load_checkpoint, save_checkpoint
from tracker.track.scorer import KEY, Scorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "scorer", "out"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    data = json.loads(read_text(args.scorer, max_bytes=1 << 20))
    data.pop("folds", None)
    Scorer.of_model({KEY: data}, str(args.scorer))  # held to its contract
    if args.model.suffix == ".pt":
        checkpoint = load_checkpoint(args.model)
        checkpoint["carried"][KEY] = data
        save_checkpoint(args.out, checkpoint)
    else:
        with_metadata(BallModel(args.model), args.out, {KEY: data})


if __name__ == "__main__":
    main()
