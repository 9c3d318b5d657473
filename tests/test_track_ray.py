"""The same on a Ray cluster of two workers on this machine; skipped without Ray (extra ``ray``)."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_track_batch import QUICK, wait_for, writer_of
from video_clips import encode, scene

from tracker.core.errors import TrackerError
from tracker.core.trajectory import Trajectory

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster():
    """Address of a cluster: two nodes with one core each."""
    home = str(Path(__file__).resolve().parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # the switch that keeps Ray on the loopback
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", home)
        patch.setenv("OMP_NUM_THREADS", "1")
        pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "node_ip_address": "127.0.0.1"})
        try:
            cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
            yield cluster.address
        finally:
            cluster.shutdown()


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "tracker", "infer", *map(str, args), *(w for q in QUICK for w in ("--set", q))]


def test_a_killed_worker_loses_no_video_and_does_none_twice(cluster, tmp_path):
    clip = encode(tmp_path / "short.mkv", [scene(i, 160, 96) for i in range(10)])
    long = encode(tmp_path / "long.mkv", [scene(i % 20, 160, 96) for i in range(400)])
    for i in range(5):
        shutil.copy(long if i < 2 else clip, tmp_path / f"{i}.mp4")
    (tmp_path / "5.mp4").write_text("no video")
    args = command(tmp_path / "*.mp4", "--ray", cluster, "--out", tmp_path / "out")
    process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    out = tmp_path / "out"
    os.kill(wait_for(lambda: writer_of(out / "0") or writer_of(out / "1"), 180), signal.SIGKILL)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 1, text
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines()))
    assert [r["state"] for r in rows] == ["done"] * 5 + ["failed"]
    assert [int(r["frames"]) for r in rows] == [400, 400, 10, 10, 10, 0]
    for i in range(2):
        assert len(Trajectory.from_csv(tmp_path / "out" / str(i) / "trajectory.csv")) == 400
    assert not list(tmp_path.glob("out/*/.*.part"))
    done = subprocess.run(args, capture_output=True, text=True, timeout=300)
    assert "5 skipped, 1 failed" in done.stdout, done.stdout + done.stderr


def test_no_cluster_is_reported(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    from tracker.app.ray_jobs import RayRunner

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        with pytest.raises(TrackerError, match="no Ray cluster"):
            RayRunner(f"127.0.0.1:{s.getsockname()[1]}")
