"""``python -m tracker.train CONFIG`` is ``tracker train CONFIG``."""

from tracker.commands.main import run
from tracker.commands.train import command

if __name__ == "__main__":
    run(command, prog_name="python -m tracker.train")
