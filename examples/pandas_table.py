"""A whole file as a pandas table (extra `analysis`).    python examples/pandas_table.py [VIDEO]"""

from sample import video_or_sample

from tracker import Tracker

trajectory = Tracker().track(video_or_sample(), progress=True)
table = trajectory.to_pandas()
print(table.describe()[["x", "y", "vx", "vy", "radius_px"]].round(1))
print(table.groupby("status", observed=True).size())
ball = trajectory.at(0.51)  # between two frames
print(f"at {ball.time_s} s: {ball.status}, x {ball.xy[0]:.1f}, y {ball.xy[1]:.1f}")
