#!/usr/bin/env python3
"""Runs a command and samples its resident memory and open descriptors: do they stay flat over hours?

python benchmarks/watch.py [--every 10] OUT.csv -- tracker infer long.mp4 --out o
python benchmarks/watch.py OUT.csv --read          the report of a table that is there, also while the command runs

The report: resident MiB and descriptors after a tenth of the time, in the middle and at the end, the largest of each,
and the slope of resident memory over the last nine tenths in MiB an hour (least squares). Linux (``/proc``).
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def sample(pid: int) -> tuple[float, int]:
    """Resident memory in MiB and the number of open descriptors of a process; raises OSError when it is gone."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))


def watch(command: list[str], table: Path, every: float) -> int:
    """Runs ``command`` to its end, a row of ``table`` each ``every`` seconds; returns its exit code."""
    began = time.monotonic()
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["seconds", "resident_mib", "descriptors"])
        process = subprocess.Popen(command)
        while True:
            try:
                memory, descriptors = sample(process.pid)
            except OSError:
                memory = 0.0
            if memory:  # a process that has ended and is not waited for yet has no memory
                rows.writerow([f"{time.monotonic() - began:.1f}", f"{memory:.1f}", descriptors])
                file.flush()
            try:
                return process.wait(every)
            except subprocess.TimeoutExpired:
                pass


def report(table: Path) -> str:
    """The lines that the module's text promises, of a table of at least three rows."""
    seconds, memory, descriptors = np.loadtxt(table, delimiter=",", skiprows=1, unpack=True, ndmin=2)
    picks = [len(seconds) // 10, len(seconds) // 2, len(seconds) - 1]
    lines = [
        f"{seconds[i] / 60:.1f} min: {memory[i]:.0f} MiB resident, {descriptors[i]:.0f} descriptors" for i in picks
    ]
    slope = np.polyfit(seconds[picks[0] :] / 3600, memory[picks[0] :], 1)[0]
    lines.append(f"at most {memory.max():.0f} MiB, {descriptors.max():.0f} descriptors; {slope:+.1f} MiB an hour")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--read", action="store_true", help="report of a table that is there")
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    if args.read == bool(args.command):
        parser.error("give either --read or a command after --")
    code = 0 if args.read else watch(args.command, args.table, args.every)
    print(report(args.table))
    sys.exit(code)


if __name__ == "__main__":
    main()
