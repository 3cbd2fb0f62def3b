"""Worker reports: what one process tells comes to the others as it was, and is added up to what all did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from utils.cache_clearing import CacheClearing
from utils.clock import ManualClock
from utils.minute_recorder import MinuteRecorder
from utils.minutes import Minute, RouteMinute, beside
from utils.performance_monitor import PerformanceMonitor
from utils.request_trace import RequestTrace
from utils.system_info import ProcessSample
from utils.worker_files import WorkerFiles
from utils.worker_reports import WorkerReports, minute_of_all, rates_of_all, slowest_of_all

START_MS = 1_767_225_600_000


class Worker:
    """A process's part of the folder, with a monitor of its own."""

    def __init__(self, folder: Path, *, leads: bool = False) -> None:
        self.clock = ManualClock(now_ms=START_MS)
        self.monitor = PerformanceMonitor()
        self.monitor.configure(enabled=True, clock=self.clock, read=self.sample)
        self.monitor.add_source("page_cache", lambda: {"hits": 30, "misses": 10})
        self.monitor.add_source("database", lambda: {"errors": 2})
        self.monitor.add_source("exchange", lambda: {"used_weight": 40, "weight_limit": 6000})
        self.recorder = MinuteRecorder(self.monitor, self.clock)
        self.recorder.start()
        self.files = WorkerFiles(folder, period_s=3600)
        caches = ("page_cache", "redis")
        self.reports = WorkerReports(self.files, self.monitor, self.recorder, caches=caches, clock=self.clock)
        self.reports.leads = lambda: leads
        self.files.start()

    def sample(self, at_ms: int) -> ProcessSample:
        return ProcessSample(at_ms, 100_000_000, 60_000_000, 12.0, 3, 20, 5, 0, 50.0, 1000, 400, 60.0)

    def ask(self, ms: float, times: int, *, status: int = 200) -> None:
        for _ in range(times):
            trace = RequestTrace("id", 0.0)
            trace.spans["candles"] = ms / 2000
            self.monitor.answered("/a", trace, ms / 1000, status=status, size_bytes=100, path="/a")

    def pass_time(self, seconds: float = 5.0) -> None:
        self.clock.tick(seconds)
        self.monitor.sample()

    def close(self) -> None:
        self.files.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    with closing(Worker(tmp_path, leads=True)) as one, closing(Worker(tmp_path)) as other:
        yield one, other


def test_what_a_worker_tells_comes_to_the_other_as_it_was(two: tuple[Worker, Worker]) -> None:
    one, other = two
    one.ask(3, 10)
    one.ask(800, 1, status=500)
    one.pass_time()
    own = one.reports.own()
    one.files.publish()
    (told,) = other.reports.others()
    assert (told.number, told.pid, told.leads, told.database_errors) == (0, own.pid, True, 2)
    assert (told.now.at_ms, told.now.seconds, told.now.gauges) == (own.now.at_ms, own.now.seconds, own.now.gauges)
    assert (told.now.routes["/a"].buckets, told.now.routes["/a"].errors) == (own.now.routes["/a"].buckets, 1)
    assert told.slowest == own.slowest
    assert told.caches == {"page_cache": (30, 10)}
    assert told.process["rss_bytes"] == 100_000_000
    assert told.exchange["weight_limit"] == 6000
    assert other.reports.own().exchange == {}, "only of the one that leads"


def test_all_together(two: tuple[Worker, Worker]) -> None:
    one, other = two
    for worker, ms, times in ((one, 3, 30), (other, 300, 10)):
        worker.pass_time()
        worker.ask(ms, times)
        worker.pass_time()
        worker.files.publish()
    others = other.reports.others()
    now = minute_of_all(other.recorder.recent(), others)
    assert now.routes["/a"].count == 40
    assert now.routes["/a"].percentile_s(0.5) == pytest.approx(0.003, rel=0.04)
    assert now.routes["/a"].percentile_s(0.95) == pytest.approx(0.3, rel=0.04)
    assert now.seconds == 10, "side by side, not one after the other"
    assert rates_of_all(other.recorder.rates(), others).tolist() == [8.0]
    assert [round(slow.seconds, 3) for slow in slowest_of_all(other.monitor.slowest(), others)][:11] == [0.3] * 10 + [
        0.003
    ]
    assert minute_of_all(other.recorder.recent(), ()).routes["/a"].count == 10


def test_a_report_of_another_version_is_left_out(two: tuple[Worker, Worker], tmp_path: Path) -> None:
    one, other = two
    one.files.publish()
    for damaged in (b"", b"[]", b"{}", b'{"now": {"form": 0}, "at_ms": 1}', b'{"now": {"form": 1}}'):
        (tmp_path / "worker-0.report").write_bytes(damaged)
        other.clock.tick(2)
        assert other.reports.others() == (), damaged


def test_reports_are_read_once_a_second_at_most(two: tuple[Worker, Worker]) -> None:
    one, other = two
    one.files.publish()
    found = other.reports.others()
    one.ask(3, 1)
    one.files.publish()
    other.clock.tick(0.9)
    assert other.reports.others() is found
    other.clock.tick(0.2)
    assert other.reports.others()[0].now.routes["/a"].count == 1


def minute(seconds: float, rss: float) -> Minute:
    return Minute(START_MS, seconds, {"/a": RouteMinute({5: 3})}, {"rss_bytes": rss, "loop_lag_ms": rss})


def test_memory_of_processes_side_by_side_adds_up() -> None:
    both = beside([minute(60, 100), minute(60, 50)])
    assert both is not None
    assert (both.seconds, dict(both.gauges)) == (60, {"rss_bytes": 150, "loop_lag_ms": 100})
    assert both.routes["/a"].count == 6
    assert beside([]) is None


def test_a_cache_is_cleared_again_where_it_was_cleared_elsewhere() -> None:
    emptied: list[str] = []
    told: list[str] = []
    clearing = CacheClearing({name: lambda name=name: emptied.append(name) for name in ("pages", "models")})  # type: ignore[misc]
    clearing.tell = told.append
    clearing.follow({"pages": 4, "models": 2})
    assert emptied == [], "what happened before this process began is not its business"
    clearing.follow({"pages": 5, "models": 2})
    assert (emptied, told) == (["pages"], [])
    clearing.follow({"pages": 0, "models": 0})  # another process leads now, and counts for itself
    clearing.follow({"pages": 0, "models": 1})
    assert emptied == ["pages", "models"]
    clearing.clear("pages")
    assert (emptied, told, clearing.times) == (["pages", "models", "pages"], ["pages"], 3)


def test_rates_of_a_worker_that_has_just_begun_count_from_then(two: tuple[Worker, Worker]) -> None:
    one, other = two
    one.files.publish()
    assert rates_of_all(np.array([1.0, 2.0]), other.reports.others()).tolist() == [1.0, 2.0]
