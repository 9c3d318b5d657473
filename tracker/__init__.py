"""One ball, one trajectory: find the ball in play in every frame of a sports video.

The package imports light: no torch, no onnxruntime, no OpenCV until a room that needs them is entered.
"""

__version__ = "0.1.0"
