"""The load test: Locust in its own process against the real application, and what is made of its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import loadtest, report


def test_percentiles_of_a_histogram_and_the_sum_over_all_requests() -> None:
    def entry(times: dict[str, int], failures: int) -> dict[str, Any]:
        count = sum(times.values())
        return {"num_requests": count, "num_failures": failures, "response_times": times, "total_content_length": 1000}

    quick, slow = entry({"1.0": 98, "5.0": 2}, 0), entry({"400.0": 1, "1.0": 99}, 3)
    both = loadtest._request("all", [quick, slow], 10)
    assert (both["count"], both["errors"], both["per_second"], both["mean_bytes"]) == (200, 3, 20.0, 10.0)
    assert (both["p50_ms"], both["p95_ms"], both["p99_ms"]) == (1.0, 1.0, 5.0)
    assert loadtest._request("x", [slow], 10)["p99_ms"] == 1.0
    errors, p99 = loadtest._rows([both])
    assert (errors.met, p99.met) == (False, True)


def test_every_column_of_the_table_is_named() -> None:
    one = {"name": "overview, news", "count": 959, "errors": 0, "per_second": 16.0, "mean_bytes": 412.3}
    head, line = loadtest.table([{**one, "p50_ms": 97.0, "p95_ms": 1000.0, "p99_ms": 1500.0}])
    assert head.split() == ["requests", "errors", "a", "second", "p50", "ms", "p95", "ms", "p99", "ms"]
    assert line.split() == ["overview,", "news", "959", "0", "16.0", "97", "1000", "1500"]
    assert len(head) == len(line), "figures stand below their names"


def test_a_machine_that_others_use_is_told_before_it_is_measured() -> None:
    assert loadtest.busy_words(0.4, 2) == ""
    assert "load 13.9 on 2 cores" in loadtest.busy_words(13.9, 2)


def test_growth_is_judged_from_after_the_start() -> None:
    def memory(values: list[float]) -> bool | None:
        samples = [{"at_s": float(i), "rss_mb": value, "cpu_percent": 0.0} for i, value in enumerate(values)]
        return loadtest._memory_rows(samples)[0].met

    assert memory([60, 90, 100, 100, 100, 100, 100, 100, 101, 101]) is True
    assert memory([60, 90, 100, 100, 102, 104, 106, 108, 110, 112]) is False


def test_a_time_without_end_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        loadtest.main(["--seconds", "1"])
    assert "from 5 seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_readers_meet_no_error_in_a_short_run(tmp_path: Path) -> None:
    assert loadtest.main(["--users", "8", "--seconds", "5", "--into", str(tmp_path)]) in (
        0,
        1,
    )  # slow is no error here
    kept = json.loads((tmp_path / "load.json").read_text("utf-8"))
    asked = {one["name"]: one for one in kept["requests"]}
    assert "overview" in asked
    assert asked["all"]["errors"] == 0
    assert asked["all"]["count"] == sum(one["count"] for name, one in asked.items() if name != "all") >= 8
    assert "| all |" in report.page([kept])
