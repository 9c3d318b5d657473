"""``python -m tracker.infer video.mp4`` is ``tracker infer video.mp4``."""

from tracker.commands.infer import command
from tracker.commands.main import run

if __name__ == "__main__":
    run(command, prog_name="python -m tracker.infer")
