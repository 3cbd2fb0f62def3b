"""PerformanceMonitor: how long routes, functions and loads take, and how the process fares, for a list append each.

An observation is appended to its series (a C-level operation, atomic without a lock) and counted into a histogram
later, in bunches. psutil is asked by a background thread alone.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from utils.clock import Clock, SystemClock
from utils.plain import plain
from utils.request_trace import RequestTrace as RequestTrace
from utils.request_trace import current_trace as current_trace
from utils.request_trace import traced
from utils.request_trace import tracing as tracing
from utils.slow_requests import SlowRequest, SlowRequests
from utils.system_info import GcWatch, ProcessReader, ProcessSample, machine_facts, sample_values
from utils.timing_series import FOLD_AT, Counted, TimingSeries
from utils.timing_series import Kind as Kind

P = ParamSpec("P")
R = TypeVar("R")

_HISTORY = 360
_MAX_SERIES = 400
_OTHERS = "(others)"
_NO_SPAN = nullcontext()


class _Span(traced):
    """Times a block, into its series and into the request it belongs to."""

    __slots__ = ("_monitor",)

    def __init__(self, monitor: PerformanceMonitor, name: str) -> None:
        super().__init__(name)
        self._monitor = monitor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._monitor.observe(self._name, self.seconds, error=kind is not None)


class PerformanceMonitor:
    """Watches; off (and then nearly free) until `configure(enabled=True)`; samples between `start()` and `close()`."""

    def __init__(self) -> None:
        self.enabled = False
        self._clock: Clock = SystemClock()
        self._read: Callable[[int], ProcessSample] | None = None
        self._sample_period_s = 5.0
        self._stop = threading.Event()
        self._collections = GcWatch()
        self._thread: threading.Thread | None = None
        self._new_lock = threading.Lock()
        self._sample_lock = threading.Lock()
        self._forget()

    def configure(
        self,
        *,
        enabled: bool,
        sample_period_s: float = 5.0,
        clock: Clock | None = None,
        read: Callable[[int], ProcessSample] | None = None,
    ) -> None:
        """Starts anew with these; what was observed before is forgotten. `read` takes a sample (default: psutil's)."""
        self.close()
        self._clock = clock or SystemClock()
        self._read = read
        self._sample_period_s = sample_period_s
        self._forget()
        self.enabled = enabled

    def observe(
        self, name: str, seconds: float, *, kind: Kind = "function", error: bool = False, size_bytes: int = 0
    ) -> None:
        """Counts one duration of `name`; past 400 names further ones are counted together as `(others)`."""
        if not self.enabled:
            return
        series = self._series.get((kind, name))
        if series is None:
            series = self._new_series(kind, name)
        self._add(series, seconds, error=error, size_bytes=size_bytes)

    def _add(self, series: TimingSeries, seconds: float, *, error: bool, size_bytes: int) -> None:
        if error:
            series.failed.append(None)
        if size_bytes:
            series.sizes.append(size_bytes)
        pending = series.pending
        pending.append(seconds)
        if len(pending) >= FOLD_AT:
            series.fold(wait=False)

    def answered(
        self,
        name: str,
        trace: RequestTrace,
        seconds: float,
        *,
        status: int,
        size_bytes: int,
        packed: bool = True,
        path: str = "",
        failed: bool | None = None,
    ) -> None:
        """Counts an answered request of the route `name`, with what its trace says it was spent on.

        A status from 500 on is an error, unless `failed` says otherwise.
        An answer that its reader did not want compressed (`packed=False`) is not among the largest ones.
        """
        if not self.enabled:
            return
        series = self._series.get(("route", name)) or self._new_series("route", name)
        if packed and size_bytes > series.peak_bytes:  # two threads at once may lose one of them: a peak is no sum
            series.peak_bytes = size_bytes
        if trace.spans or trace.queries or trace.weight:
            series.traces.append((seconds, trace))
        self._add(series, seconds, error=status >= 500 if failed is None else failed, size_bytes=size_bytes)
        if seconds > self._slow.floor_s:
            self._slow.add(SlowRequest.of(name, trace, seconds, status, path, self._clock.now_ms()))

    def slowest(self) -> tuple[SlowRequest, ...]:
        """The slowest requests of the last hour, slowest first; twenty at most."""
        return self._slow.newest(self._clock.now_ms())

    def routes(self, *, take_peaks: bool = False) -> dict[str, Counted]:
        """What was counted of every route, by name; see `TimingSeries.counted`."""
        return {series.name: series.counted(take_peaks=take_peaks) for series in self._of_kind("route")}

    def counted(self, kind: Kind) -> dict[str, Counted]:
        """What was counted of everything of that kind, by name."""
        return {series.name: series.counted() for series in self._of_kind(kind)}

    def each_sample(self, call: Callable[[ProcessSample], None]) -> None:
        """`call` is given every sample from now on, in the thread that takes them. It must not raise."""
        self._listeners.append(call)

    def span(self, name: str) -> AbstractContextManager[object]:
        """Times a block as the function `name`, and as a part of the request that is being answered, if one is."""
        return _Span(self, name) if self.enabled else _NO_SPAN

    def timed(self, name: str, *, kind: Kind = "function") -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: every call of the function is observed as `name`; a raised exception counts as an error."""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            @functools.wraps(function)
            def timed_function(*args: P.args, **kwargs: P.kwargs) -> R:
                if not self.enabled:
                    return function(*args, **kwargs)
                started_s = time.perf_counter()
                failed = True
                try:
                    result = function(*args, **kwargs)
                    failed = False
                finally:
                    self.observe(name, time.perf_counter() - started_s, kind=kind, error=failed)
                return result

            return timed_function

        return decorate

    def add_source(self, name: str, read: Callable[[], Any]) -> None:
        """`get_metrics()["sources"][name]` will be what `read` answers then: cache statistics, feed state…"""
        self._sources[name] = read

    def source(self, name: str) -> dict[str, Any]:
        """What that source answers now, as plain values; empty where there is none or it fails."""
        read = self._sources.get(name)
        found = _report_source(read) if read is not None else {}
        return found if isinstance(found, dict) and "error" not in found else {}

    def get_system_info(self) -> dict[str, Any]:
        """The machine, the interpreter, the versions in use, the newest sample of the process; strict-JSON values."""
        sample = self.latest_sample() or self.sample()
        return {
            **machine_facts(),
            "memory_available_bytes": sample.memory_available_bytes,
            "memory_percent": sample.memory_percent,
            "cpu_percent": None if sample.first else sample.system_cpu_percent,
            "uptime_s": self.uptime_s,
            "process": sample_values(sample),
        }

    def get_metrics(self) -> dict[str, Any]:
        """Timings per route, function and load (milliseconds), the process and its history, and every source.

        Strict-JSON values. `process` is null until the first sample; a source that fails reports `{"error": …}` and the
        rest goes on.
        """
        samples = list(self._samples)
        return {
            "enabled": self.enabled,
            "at_ms": self._clock.now_ms(),
            "uptime_s": self.uptime_s,
            "routes": self._reports("route"),
            "functions": self._reports("function"),
            "loads": self._reports("load"),
            "process": sample_values(samples[-1]) if samples else None,
            "history": {
                "at_ms": [sample.at_ms for sample in samples],
                "rss_bytes": [sample.rss_bytes for sample in samples],
                "cpu_percent": [sample.cpu_percent for sample in samples],
            },
            "sources": {name: _report_source(read) for name, read in list(self._sources.items())},
        }

    def sample(self) -> ProcessSample:
        """Reads the process now and keeps the reading; the background thread does this every `sample_period_s`."""
        with self._sample_lock:
            if self._read is None:
                self._read = ProcessReader(self._collections).read
            sample = self._read(self._clock.now_ms())
            self._samples.append(sample)
        for call in self._listeners:
            call(sample)
        return sample

    def latest_sample(self) -> ProcessSample | None:
        """The newest reading; None before the first."""
        return self._samples[-1] if self._samples else None

    def start(self) -> None:
        """Starts the background sampler, if enabled and not yet running."""
        if not self.enabled or self._thread is not None:
            return
        self._stop.clear()
        self._collections.start()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="performance-sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the sampler and waits for it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()
            self._collections.close()

    def _sample_until_stopped(self) -> None:
        self.sample()
        while not self._stop.wait(self._sample_period_s):
            self.sample()

    def _forget(self) -> None:
        self._series: dict[tuple[Kind, str], TimingSeries] = {}
        self._sources: dict[str, Callable[[], Any]] = {}
        self._samples: deque[ProcessSample] = deque(maxlen=_HISTORY)
        self._listeners: list[Callable[[ProcessSample], None]] = []
        self._slow = SlowRequests()
        self._started_s = self._clock.monotonic()

    @property
    def uptime_s(self) -> float:
        """Since it was configured."""
        return self._clock.monotonic() - self._started_s

    def _new_series(self, kind: Kind, name: str) -> TimingSeries:
        with self._new_lock:
            if len(self._series) >= _MAX_SERIES:
                name = _OTHERS
            return self._series.setdefault((kind, name), TimingSeries(kind, name))

    def _reports(self, kind: Kind) -> list[dict[str, Any]]:
        """Those of one kind, the most expensive in total first."""
        reports = [series.report() for series in self._of_kind(kind)]
        return sorted(reports, key=lambda report: -float(report["total_s"]))

    def _of_kind(self, kind: Kind) -> list[TimingSeries]:
        return [series for (own, _), series in list(self._series.items()) if own == kind]


def _report_source(read: Callable[[], Any]) -> Any:
    try:
        return plain(read())
    except Exception as error:  # noqa: BLE001 - a broken part must not take the page that would show it with it
        return {"error": f"{type(error).__name__}: {error}"}


performance_monitor = PerformanceMonitor()
"""The one of this process: empty until `create_app` configures it."""
