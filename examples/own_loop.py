"""Your own loop over OpenCV frames.    python examples/own_loop.py [VIDEO]"""

import cv2
from sample import video_or_sample

from tracker import Tracker

tracker = Tracker(colour="bgr")  # OpenCV's order of channels
capture = cv2.VideoCapture(video_or_sample())
fps = capture.get(cv2.CAP_PROP_FPS)
count = 0
while True:
    ok, frame = capture.read()
    if not ok:
        break
    ball = tracker.update(frame, count / fps)
    print(f"{ball.time_s:6.3f} s  {ball.status:9}  {ball.xy[0]:7.1f} {ball.xy[1]:7.1f}")
    count += 1
