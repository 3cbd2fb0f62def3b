"""PerformanceMonitor: nothing lost between threads, percentiles as good as promised, spans, sources, sampling."""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from utils.clock import ManualClock
from utils.histogram import RELATIVE_ERROR, Histogram
from utils.performance_monitor import PerformanceMonitor, RequestTrace, current_trace, performance_monitor, tracing
from utils.plain import plain
from utils.system_info import ProcessReader, ProcessSample, sample_values


@pytest.fixture
def monitor() -> Iterator[PerformanceMonitor]:
    made = PerformanceMonitor()
    made.configure(enabled=True, clock=ManualClock())
    yield made
    made.close()


def series(monitor: PerformanceMonitor, kind: str, name: str) -> dict[str, object]:
    (found,) = [entry for entry in monitor.get_metrics()[kind] if entry["name"] == name]
    return dict(found)


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_percentiles_are_within_the_promised_error(spread: float) -> None:
    seen = np.random.default_rng(7).lognormal(math.log(0.004), spread, 20_000)
    histogram = Histogram()
    histogram.add_all(seen.tolist())
    for fraction in (0.01, 0.5, 0.95, 0.99, 0.999):
        true = float(np.quantile(seen, fraction, method="inverted_cdf"))
        assert histogram.percentile(fraction) == pytest.approx(true, rel=RELATIVE_ERROR + 1e-9)
    assert RELATIVE_ERROR <= 0.05
    assert histogram.max_s == seen.max()
    assert histogram.mean_s == pytest.approx(seen.mean())


def test_an_empty_histogram_knows_nothing_and_one_value_is_exact() -> None:
    histogram = Histogram()
    assert histogram.percentile(0.5) is None
    assert histogram.mean_s is None
    histogram.add(0.25)
    assert histogram.percentile(0.5) == histogram.percentile(1.0) == histogram.max_s == 0.25


def test_values_outside_the_range_are_counted_at_its_ends() -> None:
    histogram = Histogram()
    for seconds in (-1.0, 0.0, 1e9, math.nan, math.inf):
        histogram.add(seconds)
    assert histogram.count == 3, "what is not finite is no duration"
    assert histogram.percentile(0.25) == pytest.approx(1e-7, rel=0.04)


def test_no_observation_is_lost_between_threads(monitor: PerformanceMonitor) -> None:
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for number in range(5_000):
            monitor.observe("shared", 0.001, error=number % 10 == 0, size_bytes=2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = series(monitor, "functions", "shared")
    assert (found["count"], found["errors"], found["size_bytes"]) == (40_000, 4_000, 80_000)
    assert found["error_fraction"] == 0.1
    assert found["total_s"] == pytest.approx(40.0)


def test_a_report_speaks_in_milliseconds(monitor: PerformanceMonitor) -> None:
    for ms in range(1, 101):
        monitor.observe("page", ms / 1000, kind="route")
    found = series(monitor, "routes", "page")
    assert found["count"] == 100
    assert found["mean_ms"] == pytest.approx(50.5)
    assert found["p50_ms"] == pytest.approx(50, rel=RELATIVE_ERROR)
    assert found["p95_ms"] == pytest.approx(95, rel=RELATIVE_ERROR)
    assert found["p99_ms"] == pytest.approx(99, rel=RELATIVE_ERROR)
    assert found["max_ms"] == 100
    assert found["recent_ms"] == pytest.approx(list(range(41, 101)))


def test_the_most_expensive_come_first_and_kinds_are_apart(monitor: PerformanceMonitor) -> None:
    monitor.observe("cheap", 0.1)
    monitor.observe("dear", 0.2)
    monitor.observe("dear", 5.0, kind="load")
    metrics = monitor.get_metrics()
    assert [entry["name"] for entry in metrics["functions"]] == ["dear", "cheap"]
    assert [entry["count"] for entry in metrics["loads"]] == [1]


def test_names_are_bounded(monitor: PerformanceMonitor) -> None:
    for number in range(3_000):
        monitor.observe(f"invented {number}", 0.001)
    functions = monitor.get_metrics()["functions"]
    assert len(functions) <= 401
    assert sum(entry["count"] for entry in functions) == 3_000
    assert any(entry["name"] == "(others)" for entry in functions)


def test_a_timed_function_answers_as_before_and_its_errors_count(monitor: PerformanceMonitor) -> None:
    @monitor.timed("divide", kind="load")
    def divide(a: float, b: float) -> float:
        """Divides."""
        return a / b

    assert divide(6, b=3) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    assert divide.__doc__ == "Divides."
    found = series(monitor, "loads", "divide")
    assert (found["count"], found["errors"]) == (2, 1)


def test_spans_belong_to_the_request_of_their_context(monitor: PerformanceMonitor) -> None:
    trace = RequestTrace("id-1", 0.0)
    with tracing(trace):
        assert current_trace() is trace
        for _ in range(2):
            with monitor.span("data"):
                pass
        with pytest.raises(LookupError), monitor.span("model"):
            raise LookupError
    assert current_trace() is None
    with monitor.span("data"):
        pass
    assert set(trace.spans) == {"data", "model"}
    assert series(monitor, "functions", "data")["count"] == 3
    assert series(monitor, "functions", "model")["errors"] == 1


def test_off_it_keeps_nothing_and_hands_out_the_same_empty_span() -> None:
    before = set(threading.enumerate())
    monitor = PerformanceMonitor()
    monitor.observe("anything", 1.0)

    @monitor.timed("function")
    def function() -> int:
        return 1

    assert function() == 1
    assert monitor.span("a") is monitor.span("b")
    monitor.start()
    metrics = monitor.get_metrics()
    assert (metrics["enabled"], metrics["functions"], metrics["process"]) == (False, [], None)
    assert set(threading.enumerate()) <= before, "others may end meanwhile, ours must"


def test_the_module_holds_one_that_is_off_until_configured() -> None:
    fresh = PerformanceMonitor()
    assert type(performance_monitor) is PerformanceMonitor
    assert not fresh.enabled


def test_configuring_again_forgets_what_was(monitor: PerformanceMonitor) -> None:
    monitor.observe("old", 1.0)
    monitor.add_source("old", dict)
    monitor.configure(enabled=True)
    metrics = monitor.get_metrics()
    assert (metrics["functions"], metrics["sources"]) == ([], {})


def sample_at(at_ms: int) -> ProcessSample:
    return ProcessSample(at_ms, 100 + at_ms % 100, None, 12.5, 3, 20, 5, 0, 50.0, 1000, 400, 60.0)


def test_samples_come_from_the_background_and_carry_the_clocks_time() -> None:
    before = set(threading.enumerate())
    clock, taken = ManualClock(now_ms=1_000), threading.Semaphore(0)

    def read(at_ms: int) -> ProcessSample:
        taken.release()
        return sample_at(at_ms)

    monitor = PerformanceMonitor()
    monitor.configure(enabled=True, clock=clock, read=read, sample_period_s=0.005)
    monitor.start()
    monitor.start()
    for _ in range(3):
        assert taken.acquire(timeout=90)
    monitor.close()
    monitor.close()
    metrics = monitor.get_metrics()
    assert metrics["history"]["at_ms"][:3] == [1_000] * 3
    assert metrics["process"]["cpu_percent"] == 12.5
    assert set(threading.enumerate()) <= before, "others may end meanwhile, ours must"


def test_history_is_bounded(monitor: PerformanceMonitor) -> None:
    monitor.configure(enabled=True, clock=ManualClock(), read=sample_at)
    for _ in range(500):
        monitor.sample()
    assert len(monitor.get_metrics()["history"]["rss_bytes"]) == 360


def test_reading_the_real_process() -> None:
    reader = ProcessReader()
    first, sample = reader.read(1), reader.read(2)
    assert (first.first, sample.first) == (True, False)
    assert sample_values(first)["cpu_percent"] is sample_values(first)["system_cpu_percent"] is None
    assert sample_values(sample)["cpu_percent"] == sample.cpu_percent
    assert 5_000_000 < sample.rss_bytes < sample.memory_total_bytes
    assert sample.threads >= 1
    assert 0 <= sample.memory_percent <= 100
    assert sample.uss_bytes is None or sample.uss_bytes <= sample.rss_bytes * 2


def test_system_info_and_metrics_are_strict_json(monitor: PerformanceMonitor) -> None:
    monitor.observe("f", random.random())
    monitor.add_source("numbers", lambda: {"nan": math.nan, "numpy": np.float64(2.5), 3: (np.int64(4),)})
    monitor.sample()
    text = json.dumps([monitor.get_system_info(), monitor.get_metrics()], allow_nan=False)
    info, metrics = json.loads(text)
    assert metrics["sources"]["numbers"] == {"nan": None, "numpy": 2.5, "3": [4]}
    assert {"platform", "python_version", "cpu_count", "memory_total_bytes", "memory_percent", "process"} <= info.keys()
    assert info["versions"]["flask"].count(".") == 2


def test_a_source_that_fails_does_not_take_the_rest_with_it(monitor: PerformanceMonitor) -> None:
    def broken() -> None:
        raise ValueError("no weight known")

    monitor.add_source("broken", broken)
    monitor.add_source("whole", lambda: {"entries": 3})
    sources = monitor.get_metrics()["sources"]
    assert sources == {"broken": {"error": "ValueError: no weight known"}, "whole": {"entries": 3}}


def test_statistics_become_plain_with_their_properties() -> None:
    @dataclass(frozen=True)
    class Stats:
        hits: int
        misses: int

        @property
        def hit_rate_fraction(self) -> float:
            return self.hits / (self.hits + self.misses)

    assert plain(Stats(3, 1)) == {"hits": 3, "misses": 1, "hit_rate_fraction": 0.75}
