"""MinuteRecorder: cuts what the monitor counts into minutes, keeps the last ones, and hands each on to be stored."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from utils.clock import Clock
from utils.errors import StoreError
from utils.minute_history import MINUTES, Floats, MinuteHistory
from utils.minutes import MINUTE_MS, Minute, added, beside, difference, together
from utils.performance_monitor import PerformanceMonitor
from utils.system_info import ProcessSample
from utils.timing_series import Counted

log = logging.getLogger(__name__)

RECENT_MINUTES = 5
"""What is called "now": whole minutes, and the one that is running."""
_RATES_KEPT = 60
_OTHERS_LATE_MS = 2 * MINUTE_MS
"""Other processes store the same minute some seconds before or after: what came late is read with the next one."""
_MEANS = frozenset({"cpu_percent", "page_hit_percent"})

Sum = Callable[[Minute | None, Minute], Minute]


class MinuteStore(Protocol):
    """Where minutes outlast the process; data.performance_store has it."""

    def add(self, minute: Minute, version: str, into: Sum) -> None: ...
    def minutes(self, since_ms: int) -> list[Minute]: ...
    def versions(self) -> list[tuple[str, Minute]]: ...


@dataclass(frozen=True, slots=True)
class VersionSum:
    """Everything a version of the software measured; gauges `rss_bytes` (mean), `rss_peak_bytes`, `minutes`."""

    version: str
    last_ms: int
    summed: Minute


class MinuteRecorder:
    """Given every sample of the process (`notice`); asked by any thread."""

    def __init__(
        self,
        monitor: PerformanceMonitor,
        clock: Clock,
        *,
        store: MinuteStore | None = None,
        version: str = "",
        shared: bool = False,
    ) -> None:
        """`shared`: other processes keep their minutes in the same store, and the history is everyone's."""
        self.version = version
        self._shared = shared
        self._monitor = monitor
        self._clock = clock
        self._store = store
        self._lock = threading.Lock()
        self._before: Mapping[str, Counted] = {}
        self._began_ms = clock.now_ms()
        self._gauges: list[Mapping[str, float]] = []
        self._last: deque[Minute] = deque(maxlen=RECENT_MINUTES)
        self._rates: deque[tuple[float, int]] = deque(maxlen=_RATES_KEPT + 1)
        self._history = MinuteHistory()
        self._versions: Sequence[VersionSum] = ()
        self._loaded = store is None
        self._hits = (0, 0)

    def start(self) -> None:
        """From now on the monitor's samples come here."""
        self._monitor.each_sample(self.notice)

    def notice(self, sample: ProcessSample) -> None:
        """Takes a reading; when the minute has turned, the one that is over is cut off and stored."""
        with self._lock:
            self._load()
            self._gauges.append(self._read_gauges(sample))
            counted = self._monitor.routes()
            self._rates.append((self._clock.monotonic(), sum(int(one.buckets.sum()) for one in counted.values())))
            if self._clock.now_ms() // MINUTE_MS == self._began_ms // MINUTE_MS:
                return
            over = self._cut()
        self._keep(over)

    def close(self) -> None:
        """Stores what was seen of the minute that is running."""
        with self._lock:
            over = self._cut()
        if over.routes:
            self._keep(over)

    def recent(self) -> Minute:
        """The requests of the last five minutes and of the one that is running."""
        with self._lock:
            running = self._running(self._monitor.routes())
            since_ms = self._clock.now_ms() // MINUTE_MS * MINUTE_MS - RECENT_MINUTES * MINUTE_MS
            minutes = [one for one in self._last if one.at_ms >= since_ms]
            return together([*minutes, running]) or running

    def rates(self) -> Floats:
        """Requests per second between the last readings, oldest first; shape (n,), n ≤ 60."""
        seen = np.array(self._rates, dtype=np.float64).reshape(-1, 2)
        spans = np.diff(seen, axis=0)
        spans = spans[spans[:, 0] > 0] if len(spans) else spans
        return np.asarray(spans[:, 1] / spans[:, 0]) if len(spans) else np.empty(0)

    def history(self, minutes: int = MINUTES) -> dict[str, Floats]:
        """The last minutes (at most a day of them), also those of earlier runs, by figure; NaN where nothing ran."""
        with self._lock:
            return self._history.last(minutes, self._clock.now_ms())

    def versions(self) -> Sequence[VersionSum]:
        """This version first, then the one that ran before it, and so on."""
        return self._versions

    def _cut(self) -> Minute:
        counted = self._monitor.routes(take_peaks=True)
        over = self._running(counted)
        self._before = counted
        self._began_ms = self._clock.now_ms()
        self._gauges.clear()
        self._last.append(over)
        self._history.put(over)
        self._monitor.slowest()
        return over

    def _running(self, counted: Mapping[str, Counted]) -> Minute:
        seconds = max(0.0, (self._clock.now_ms() - self._began_ms) / 1000)
        start_ms = self._began_ms // MINUTE_MS * MINUTE_MS
        return Minute(start_ms, seconds, difference(counted, self._before), _summary(self._gauges))

    def _keep(self, over: Minute) -> None:
        if self._store is None:
            return
        try:
            self._store.add(over, self.version, add_to_version)
            self._versions = self._read_versions()
            stored = self._store.minutes(over.at_ms - _OTHERS_LATE_MS) if self._shared else ()
        except StoreError as error:
            log.warning("a minute of the performance history could not be kept: %s", error)
            return
        with self._lock:
            self._take(stored)

    def _load(self) -> None:
        """Once, in the first reading: what earlier runs of the last day left."""
        if self._loaded or self._store is None:
            return
        self._loaded = True
        try:
            self._take(self._store.minutes(self._clock.now_ms() - MINUTES * MINUTE_MS))
            self._versions = self._read_versions()
        except StoreError as error:
            log.warning("the performance history could not be read: %s", error)

    def _take(self, stored: Sequence[Minute]) -> None:
        for minute in _by_minute(stored):
            self._history.put(minute)

    def _read_versions(self) -> Sequence[VersionSum]:
        found = [
            VersionSum(name, summed.at_ms, summed) for name, summed in (self._store.versions() if self._store else ())
        ]
        return sorted(found, key=lambda one: one.version != self.version)

    def _read_gauges(self, sample: ProcessSample) -> dict[str, float]:
        exchange, pages = self._monitor.source("exchange"), self._monitor.source("page_cache")
        gauges = {
            "rss_bytes": float(sample.rss_bytes),
            "cpu_percent": sample.cpu_percent,
            "loop_lag_ms": float(exchange.get("loop_lag_max_s") or 0.0) * 1000,
        }
        if exchange.get("weight_limit"):
            gauges["weight_percent"] = exchange["used_weight"] / exchange["weight_limit"] * 100
        hits, asked = pages.get("hits", 0), pages.get("hits", 0) + pages.get("misses", 0)
        hits_before, asked_before = self._hits
        if asked > asked_before:
            gauges["page_hit_percent"] = (hits - hits_before) / (asked - asked_before) * 100
        self._hits = (hits, asked)
        return gauges


def add_to_version(summed: Minute | None, minute: Minute) -> Minute:
    """What a version has measured, with one minute more."""
    minutes = (summed.gauges.get("minutes", 0.0) if summed else 0.0) + 1.0
    rss = minute.gauges.get("rss_bytes", 0.0)
    mean = (summed.gauges.get("rss_bytes", rss) if summed else rss) * (minutes - 1) / minutes + rss / minutes
    peak = max(summed.gauges.get("rss_peak_bytes", 0.0) if summed else 0.0, rss)
    gauges = {"rss_bytes": mean, "rss_peak_bytes": peak, "minutes": minutes}
    if summed is None:
        return Minute(minute.at_ms, minute.seconds, minute.routes, gauges)
    names = dict.fromkeys([*summed.routes, *minute.routes])
    routes = {name: added(one.routes[name] for one in (summed, minute) if name in one.routes) for name in names}
    return Minute(minute.at_ms, summed.seconds + minute.seconds, routes, gauges)


def _summary(seen: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of a share of time, the worst of everything else."""
    names = dict.fromkeys(name for one in seen for name in one)
    found = {name: [float(one[name]) for one in seen if name in one] for name in names}
    return {name: sum(many) / len(many) if name in _MEANS else max(many) for name, many in found.items()}


def _by_minute(minutes: Sequence[Minute]) -> list[Minute]:
    """Those of several processes taken together: side by side, or one after the other where they watched no longer than
    a minute in sum."""
    groups: dict[int, list[Minute]] = {}
    for one in minutes:
        groups.setdefault(one.at_ms, []).append(one)
    return [made for many in groups.values() if (made := _one_minute(many)) is not None]


def _one_minute(many: Sequence[Minute]) -> Minute | None:
    in_turn = sum(one.seconds for one in many) * 1000 <= MINUTE_MS
    return together(many) if in_turn else beside(many)
