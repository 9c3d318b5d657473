"""Two models on one live stream: how far they agree, where they differ, and when the difference is real.

Nobody labels a live stream, so what can be tested as it runs is *who answers*: in each second of video in which the two
differ, the one that reports the ball in more frames gets the second. Without a difference each second is a fair coin.
The e-value of the counts, a mixture over all coins, may be looked at after every second: by Ville's inequality it
exceeds 20 with a probability of at most 1/20 *ever* (Ramdas et al., "Game-theoretic statistics and safe anytime-valid
inference", Statistical Science 2023). Who is right is for people: pictures that differ are kept in a form that
``tracker label`` opens and ``tracker eval`` scores.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tracker.core.config import Config
from tracker.core.files import prepare_folder, replacing
from tracker.core.trajectory import Trajectory
from tracker.core.types import BallState, Status, reference_scale
from tracker.detect.model import BallModel
from tracker.monitor.pictures import JPEG_QUALITY, hide_people
from tracker.track.pipeline import SizedPipeline, Step

APART_PX = 10.0  # at 1280 wide: two reports farther apart than this are of two places
ENOUGH = 20.0  # e-value: a false alarm in at most one of twenty comparisons, however long they run


def e_value(wins: int, losses: int) -> float:
    """Evidence against a fair coin: the likelihood of all coins, mixed evenly, over that of a fair one."""
    n = wins + losses
    log = n * math.log(2) + math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(n + 2)
    return math.exp(min(log, 700.0))


class Shadow:
    """The new model beside the current one; :meth:`compare` with every step of the current one.

    Args:
        model: the new one. folder: where pictures that differ are kept; None: nowhere.
    """

    def __init__(self, model: BallModel, config: Config, folder: str | Path | None = None) -> None:
        self.config = config
        self.folder = prepare_folder(Path(folder)) if folder is not None else None
        self.frames = self.same = self.only_current = self.only_new = self.apart = self.kept = 0
        self.wins = self.losses = 0  # seconds in which the new one, the current one answers more
        self._pipeline = SizedPipeline(model, config)
        self._second, self._balance = -1, 0
        self._kept_s = -math.inf
        self._bytes = 0
        self._pairs: list[tuple[BallState, BallState]] = []

    def compare(self, step: Step) -> None:
        """Tracks the picture with the new model and compares the two answers."""
        mine, other = step.state, self._pipeline.step(step.frame).state
        second = int(step.frame.time_s)
        if second != self._second:
            self._settle()
            self._second = second
        self.frames += 1
        here, there = mine.status is not Status.LOST, other.status is not Status.LOST
        if here and there:
            far = float(np.hypot(*(mine.xy - other.xy))) * reference_scale(step.frame.width) > APART_PX
            self.apart += far
            self.same += not far
        else:
            self.same += here == there
            self.only_current += here and not there
            self.only_new += there and not here
            self._balance += int(there) - int(here)
            far = here != there
        if far and self.folder is not None:
            self._keep(step, mine, other)

    def _settle(self) -> None:
        self.wins += self._balance > 0
        self.losses += self._balance < 0
        self._balance = 0

    def _keep(self, step: Step, mine: BallState, other: BallState) -> None:
        frame, c = step.frame, self.config.monitor
        if frame.time_s - self._kept_s < c.keep_every_s or self._bytes > c.disk_mb << 20 or self.folder is None:
            return
        places = [(float(s.xy[0]), float(s.xy[1])) for s in (mine, other) if s.status is not Status.LOST]
        picture = hide_people(frame.image, places) if c.hide_people else frame.image
        _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        with replacing(self.folder / "pictures" / f"{frame.index:08d}.jpg") as part:
            part.write_bytes(data.tobytes())
        self._kept_s, self._bytes, self.kept = frame.time_s, self._bytes + len(data), self.kept + 1
        self._pairs.append((mine, other))

    def close(self) -> dict[str, Any]:
        """Writes the two answers to the kept pictures; the figures.

        Returns:
            frames, same, only_current, only_new, apart, agreement (NaN without frames), wins, losses, e_value, real,
        kept.
        """
        self._settle()
        if self.folder is not None and self._pairs:
            for name, states in zip(("current", "new"), zip(*self._pairs, strict=True), strict=True):
                Trajectory.from_states(states).to_csv(self.folder / name / "pictures.csv")
        e = e_value(self.wins, self.losses)
        return {
            "frames": self.frames, "same": self.same, "only_current": self.only_current, "only_new": self.only_new,
            "apart": self.apart, "agreement": self.same / self.frames if self.frames else math.nan,
            "wins": self.wins, "losses": self.losses, "e_value": e, "real": e >= ENOUGH, "kept": self.kept,
        }  # fmt: skip


def verdict(s: dict[str, Any], folder: str | Path | None) -> list[str]:
    """The figures of :meth:`Shadow.close` for people."""
    if not s["frames"]:
        return ["shadow: no pictures were compared"]
    lines = [
        f"shadow: {s['frames']} pictures, {100 * s['agreement']:.1f} % the same answer; only the current model reports "
        f"in {s['only_current']}, only the new one in {s['only_new']}, other places in {s['apart']}"
    ]
    n = s["wins"] + s["losses"]
    who = "new" if s["wins"] >= s["losses"] else "current"
    said = f"the {who} model answers more in {max(s['wins'], s['losses'])} of {n} seconds that differ"
    real = "the difference is real" if s["real"] else "no difference shown yet"
    lines.append(f"shadow: {said} (e-value {s['e_value']:.3g}, {ENOUGH:g} is enough): {real}")
    if s["kept"]:
        lines.append(
            f"shadow: who is right? label the {s['kept']} pictures kept: tracker label {folder}/pictures; then "
            f"tracker eval {folder} --trajectories {folder}/new --against {folder}/current"
        )
    return lines
