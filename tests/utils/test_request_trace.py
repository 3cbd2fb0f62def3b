"""Spans without what is inside them, stages, counts of queries and weight, slow requests, and a loop's lag."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from data.gateway_loop import LoopThread
from utils.clock import ManualClock
from utils.performance_monitor import PerformanceMonitor
from utils.request_trace import RequestTrace, count_query, count_weight, traced, tracing
from utils.slow_requests import MOST


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_a_span_holds_its_own_time_alone() -> None:
    trace = RequestTrace("id", 0.0)
    started = time.perf_counter()
    with tracing(trace), traced("render"):
        busy(0.004)
        with traced("candles"):
            busy(0.003)
            with traced("indicators"):
                busy(0.002)
        with traced("compress"):
            busy(0.001)
    whole = time.perf_counter() - started
    assert sum(trace.spans.values()) == pytest.approx(whole, abs=0.001)
    assert trace.spans["candles"] >= 0.003
    assert trace.spans["render"] < whole - 0.005
    assert list(trace.split_s()) == ["indicators", "data", "compress", "render"]


def test_a_span_that_fails_gives_the_outer_one_its_time_back() -> None:
    trace = RequestTrace("id", 0.0)
    with tracing(trace), traced("render"):
        with contextlib.suppress(LookupError), traced("candles"):
            busy(0.002)
            raise LookupError
        busy(0.001)
    assert trace.spans["candles"] >= 0.002
    assert trace.spans["render"] >= 0.001


def test_counts_belong_to_the_request_of_their_thread() -> None:
    trace = RequestTrace("id", 0.0)
    count_query()
    with tracing(trace):
        count_query()
        count_weight(2)
        other = threading.Thread(target=count_query)
        other.start()
        other.join()
    count_weight(40)
    assert (trace.queries, trace.weight) == (1, 2)


def answered(monitor: PerformanceMonitor, name: str, seconds: float, **more: int) -> None:
    trace = RequestTrace(f"id-{name}", 0.0)
    trace.spans["candles"] = seconds / 2
    trace.queries = more.get("queries", 0)
    monitor.answered(name, trace, seconds, status=200, size_bytes=more.get("size", 10), path=f"{name}?no")


def test_the_slowest_of_an_hour_are_kept_and_no_more() -> None:
    clock = ManualClock(now_ms=1_000_000)
    monitor = PerformanceMonitor()
    monitor.configure(enabled=True, clock=clock)
    for ms in range(1, 101):
        answered(monitor, f"/{ms}", ms / 1000)
    kept = monitor.slowest()
    assert [one.route for one in kept] == [f"/{ms}" for ms in range(100, 100 - MOST, -1)]
    assert kept[0].spans_s == (("candles", 0.05),)
    clock.set_wall(1_000_000 + 3_600_000)
    assert monitor.slowest() == ()
    answered(monitor, "/late", 0.0001)
    assert [one.route for one in monitor.slowest()] == ["/late"]


def test_peaks_are_found_anew_once_they_were_taken() -> None:
    monitor = PerformanceMonitor()
    monitor.configure(enabled=True, clock=ManualClock())
    answered(monitor, "/a", 0.01, size=500, queries=7)
    answered(monitor, "/a", 0.03, size=100, queries=3)
    first = monitor.routes(take_peaks=True)["/a"]
    assert (first.peak_bytes, first.peak_queries, first.worked) == (500, 7, 2)
    assert first.stages_s["data"] == pytest.approx(0.02)
    assert first.worked_s == pytest.approx(0.04)
    answered(monitor, "/a", 0.01, size=50)
    second = monitor.routes()["/a"]
    assert (second.peak_bytes, second.peak_queries, second.size_bytes) == (50, 0, 650)


def test_a_loop_that_is_held_up_says_so() -> None:
    loop = LoopThread("lag-test")
    held = threading.Event()

    async def hold() -> None:
        time.sleep(0.7)
        held.set()

    loop.start()
    try:
        loop.submit(hold()).result(timeout=60)
        loop.submit(_a_round()).result(timeout=60)
        assert held.is_set()
        assert loop.lag.max_s >= 0.1
    finally:
        loop.close()


async def _a_round() -> None:
    import asyncio

    await asyncio.sleep(0.01)
