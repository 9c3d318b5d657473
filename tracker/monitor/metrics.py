"""Prometheus metrics of a live run, by the official client (extra ``metrics``)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tracker.core.errors import missing_extra
from tracker.core.types import Status
from tracker.monitor.log import SERIES

_DELAYS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """What ``/metrics`` says: frames by status, events by kind, delay, drift series, doubt.

    One registry per object, so that two runs in one process do not count for each other. The values of a monitor are
    read when somebody asks, and cost nothing in between.

    Raises:
        TrackerError: the extra is missing.
    """

    def __init__(self) -> None:
        try:
            import prometheus_client as prometheus
            from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        except ImportError as e:
            raise missing_extra("prometheus-client", "metrics", "--metrics-port") from e
        self._counter, self._gauge = CounterMetricFamily, GaugeMetricFamily
        self.registry = prometheus.CollectorRegistry()
        self._delay = prometheus.Histogram(
            "oneball_delay_seconds", "From a picture's arrival to its state.", registry=self.registry, buckets=_DELAYS_S
        )
        self._status = dict.fromkeys((str(s) for s in Status), 0)
        self._stalls = 0
        self._last = 0.0
        self.dropped = 0
        self.monitor: Any = None  # tracker.monitor.watch.Monitor, once there is one
        self.registry.register(self)

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics in the form that an Accept header asks for, and its media type."""
        from prometheus_client.exposition import choose_encoder

        encode, kind = choose_encoder(accept)
        return encode(self.registry), kind

    def state(self, status: Status, delay_s: float, dropped: int) -> None:
        """One state of the tracker."""
        self._status[str(status)] += 1
        self._delay.observe(max(0.0, delay_s))
        self.dropped, self._last = dropped, time.time()

    def stall(self) -> None:
        self._stalls += 1

    def collect(self) -> Iterator[Any]:
        """What Prometheus asks for (called by the registry)."""
        frames = self._counter("oneball_frames", "Frames by status of the track.", labels=["status"])
        for name, n in self._status.items():
            frames.add_metric([name], n)
        yield frames
        yield self._counter("oneball_stalls", "Times the source was silent.", value=self._stalls)
        yield self._counter("oneball_dropped", "Pictures skipped because the tracker was busy.", value=self.dropped)
        yield self._gauge("oneball_last_state_timestamp_seconds", "When the last state came.", value=self._last)
        watch = self.monitor
        if watch is None:
            return
        counts = dict(watch.counts)
        yield self._counter("oneball_flagged", "Frames with a doubt that is flagged.", value=counts.get("flagged", 0))
        events = self._counter("oneball_events", "Events by kind.", labels=["kind"])
        for kind, n in counts.items():
            if kind not in ("frames", "flagged"):
                events.add_metric([kind], n)
        yield events
        yield self._gauge("oneball_doubt", "Probability that the last judged answer is wrong.", value=watch.doubt)
        series = self._gauge("oneball_series", "Means over the last second.", labels=["name"])
        for name in SERIES:
            if name in watch.drift.last:
                series.add_metric([name], watch.drift.last[name])
        yield series
        yield self._gauge("oneball_tones_psi", "Stability index of the scene's grey tones.", value=watch.drift.psi)
        yield self._counter("oneball_drift_alarms", "Changes of the footage.", value=len(watch.alarms))
