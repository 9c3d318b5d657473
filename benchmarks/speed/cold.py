"""Run as ``python benchmarks/speed/cold.py START VIDEO MODEL``: how long a fresh process takes to its first state.

It does what ``tracker infer`` does, in the same order, and prints the moments in seconds since START (time.time() just
before the process was started) as JSON.
"""

import sys
import time


def main() -> None:
    start, video, model = float(sys.argv[1]), sys.argv[2], sys.argv[3]
    moments = {"interpreter_s": time.time() - start}
    import tracker.commands.infer
    import tracker.commands.main  # noqa: F401
    from tracker.app import infer as run
    from tracker.core.config import load_config
    from tracker.detect.model import BallModel
    from tracker.video import open_video

    config = load_config(None, sys.argv[4:])
    moments["imported_s"] = time.time() - start
    net = BallModel(model or None, threads=config.detect.threads)
    moments["model_loaded_s"] = time.time() - start
    with open_video(video, config=config.video) as source:
        next(iter(run.track_video(source, net, config)))
        moments["first_state_s"] = time.time() - start
    moments["cpu_s"] = time.process_time()
    import json

    print(json.dumps(moments))


if __name__ == "__main__":
    main()
