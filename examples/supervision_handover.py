"""The ball as `supervision.Detections`, a frame at a time.    python examples/supervision_handover.py [VIDEO]

`supervision` is no dependency: pip install supervision
"""

import sys

import numpy as np
from sample import video_or_sample

from tracker import BallState, Status, Tracker

try:
    import supervision
except ImportError:
    sys.exit("this example needs supervision, which is not installed; run: pip install supervision")

BALL = 0  # class


def detections(ball: BallState) -> supervision.Detections:
    """One box, or none when the ball is lost. A predicted ball has no score: confidence 0."""
    if ball.status is Status.LOST:
        return supervision.Detections.empty()
    x, y = ball.xy + 0.5  # pixel centres at integers -> edges at integers
    r = ball.radius_px if np.isfinite(ball.radius_px) else 6.0
    return supervision.Detections(
        xyxy=np.array([[x - r, y - r, x + r, y + r]]),
        confidence=np.array([np.nan_to_num(ball.score)]),
        class_id=np.array([BALL]),
        tracker_id=np.array([1]),  # there is one ball
        data={"status": np.array([str(ball.status)])},
    )


for ball in Tracker().track(video_or_sample()):
    found = detections(ball)
    print(ball.frame, found.xyxy.round(1).tolist())
