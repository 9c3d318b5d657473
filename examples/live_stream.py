"""A live source: a camera number, an address, or a file.    python examples/live_stream.py [SOURCE]"""

from sample import video_or_sample

from tracker import Status, Tracker

for ball in Tracker().stream(video_or_sample()):
    if ball.status is not Status.LOST:
        x, y = ball.xy
        vx, vy = ball.velocity
        print(f"{ball.time_s:6.3f} s  at {x:.0f},{y:.0f}  moving {vx:.0f},{vy:.0f} px/s  within {ball.sd_px:.1f} px")
