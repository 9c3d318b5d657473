"""What a measurement was made on: processor, memory, versions, load; energy where the machine tells."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

_RAPL = Path("/sys/class/powercap")


def describe() -> dict[str, Any]:
    """The machine and the libraries, for the head of a result."""
    import av
    import cv2
    import numpy as np
    import onnxruntime as ort

    from tracker.core.version import __version__

    model, flags = _processor()
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        usable = os.cpu_count() or 1
    return {
        "processor": model, "vector_units": [f for f in ("avx2", "avx512f", "avx_vnni", "asimd") if f in flags],
        "cores": os.cpu_count() or 1, "cores_usable": usable, "memory_mb": _memory_mb(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
        "onnxruntime": ort.__version__, "opencv": cv2.__version__, "pyav": av.__version__, "numpy": np.__version__,
        "oneball": __version__,
    }  # fmt: skip


def _processor() -> tuple[str, set[str]]:
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass
    return name, flags


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (ValueError, OSError, AttributeError):
        return None


def peak_mb(usage: resource.struct_rusage) -> float:
    """Largest resident memory of a finished process in MiB."""
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


class Energy:
    """Joules used by the processor packages since construction (Intel and AMD RAPL counters, where readable)."""

    def __init__(self) -> None:
        self._counters: list[tuple[Path, int, int]] = []
        for zone in sorted(_RAPL.glob("*-rapl:?")):
            try:
                counter, limit = zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())
                self._counters.append((counter, int(counter.read_text()), limit))
            except (OSError, ValueError):
                continue

    def joules(self) -> float | None:
        """None where the machine does not tell. Everything that ran meanwhile is in it."""
        if not self._counters:
            return None
        try:
            return sum((int(c.read_text()) - start) % limit for c, start, limit in self._counters) / 1e6
        except (OSError, ValueError):
            return None
