"""From a few labels to many: keyframes, models and sensors as sources of labels."""
