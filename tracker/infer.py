"""``python -m tracker.infer video.mp4`` is ``tracker infer video.mp4``."""

from tracker.cli import run
from tracker.commands.infer import command

if __name__ == "__main__":
    run(command, prog_name="python -m tracker.infer")
