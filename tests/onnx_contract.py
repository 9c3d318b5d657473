"""What every exported model has to pass, whatever is inside (docs/onnx.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker.detect.model import BallModel


def check_contract(path: Path) -> None:
    model = BallModel(path)
    info = model.info
    rng = np.random.default_rng(0)
    for batch, height, width in ((1, 4 * info.multiple, 6 * info.multiple), (2, 6 * info.multiple, 8 * info.multiple)):
        frames = rng.integers(0, 255, (batch, info.frames, height, width, 3), dtype=np.uint8)
        roi = np.tile(np.array([[0.1, 0.2, 0.5, 0.6]], np.float32), (batch, 1))
        xy, score, radius = model.run(frames, roi)
        assert xy.shape == (batch, info.top_k, 2) and xy.dtype == np.float32
        assert score.shape == radius.shape == (batch, info.top_k)
        assert np.isfinite(xy).all() and np.isfinite(radius).all() and (radius > 0).all()
        assert ((score >= 0) & (score <= 1)).all()
        assert (np.diff(score, axis=1) <= 1e-6).all()
        assert (xy > -info.multiple).all() and (xy < [width + info.multiple, height + info.multiple]).all()
        one = model.run(frames[:1], roi[:1])  # a view does not depend on its neighbours in the batch
        assert np.allclose(one[1], score[:1], atol=1e-5)
    point = info.extra["operating_point"]
    assert 0 <= point["keep_threshold"] <= point["threshold"] <= 1 and point["rule"]
    assert info.extra["parameters"] > 0 and info.extra["macs_roi_pass"] > 0
