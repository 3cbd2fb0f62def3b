"""Metrics export: what the monitor and the parts counted, as Prometheus metrics, read when somebody scrapes.

Nothing is counted here, so nothing is counted twice and a request pays nothing. Labels come from closed or bounded
sets: route templates, function names (400 of them at most, by the monitor), caches, endpoints, states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from utils.histogram import EDGES_S
from utils.metric_families import gauge
from utils.part_metrics import part_metrics
from utils.performance_monitor import Kind, PerformanceMonitor

_EVERY = 6
_SHORTEST_S, _LONGEST_S = 1e-5, 60.0

EXPORTED = np.flatnonzero((EDGES_S >= _SHORTEST_S) & (EDGES_S <= _LONGEST_S))[::_EVERY]
"""Every sixth of them leaves here, each 1.59 times the one before: 34 buckets whose counts are exact."""


class MetricsExport:
    """The page under `/metrics`: ours, and the official collectors of process, platform and garbage collector."""

    def __init__(self, monitor: PerformanceMonitor, *, more: Callable[[], Iterable[Metric]] = tuple) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(_Dashboard(monitor, more))

    def collect(self) -> Iterable[Metric]:
        """The metrics of this process now."""
        return self._registry.collect()

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics now, and their content type: OpenMetrics or the older text format, as `Accept` asks."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Dashboard(Collector):
    def __init__(self, monitor: PerformanceMonitor, more: Callable[[], Iterable[Metric]]) -> None:
        self._monitor = monitor
        self._more = more

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the parts, which are not running yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        metrics = self._monitor.get_metrics()
        yield gauge("dashboard_monitor_enabled", "1 while requests are timed.", float(metrics["enabled"]))
        yield gauge("dashboard_uptime_seconds", "Since the monitor began to count.", metrics["uptime_s"])
        yield from _timing_metrics(self._monitor)
        yield from part_metrics(metrics)
        yield from self._more()


_NAMES: Mapping[Kind, tuple[str, str, tuple[str, ...]]] = {
    "route": ("dashboard_http_request", "Requests by method and route template", ("method", "route")),
    "function": ("dashboard_function", "Timed parts of the program", ("function",)),
    "load": ("dashboard_load", "Loads of caches and models", ("load",)),
}


def _timing_metrics(monitor: PerformanceMonitor) -> Iterator[Metric]:
    for kind, (name, text, labels) in _NAMES.items():
        durations = HistogramMetricFamily(f"{name}_duration_seconds", f"{text}: how long they took.", labels=labels)
        errors = CounterMetricFamily(
            f"{name}_errors", f"{text}: how many failed (status 5xx, exception).", labels=labels
        )
        sizes = CounterMetricFamily(f"{name}_response_bytes", f"{text}: bytes of the answers.", labels=labels)
        for timed, counted in monitor.counted(kind).items():
            values = method_and_route(timed) if kind == "route" else (timed,)
            durations.add_metric(values, cumulative(counted.buckets), counted.total_s)
            errors.add_metric(values, counted.errors)
            sizes.add_metric(values, counted.size_bytes)
        yield from (durations, errors, sizes) if kind == "route" else (durations, errors)


def method_and_route(name: str) -> tuple[str, str]:
    """`POST /theme` → POST, /theme; the monitor counts GET and HEAD together, without the method: GET."""
    method, space, route = name.partition(" ")
    return (method, route) if space and method.isupper() else ("GET", name)


def cumulative(buckets: NDArray[np.int64]) -> list[tuple[str, float]]:
    """(le, how many took no longer), ending with +Inf."""
    sums = np.cumsum(buckets)
    return [*((f"{EDGES_S[i]:.6g}", float(sums[i])) for i in EXPORTED), ("+Inf", float(sums[-1]))]
