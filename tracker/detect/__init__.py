"""Runs model.onnx: views of the picture in, detections out. No torch."""
