"""The storing half of benchmarks/monitoring.py: the event log, kills, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def million() -> dict[str, Any]:
    """SQLite against Parquet at a million events."""
    from tracker.monitor.log import Event, EventLog, connect

    rng, out = np.random.default_rng(0), {}
    n = 1_000_000
    kinds = np.array(["doubt", "multi_ball", "innovation", "lost", "cut"])[rng.integers(0, 5, n)]
    value = rng.random(n)
    with tempfile.TemporaryDirectory() as folder:
        writer = EventLog(folder, {"name": "many", "source": "many"}, commit_s=1e9)
        began = time.process_time()
        for i in range(n):
            writer.add(Event(str(kinds[i]), i, i / 25, doubt=float(value[i]), value=float(value[i]), reason="made up",
                             pictures="pictures/0001-many" if i % 50 == 0 else None))  # fmt: skip
        writer.close(n, n, {})
        out["SQLite insert, us per event"] = 1e6 * (time.process_time() - began) / n
        out["SQLite size, MB"] = sum(p.stat().st_size for p in Path(folder).iterdir()) / 1e6
        db = connect(folder)
        queries = {
            "100 most valuable kept": "* FROM events WHERE pictures IS NOT NULL ORDER BY value DESC LIMIT 100",
            "100 most doubtful of one kind": "* FROM events WHERE kind='doubt' ORDER BY value DESC LIMIT 100",
            "events around a frame": "* FROM events WHERE run=1 AND frame BETWEEN 500000 AND 500100",
            "count by kind": "kind,count(*) FROM events GROUP BY kind",
            "a run's kinds and frames": "kind,count(*),sum(frames) FROM events WHERE run=1 GROUP BY kind",
        }
        for label, query in queries.items():
            began = time.perf_counter()
            db.execute(f"SELECT {query}").fetchall()
            out[f"SQLite, {label}, s"] = time.perf_counter() - began
        db.close()
        out.update(parquet(Path(folder), kinds, value))
    return out


def parquet(folder: Path, kinds: np.ndarray, value: np.ndarray) -> dict[str, float]:
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError:
        return {}
    n = len(kinds)
    schema = pa.schema([("frame", pa.int64()), ("kind", pa.string()), ("value", pa.float64())])
    path, began = folder / "events.parquet", time.process_time()
    with pq.ParquetWriter(path, schema) as writer:
        for a in range(0, n, 250):  # about what a second of bad video brings
            b = min(n, a + 250)
            writer.write_table(pa.table([np.arange(a, b), kinds[a:b], value[a:b]], schema=schema))
    made = time.process_time() - began
    began = time.perf_counter()
    table = pq.read_table(path)
    chosen = table.filter(pc.equal(table["kind"], "doubt"))
    chosen.sort_by([("value", "descending")]).slice(0, 100)
    asked = time.perf_counter() - began
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        pq.read_table(path)
        survives = 1.0
    except pa.ArrowInvalid:
        survives = 0.0
    return {
        "Parquet (a group per second), us per event": 1e6 * made / n, "Parquet size, MB": len(data) / 1e6,
        "Parquet, 100 most doubtful of one kind, s": asked, "Parquet opens when cut off": survives,
    }  # fmt: skip


_VICTIM = """
import sys
from tracker.monitor.log import Event, EventLog
log = EventLog(sys.argv[1], {"name": "x", "source": "x"}, commit_s=0.01)
print("ready", flush=True)
i = 0
while True:
    log.add(Event("doubt", i, i / 25, value=0.5)); i += 1
"""


def kills(times: int) -> dict[str, int]:
    """Kill -9 at random moments: is the log whole, and does it go on?"""
    rng, clean, rows = np.random.default_rng(0), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(times):
            p = subprocess.Popen([sys.executable, "-c", _VICTIM, folder], stdout=subprocess.PIPE)
            assert p.stdout is not None
            p.stdout.readline()
            time.sleep(float(rng.uniform(0.05, 0.6)))
            p.send_signal(signal.SIGKILL)
            p.wait()
            db = sqlite3.connect(Path(folder) / "events.sqlite")
            clean += db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            now = db.execute("SELECT count(*) FROM events").fetchone()[0]
            assert now >= rows
            rows = now
            db.close()
    return {"killed": times, "clean": clean, "rows": rows}


def full_disk() -> dict[str, Any] | None:
    """A disk of 2 MB that fills up; None without the right to mount one."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from monitor_steps import Scene, monitor

    place = Path(tempfile.mkdtemp())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True)
    if mounted.returncode:
        return None
    try:
        watch, scene = monitor(place, keep_every_s=0.0, same_below=0.0, sample_rate=0.1, quality=100), Scene()
        for i in range(1500):
            watch.observe(scene.step(score=0.2 if i % 5 == 0 else 0.9))
        summary = watch.close()
        db = sqlite3.connect(place / "events.sqlite")
        state = db.execute("PRAGMA integrity_check").fetchone()[0]
        db.close()
        summary |= {"integrity": state, "free_bytes": shutil.disk_usage(place).free}
    finally:
        subprocess.run(["umount", str(place)], check=True)
        os.rmdir(place)
    return summary
