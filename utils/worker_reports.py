"""Worker reports: what each worker process counted, so that a page from any of them tells of all."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson

from utils.clock import Clock
from utils.minute_codec import minute_of, words_of
from utils.minute_history import Floats
from utils.minute_recorder import MinuteRecorder
from utils.minutes import Minute, beside
from utils.part_metrics import is_cache
from utils.performance_monitor import PerformanceMonitor
from utils.slow_requests import MOST, SlowRequest
from utils.system_info import sample_values
from utils.worker_files import WorkerFiles

log = logging.getLogger(__name__)

_FILE = "report"
_READ_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One process. `now` are its last minutes, `rates` its requests per second, `process` its newest sample, `caches`
    (hits, misses) by name; `exchange` what it asked of the exchange, where it is the one that leads."""

    number: int
    pid: int
    leads: bool
    uptime_s: float
    now: Minute
    rates: Floats
    slowest: tuple[SlowRequest, ...]
    process: Mapping[str, Any]
    caches: Mapping[str, tuple[int, int]]
    database_errors: int
    exchange: Mapping[str, Any]


class WorkerReports:
    """Tells `files` of this process; reads of the others at most once a second."""

    def __init__(
        self,
        files: WorkerFiles,
        monitor: PerformanceMonitor,
        recorder: MinuteRecorder,
        *,
        caches: Sequence[str],
        clock: Clock,
    ) -> None:
        """`caches`: which of the monitor's sources are caches; `leads` is to be set by whoever knows."""
        self.leads: Callable[[], bool] = lambda: False
        self._caches = tuple(caches)
        self._clock = clock
        self._files = files
        self._monitor = monitor
        self._recorder = recorder
        self._read_at_s = float("-inf")
        self._known: tuple[WorkerReport, ...] = ()
        files.tell[_FILE] = lambda: orjson.dumps(_words(self.own()))

    @property
    def number(self) -> int | None:
        """Of this worker; None while it does not report."""
        return self._files.number

    def own(self) -> WorkerReport:
        """What this process would tell of itself."""
        sample, leads = self._monitor.latest_sample(), self.leads()
        caches = {name: self._monitor.source(name) for name in self._caches}
        return WorkerReport(
            number=self.number or 0,
            pid=os.getpid(),
            leads=leads,
            uptime_s=self._monitor.uptime_s,
            now=self._recorder.recent(),
            rates=self._recorder.rates(),
            slowest=self._monitor.slowest(),
            process=sample_values(sample) if sample is not None else {},
            caches={name: (one["hits"], one["misses"]) for name, one in caches.items() if is_cache(one)},
            database_errors=self._monitor.source("database").get("errors", 0),
            exchange=self._monitor.source("exchange") if leads else {},
        )

    def others(self) -> tuple[WorkerReport, ...]:
        """Every other living worker, as of its last turn of five seconds."""
        now_s = self._clock.monotonic()
        if now_s - self._read_at_s >= _READ_AGAIN_S:
            told = [_report(number, content) for number, content in self._files.others(_FILE)]
            self._known = tuple(one for one in told if one is not None)
            self._read_at_s = now_s
        return self._known


def minute_of_all(own: Minute, others: tuple[WorkerReport, ...]) -> Minute:
    """The last minutes of every process taken together."""
    return beside([own, *(one.now for one in others)]) or own if others else own


def rates_of_all(own: Floats, others: tuple[WorkerReport, ...]) -> Floats:
    """Requests per second of all together, for as long as each of them tells; shape (n,)."""
    every = [own, *(one.rates for one in others)]
    shortest = min(len(one) for one in every)
    return np.sum([one[len(one) - shortest :] for one in every], axis=0) if shortest else own


def slowest_of_all(own: Sequence[SlowRequest], others: tuple[WorkerReport, ...]) -> tuple[SlowRequest, ...]:
    """Slowest first."""
    every = [*own, *(slow for one in others for slow in one.slowest)]
    return tuple(heapq.nlargest(MOST, every, key=lambda one: one.seconds))


def _words(report: WorkerReport) -> dict[str, Any]:
    return {
        "pid": report.pid,
        "leads": report.leads,
        "uptime_s": report.uptime_s,
        "at_ms": report.now.at_ms,
        "now": words_of(report.now),
        "rates": [float(rate) for rate in report.rates],
        "slowest": [asdict(one) for one in report.slowest],
        "process": dict(report.process),
        "caches": dict(report.caches),
        "database_errors": report.database_errors,
        "exchange": dict(report.exchange),
    }


def _report(number: int, content: bytes) -> WorkerReport | None:
    """None where another version wrote it, as while workers are replaced one by one."""
    try:
        read = orjson.loads(content)
        now = minute_of(read["now"], read["at_ms"])
        return None if now is None else _made(number, read, now)
    except (ValueError, KeyError, TypeError) as error:
        log.info("what worker %d tells of itself cannot be read: %s", number, error)
        return None


def _made(number: int, read: Mapping[str, Any], now: Minute) -> WorkerReport:
    return WorkerReport(
        number=number,
        pid=read["pid"],
        leads=read["leads"],
        uptime_s=read["uptime_s"],
        now=now,
        rates=np.array(read["rates"], dtype=np.float64),
        slowest=tuple(SlowRequest(**{**one, "spans_s": tuple(map(tuple, one["spans_s"]))}) for one in read["slowest"]),
        process=read["process"],
        caches={name: (hits, misses) for name, (hits, misses) in read["caches"].items()},
        database_errors=read["database_errors"],
        exchange=read["exchange"],
    )
