"""Minutes: exact sums, percentiles of any stretch of time, a day kept over restarts, versions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.database import Database, connect
from data.performance_store import KEPT_MS, MOST_VERSIONS, PerformanceStore
from utils.clock import ManualClock
from utils.minute_codec import pack, unpack
from utils.minute_history import FIELDS, MinuteHistory, group_of
from utils.minute_recorder import MinuteRecorder, add_to_version
from utils.minutes import MINUTE_MS, Minute, RouteMinute, added, together
from utils.performance_monitor import PerformanceMonitor
from utils.request_trace import RequestTrace
from utils.system_info import ProcessSample

START_MS = 1_767_225_600_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = connect(f"sqlite:///{tmp_path / 'd.db'}")
    yield opened
    opened.close()


class Watched:
    """A recorder with a clock and a monitor of its own."""

    def __init__(
        self,
        store: PerformanceStore | None = None,
        *,
        version: str = "1",
        now_ms: int = START_MS,
        shared: bool = False,
    ) -> None:
        self.clock = ManualClock(now_ms=now_ms)
        self.monitor = PerformanceMonitor()
        self.monitor.configure(enabled=True, clock=self.clock)
        self.recorder = MinuteRecorder(self.monitor, self.clock, store=store, version=version, shared=shared)

    def ask(self, route: str, ms: float, times: int = 1, **more: int) -> None:
        for _ in range(times):
            trace = RequestTrace("id", 0.0)
            trace.spans["candles"] = ms / 2000
            trace.queries = more.get("queries", 0)
            self.monitor.answered(
                route, trace, ms / 1000, status=more.get("status", 200), size_bytes=more.get("size", 100)
            )

    def sample(self, rss_mb: int = 100) -> None:
        self.recorder.notice(
            ProcessSample(self.clock.now_ms(), rss_mb * 1_000_000, None, 12.0, 3, 20, 5, 0, 50.0, 1000, 400, 60.0)
        )

    def pass_minute(self) -> None:
        self.clock.tick(60)
        self.sample()


def test_an_answer_that_the_start_is_not_over_is_no_error_of_the_minute() -> None:
    watched = Watched()
    watched.ask("/ready", 1, times=9, status=503)
    watched.pass_minute()
    watched.ask("/ready", 1, times=9, status=503)
    watched.ask("/a", 2, times=3)
    watched.ask("/a", 2, status=500)
    watched.pass_minute()
    errors = watched.recorder.history(2)["error_percent"]
    assert np.isnan(errors[0])
    assert errors[1] == 25


def test_a_minute_holds_what_happened_in_it_alone() -> None:
    watched = Watched()
    watched.ask("/a", 2, times=30, queries=9)
    watched.ask("/a", 200, times=3, status=500)
    watched.pass_minute()
    watched.ask("/a", 4, times=10)
    watched.pass_minute()
    last = watched.recorder.history(2)
    assert last["requests_per_s"].tolist() == pytest.approx([33 / 60, 10 / 60])
    assert last["error_percent"].tolist() == pytest.approx([100 * 3 / 33, 0])
    assert last["p50_ms"].tolist() == pytest.approx([2, 4], rel=0.04)
    assert last["p99_ms"].tolist() == pytest.approx([200, 4], rel=0.04)
    assert last["rss_bytes"].tolist() == [100e6, 100e6]
    now = watched.recorder.recent().routes["/a"]
    assert (now.count, now.errors, now.size_bytes, now.peak_queries) == (43, 3, 4_300, 9)
    assert now.stages_s["data"] == pytest.approx(now.total_s / 2)


def test_now_forgets_what_is_older_than_five_minutes() -> None:
    watched = Watched()
    watched.ask("/old", 2, queries=99)
    watched.pass_minute()
    watched.ask("/new", 2)
    for _ in range(5):
        watched.pass_minute()
    assert set(watched.recorder.recent().routes) == {"/new"}
    watched.clock.tick(3600)
    assert watched.recorder.recent().routes == {}


def test_minutes_add_up_to_what_was_counted_as_a_whole() -> None:
    rng = np.random.default_rng(3)
    watched = Watched()
    parts: list[Minute] = []
    for _ in range(4):
        for ms in rng.lognormal(2, 1, 50):
            watched.ask("/a", float(ms))
        parts.append(watched.recorder.recent())
        watched.clock.tick(400)
        watched.sample()
    whole = together(parts)
    assert whole is not None
    total = watched.monitor.routes()["/a"]
    assert whole.routes["/a"].count == total.buckets.sum() == 200
    assert added(one.routes["/a"] for one in parts).percentile_s(0.95) == whole.all_routes.percentile_s(0.95)


def test_a_packed_minute_is_small_and_comes_back_the_same() -> None:
    watched = Watched()
    rng = np.random.default_rng(5)
    for route in [f"/route/{number}" for number in range(20)]:
        for ms in rng.lognormal(1, 0.7, 60):
            watched.ask(route, float(ms))
    minute = watched.recorder.recent()
    packed = pack(minute)
    assert len(packed) < 5_000, "a day of busy minutes stays within a few megabytes"
    read = unpack(packed, minute.at_ms)
    assert read is not None
    assert read.routes.keys() == minute.routes.keys()
    assert read.routes["/route/3"].buckets == minute.routes["/route/3"].buckets
    assert unpack(b"not a minute", 0) is None
    assert unpack(packed[:-3], 0) is None


def test_the_history_outlives_the_process_and_keeps_a_day(database: Database) -> None:
    first = Watched(PerformanceStore(database, worker="a"))
    first.sample()
    first.ask("/a", 3, times=5)
    first.pass_minute()
    first.ask("/a", 30, times=5)
    first.recorder.close()
    again = Watched(PerformanceStore(database, worker="b"), now_ms=START_MS + 3 * MINUTE_MS)
    again.sample()
    p95 = again.recorder.history(3)["p95_ms"]
    assert p95.tolist() == pytest.approx([3, 30, np.nan], rel=0.04, nan_ok=True)
    store = PerformanceStore(database, worker="b")
    store.add(Minute(START_MS + KEPT_MS, 60.0, {}, {}), "1", add_to_version)
    assert [one.at_ms for one in store.minutes(0)] == [START_MS + MINUTE_MS, START_MS + KEPT_MS]


def test_two_workers_in_one_minute_are_one_minute(database: Database) -> None:
    for worker, times in (("a", 10), ("b", 20)):
        watched = Watched(PerformanceStore(database, worker=worker))
        watched.ask("/a", 3, times=times)
        watched.pass_minute()
    later = Watched(PerformanceStore(database, worker="c"), now_ms=START_MS + MINUTE_MS)
    later.sample()
    assert later.recorder.history(1)["requests_per_s"].tolist() == pytest.approx([0.5])


def test_a_worker_shows_the_minutes_of_the_others_as_they_are_stored(database: Database) -> None:
    one = Watched(PerformanceStore(database, worker="a"), shared=True)
    other = Watched(PerformanceStore(database, worker="b"), shared=True)
    for watched, times in ((one, 6), (other, 12)):
        watched.sample()
        watched.ask("/a", 3, times=times)
        watched.pass_minute()
    assert one.recorder.history(1)["requests_per_s"].tolist() == pytest.approx([0.1]), "the other was later"
    assert other.recorder.history(1)["requests_per_s"].tolist() == pytest.approx([0.3])
    assert other.recorder.history(1)["rss_bytes"].tolist() == [200_000_000]
    one.pass_minute()
    assert one.recorder.history(2)["requests_per_s"].tolist() == pytest.approx([0.3, 0])


def test_versions_are_summed_and_the_one_before_is_found(database: Database) -> None:
    for version, ms, rss_mb in (("1-old", 5, 120), ("1-new", 2, 90)):
        watched = Watched(PerformanceStore(database, worker="a"), version=version)
        for _ in range(2):
            watched.ask("/a", ms, times=30)
            watched.sample(rss_mb)
            watched.clock.tick(60)
            watched.sample(rss_mb)
    ours, before = watched.recorder.versions()
    assert (ours.version, before.version) == ("1-new", "1-old")
    assert [one.summed.routes["/a"].count for one in (ours, before)] == [60, 60]
    assert before.summed.routes["/a"].percentile_s(0.95) == pytest.approx(0.005, rel=0.04)
    assert ours.summed.gauges == {"rss_bytes": 90e6, "rss_peak_bytes": 90e6, "minutes": 2.0}


def test_no_more_than_a_few_versions_are_kept(database: Database) -> None:
    store = PerformanceStore(database, worker="a")
    for number in range(MOST_VERSIONS + 3):
        store.add(Minute(START_MS + number * MINUTE_MS, 60.0, {}, {}), f"v{number}", add_to_version)
    assert [version for version, _ in store.versions()] == [f"v{n}" for n in range(MOST_VERSIONS + 2, 2, -1)]


def test_a_database_that_fails_costs_a_minute_and_not_the_sampler(database: Database, tmp_path: Path) -> None:
    watched = Watched(PerformanceStore(database, worker="a"))
    watched.sample()
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE performance_minutes")
    watched.ask("/a", 3)
    watched.pass_minute()
    assert watched.recorder.history(1)["requests_per_s"].tolist() == pytest.approx([1 / 60])


def test_the_history_is_a_ring_of_one_day() -> None:
    history = MinuteHistory()
    for number in range(3_000):
        routes = {"/": RouteMinute(buckets={130: number})}
        history.put(Minute(START_MS + number * MINUTE_MS, 60.0, routes, {}))
    last = history.last(1440, START_MS + 3_000 * MINUTE_MS)
    assert set(last) == set(FIELDS)
    assert len(last["requests_per_s"]) == 1440
    assert last["requests_per_s"][-1] == pytest.approx(2_999 / 60)
    assert np.isnan(last["rss_bytes"]).all()


@pytest.mark.parametrize(
    ("route", "group"),
    [
        ("/", "pages"),
        ("/symbol/<symbol>", "pages"),
        ("/symbol/<symbol>/live", "live"),
        ("/symbol/<symbol>/chart.json", "live"),
        ("/api/v1/candles/<symbol>", "api"),
        ("/metrics", "api"),
        ("/assets/vendor/<name>", "files"),
        ("POST /theme", "others"),
        ("(not found)", "others"),
    ],
)
def test_routes_are_grouped(route: str, group: str) -> None:
    assert group_of(route) == group
