"""TimingSeries: the observations of one name, appended by any thread without a lock and counted later in bunches."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from utils.histogram import Histogram
from utils.request_trace import RequestTrace, stage_seconds

Kind = Literal["route", "function", "load"]
T = TypeVar("T")

FOLD_AT = 256
_RECENT = 60


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted since the start; the peaks since they were last taken. `worked` of the requests had spans."""

    buckets: NDArray[np.int64]
    total_s: float
    errors: int
    size_bytes: int
    worked: int
    worked_s: float
    stages_s: dict[str, float]
    peak_bytes: int
    peak_queries: int
    peak_weight: int


class TimingSeries:
    """Those observations that were not yet counted, and the histogram of the rest."""

    __slots__ = (
        "_lock",
        "_peak_queries",
        "_peak_weight",
        "_stages_s",
        "_worked",
        "_worked_s",
        "errors",
        "failed",
        "histogram",
        "kind",
        "name",
        "peak_bytes",
        "pending",
        "recent",
        "size_bytes",
        "sizes",
        "traces",
    )

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind = kind
        self.name = name
        self.pending: deque[float] = deque()
        self.failed: deque[None] = deque()
        self.sizes: deque[int] = deque()
        self.traces: deque[tuple[float, RequestTrace]] = deque()
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.histogram = Histogram()
        self.errors = 0
        self.size_bytes = 0
        self._worked = 0
        self._worked_s = 0.0
        self._stages_s: dict[str, float] = {}
        self.peak_bytes = 0
        self._peak_queries = self._peak_weight = 0
        self._lock = threading.Lock()

    def fold(self, *, wait: bool) -> None:
        """Counts what is pending; with `wait=False` only if no other thread is at it."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            self._fold()
        finally:
            self._lock.release()

    def counted(self, *, take_peaks: bool = False) -> Counted:
        """Everything so far; `take_peaks` lets the largest answer and its like be found anew from here on."""
        with self._lock:
            self._fold()
            peaks = (self.peak_bytes, self._peak_queries, self._peak_weight)
            if take_peaks:
                self.peak_bytes = self._peak_queries = self._peak_weight = 0
            return Counted(
                self.histogram.buckets,
                self.histogram.total_s,
                self.errors,
                self.size_bytes,
                self._worked,
                self._worked_s,
                dict(self._stages_s),
                *peaks,
            )

    def report(self) -> dict[str, Any]:
        """Milliseconds, counts and bytes since the start, for the JSON interface."""
        with self._lock:
            self._fold()
            histogram = self.histogram
            return {
                "name": self.name,
                "count": histogram.count,
                "errors": self.errors,
                "error_fraction": self.errors / histogram.count if histogram.count else 0.0,
                "mean_ms": milliseconds(histogram.mean_s),
                "p50_ms": milliseconds(histogram.percentile(0.50)),
                "p95_ms": milliseconds(histogram.percentile(0.95)),
                "p99_ms": milliseconds(histogram.percentile(0.99)),
                "max_ms": milliseconds(histogram.max_s),
                "total_s": histogram.total_s,
                "size_bytes": self.size_bytes,
                "recent_ms": [milliseconds(seconds) for seconds in self.recent],
            }

    def _fold(self) -> None:
        durations = _drained(self.pending)
        self.histogram.add_all(durations)
        self.recent.extend(durations)
        self.errors += len(_drained(self.failed))
        self.size_bytes += sum(_drained(self.sizes))
        for seconds, trace in _drained(self.traces):
            self._add_trace(seconds, trace)

    def _add_trace(self, seconds: float, trace: RequestTrace) -> None:
        self._peak_queries = max(self._peak_queries, trace.queries)
        self._peak_weight = max(self._peak_weight, trace.weight)
        if not trace.spans:
            return
        self._worked += 1
        self._worked_s += seconds
        for stage, own_s in stage_seconds(trace.spans).items():
            self._stages_s[stage] = self._stages_s.get(stage, 0.0) + own_s


def milliseconds(seconds: float | None) -> float | None:
    """Rounded to a nanosecond; None stays None."""
    return None if seconds is None else round(seconds * 1e3, 6)


def _drained(values: deque[T]) -> list[T]:
    """Takes what is there now; what other threads append meanwhile stays for the next time."""
    return [values.popleft() for _ in range(len(values))]
