"""One ball, one trajectory: find the ball in play in every frame of a sports video.

The package imports light: no torch, no onnxruntime, no OpenCV until something that needs them is used.
"""

from tracker.core.version import __version__

__all__ = ["__version__"]
