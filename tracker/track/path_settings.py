"""What a path with hindsight is found and reported by."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracker.motion.contacts import FlightPrior
from tracker.motion.imm import BallMotion
from tracker.motion.path import PathCosts
from tracker.track.scorer import REST_S


@dataclass(frozen=True, slots=True)
class PathSettings:
    """Lengths in px of a picture 1280 wide. Chosen on recorded candidates: benchmarks/results/decide.md."""

    candidates: int = 10  # per moment, best first
    bonus: float = 5.0  # nats: a candidate near the path is rarer as clutter than as the ball, whatever its score
    measurement_sd: float = 0.6
    bridge_s: float = 0.6  # longest stretch without a candidate that is reported
    bridge_sd: float = 14.0  # and how sure it must be
    coast_s: float = 0.25  # how far beyond its ends a path goes straight on
    shortest: int = 3  # candidates of a path that is reported
    ahead_s: float = REST_S  # of a whole file: candidates are judged with so much of what follows
    settle_s: float = 4.0  # and the path is read off so long before its end
    block_s: float = 5.0  # in blocks
    context_s: float = 1.0  # of the settled path, seen again by windows and smoother
    file_context_s: float = 3.0  # of a whole file's
    costs: PathCosts = field(
        default_factory=lambda: PathCosts(miss=1.5, lost=1.0, end=4.0, birth=10.0, max_gap=5, slow=1.5, fan=4)
    )
    flight: FlightPrior = field(default_factory=lambda: FlightPrior(label_sd=1.5))
    motion: BallMotion = field(default_factory=lambda: BallMotion(flight_noise=6e5))
