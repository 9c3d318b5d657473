"""The latency benchmark as a script: the same as ``tracker bench``.

    taskset -c 0 python benchmarks/latency.py VIDEO [--against MODEL.onnx] [--paced 300] [--json]

docs/performance.md explains the figures; benchmarks/results/latency.md holds runs.
"""

from tracker.commands.bench import command
from tracker.commands.main import run

if __name__ == "__main__":
    run(command, prog_name="latency.py")
