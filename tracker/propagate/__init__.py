"""Propagation of labels: keyframes, models and sensors as sources."""
