"""One ball, one trajectory: find the ball in play in every frame of a sports video.

>>> from tracker import Tracker
>>> tracker = Tracker()
>>> trajectory = tracker.track("match.mp4")

The public API is what :data:`__all__` names. Importing the package loads nothing else: NumPy, OpenCV and onnxruntime
come with the first name that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.core.version import __version__

__all__ = ["BallState", "InputError", "Status", "Tracker", "TrackerError", "Trajectory", "__version__", "teach"]

if TYPE_CHECKING:
    from tracker.api.tracker import Tracker
    from tracker.api.trajectory import Trajectory
    from tracker.app.teach import teach
    from tracker.core.errors import InputError, TrackerError
    from tracker.core.types import BallState, Status

_HOMES = {
    "Tracker": "tracker.api.tracker", "Trajectory": "tracker.api.trajectory", "BallState": "tracker.core.types",
    "Status": "tracker.core.types", "InputError": "tracker.core.errors", "TrackerError": "tracker.core.errors",
    "teach": "tracker.app.teach",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
