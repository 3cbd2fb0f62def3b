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
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar

from utils.clock import Clock, SystemClock
from utils.histogram import Histogram
from utils.plain import plain
from utils.system_info import ProcessReader, ProcessSample, machine_facts

Kind = Literal["route", "function", "load"]
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_FOLD_AT = 256
_RECENT = 60
_HISTORY = 360
_MAX_SERIES = 400
_OTHERS = "(others)"
_NO_SPAN = nullcontext()


class RequestTrace:
    """The request that this thread is answering: its id, its start (`perf_counter` seconds), its spans in seconds."""

    __slots__ = ("request_id", "spans", "started_s")

    def __init__(self, request_id: str, started_s: float) -> None:
        self.request_id = request_id
        self.started_s = started_s
        self.spans: dict[str, float] = {}


_TRACE: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)


def current_trace() -> RequestTrace | None:
    """The trace of the request in whose context this is called; None outside of one."""
    return _TRACE.get()


class tracing:
    """`with tracing(trace):` inside, spans are also added to this trace."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: RequestTrace) -> None:
        self._trace = trace

    def __enter__(self) -> RequestTrace:
        self._token = _TRACE.set(self._trace)
        return self._trace

    def __exit__(self, *_: object) -> None:
        _TRACE.reset(self._token)


class _Series:
    """The observations of one name: those not yet counted, and the histogram of the rest."""

    __slots__ = ("_lock", "errors", "failed", "histogram", "kind", "name", "pending", "recent", "size_bytes", "sizes")

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind = kind
        self.name = name
        self.pending: deque[float] = deque()
        self.failed: deque[None] = deque()
        self.sizes: deque[int] = deque()
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.histogram = Histogram()
        self.errors = 0
        self.size_bytes = 0
        self._lock = threading.Lock()

    def fold(self, *, wait: bool) -> None:
        """Counts what is pending; with `wait=False` only if no other thread is at it."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            durations = _drained(self.pending)
            self.histogram.add_all(durations)
            self.recent.extend(durations)
            self.errors += len(_drained(self.failed))
            self.size_bytes += sum(_drained(self.sizes))
        finally:
            self._lock.release()

    def report(self) -> dict[str, Any]:
        self.fold(wait=True)
        with self._lock:
            histogram = self.histogram
            return {
                "name": self.name,
                "count": histogram.count,
                "errors": self.errors,
                "error_fraction": self.errors / histogram.count if histogram.count else 0.0,
                "mean_ms": _ms(histogram.mean_s),
                "p50_ms": _ms(histogram.percentile(0.50)),
                "p95_ms": _ms(histogram.percentile(0.95)),
                "p99_ms": _ms(histogram.percentile(0.99)),
                "max_ms": _ms(histogram.max_s),
                "total_s": histogram.total_s,
                "size_bytes": self.size_bytes,
                "recent_ms": [_ms(seconds) for seconds in self.recent],
            }


def _drained(values: deque[T]) -> list[T]:
    """Takes what is there now; what other threads append meanwhile stays for the next time."""
    return [values.popleft() for _ in range(len(values))]


class _Span:
    """Times a block, into its series and into the request it belongs to."""

    __slots__ = ("_monitor", "_name", "_started_s")

    def __init__(self, monitor: PerformanceMonitor, name: str) -> None:
        self._monitor = monitor
        self._name = name

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started_s
        trace = _TRACE.get()
        if trace is not None:
            trace.spans[self._name] = trace.spans.get(self._name, 0.0) + seconds
        self._monitor.observe(self._name, seconds, error=kind is not None)


class PerformanceMonitor:
    """Watches; off (and then nearly free) until `configure(enabled=True)`; samples between `start()` and `close()`."""

    def __init__(self) -> None:
        self.enabled = False
        self._clock: Clock = SystemClock()
        self._read: Callable[[int], ProcessSample] | None = None
        self._sample_period_s = 5.0
        self._stop = threading.Event()
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
        if error:
            series.failed.append(None)
        if size_bytes:
            series.sizes.append(size_bytes)
        pending = series.pending
        pending.append(seconds)
        if len(pending) >= _FOLD_AT:
            series.fold(wait=False)

    def span(self, name: str) -> AbstractContextManager[None]:
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

    def get_system_info(self) -> dict[str, Any]:
        """The machine, the interpreter, the versions in use, the newest sample of the process; strict-JSON values."""
        sample = self.latest_sample() or self.sample()
        return {
            **machine_facts(),
            "memory_available_bytes": sample.memory_available_bytes,
            "memory_percent": sample.memory_percent,
            "cpu_percent": sample.system_cpu_percent,
            "uptime_s": self._uptime_s(),
            "process": plain(sample),
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
            "uptime_s": self._uptime_s(),
            "routes": self._reports("route"),
            "functions": self._reports("function"),
            "loads": self._reports("load"),
            "process": plain(samples[-1]) if samples else None,
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
                self._read = ProcessReader().read
            sample = self._read(self._clock.now_ms())
            self._samples.append(sample)
            return sample

    def latest_sample(self) -> ProcessSample | None:
        """The newest reading; None before the first."""
        return self._samples[-1] if self._samples else None

    def start(self) -> None:
        """Starts the background sampler, if enabled and not yet running."""
        if not self.enabled or self._thread is not None:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="performance-sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the sampler and waits for it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()

    def _sample_until_stopped(self) -> None:
        self.sample()
        while not self._stop.wait(self._sample_period_s):
            self.sample()

    def _forget(self) -> None:
        self._series: dict[tuple[Kind, str], _Series] = {}
        self._sources: dict[str, Callable[[], Any]] = {}
        self._samples: deque[ProcessSample] = deque(maxlen=_HISTORY)
        self._started_s = self._clock.monotonic()

    def _uptime_s(self) -> float:
        return self._clock.monotonic() - self._started_s

    def _new_series(self, kind: Kind, name: str) -> _Series:
        with self._new_lock:
            if len(self._series) >= _MAX_SERIES:
                name = _OTHERS
            return self._series.setdefault((kind, name), _Series(kind, name))

    def _reports(self, kind: Kind) -> list[dict[str, Any]]:
        """Those of one kind, the most expensive in total first."""
        reports = [series.report() for series in list(self._series.values()) if series.kind == kind]
        return sorted(reports, key=lambda report: -float(report["total_s"]))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 6)


def _report_source(read: Callable[[], Any]) -> Any:
    try:
        return plain(read())
    except Exception as error:  # noqa: BLE001 - a broken part must not take the page that would show it with it
        return {"error": f"{type(error).__name__}: {error}"}


performance_monitor = PerformanceMonitor()
"""The one of this process: empty until `create_app` configures it."""
