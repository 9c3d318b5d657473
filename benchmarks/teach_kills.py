"""`tracker teach` killed at random moments: what was there stays, and nothing half is left under a model's name.

    python benchmarks/teach_kills.py --count 20 --seed 1

A small rendered court is taught over an earlier model (``--overwrite``). The bundled weights do not find its ball,
those that are taught do: a run to the end replaces the model. SIGKILL and SIGINT take turns, and so do moments of the
whole run and of the writing of the new files. After each kill model and checkpoint are the earlier ones or both new
and whole, the inputs are as they were, and after SIGINT no folder in the making is left. After the last one a run to
the end works.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
from pathlib import Path

from hostile_runs import contents, run

from tracker.app.rendered import write_clip
from tracker.detect.model import BallModel, bundled_model
from tracker.labels.schema import write_labels
from tracker.learn.checkpoint import checkpoint_path, load_checkpoint
from tracker.synth import SynthConfig

ARGS = [
    "teach", "court.mp4", "--labels", "keys.csv", "--out", "m/court.onnx", "--replay", "replay", "--overwrite",
    "--quiet", "--set", "train.steps_per_epoch=60", "--set", "train.batch=4", "--set", "train.workers=0",
    "--set", "train.crop_width=256", "--set", "train.crop_height=160", "--set", "data.synthetic_share=0",
]  # fmt: skip
MADE = ("m/court.onnx", "m/court.pt")
WRITTEN = "m/.court.teach/taught.pt"  # the first of the new files, before both get their names
WRITING_S = 0.3  # from then on


def hidden(folder: Path) -> set[str]:
    """Folders in the making beside the model."""
    return {q.name for q in (folder / "m").iterdir() if q.name.startswith(".")}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    rng, faults = random.Random(a.seed), 0
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        (folder / "replay").mkdir()
        (folder / "m").mkdir()
        config = SynthConfig(sport="tennis", width=640, height=360, seconds=2.0, fps=25)
        labels = write_clip(config, [300, 0], folder / "court.mp4")
        write_labels(folder / "keys.csv", [k for k in labels[::2] if k.visibility in (1, 2)])
        write_clip(config, [2, 0], folder / "replay" / "other.mp4")

        def earlier() -> dict[str, str]:
            shutil.copy(bundled_model(), folder / MADE[0])
            shutil.copy(checkpoint_path("bundled"), folder / MADE[1])
            return contents(folder)

        earlier()
        whole = run(ARGS, folder)
        print(f"a whole run: exit {whole.code}, {whole.seconds:.0f} s {whole.fault}", flush=True)
        faults += whole.code != 0  # nothing would be written by the others either
        for k in range(a.count):
            before = earlier()
            sign, writing = (signal.SIGKILL, signal.SIGINT)[k % 2], k % 4 > 1
            at = rng.uniform(0.0, WRITING_S) if writing else rng.uniform(1.0, whole.seconds)
            stale = hidden(folder)  # of a SIGKILL before; the next run that comes so far clears it
            (folder / WRITTEN).unlink(missing_ok=True)
            done = run(ARGS, folder, (at, sign), since=folder / WRITTEN if writing else None)
            fault = done.fault
            if not fault and done.code not in (0, 1, 128 + sign):
                fault = f"exit {done.code}: {done.err.strip()[:200]}"
            after = contents(folder)
            same = [after.get(n) == before[n] for n in MADE]
            if any(after.get(n) != h for n, h in before.items() if n not in MADE and "/." not in n):
                fault = fault or "an input is changed"
            if any(same) != all(same):
                fault = fault or f"half taught: {same}"
            BallModel(folder / MADE[0])
            load_checkpoint(folder / MADE[1])
            left = hidden(folder) - stale
            if left and sign is not signal.SIGKILL:
                fault = fault or f"left over: {sorted(left)}"
            faults += bool(fault)
            when = "of writing" if writing else "of the run"
            made = "earlier" if all(same) else "new"
            print(f"{sign.name} at {at:.2f} s {when}: exit {done.code}, {made} model, {fault or 'ok'}", flush=True)
        again = run(ARGS, folder)
        left = hidden(folder)
        faults += again.code != 0 or bool(left)
        print(f"the next run: exit {again.code}, left over {sorted(left)}; {faults} faults of {a.count}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
