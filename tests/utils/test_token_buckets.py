"""TokenBuckets: a burst, then a steady rate, each key for itself, bounded, exact among threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from utils.clock import ManualClock
from utils.token_buckets import TokenBuckets


def test_a_burst_and_then_a_steady_rate() -> None:
    clock = ManualClock()
    buckets = TokenBuckets(clock, rate_per_s=2.0, burst=3)
    assert [buckets.take("a") for _ in range(3)] == [0.0] * 3
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("a") == pytest.approx(0.5), "what is refused costs nothing"
    assert buckets.take("b") == 0.0, "each for itself"
    clock.tick(0.49)
    assert buckets.take("a") == pytest.approx(0.01)
    clock.tick(0.01)
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0
    clock.tick(60)
    assert sum(buckets.take("a") == 0.0 for _ in range(9)) == 3, "never more than a burst"


def test_over_an_hour_no_more_than_the_rate() -> None:
    clock = ManualClock()
    buckets = TokenBuckets(clock, rate_per_s=0.5, burst=4)
    taken = 0
    for _ in range(3600 * 4):
        taken += buckets.take("a") == 0.0
        clock.tick(0.25)
    assert taken == 4 + 1800 - 1


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    buckets = TokenBuckets(ManualClock(), rate_per_s=1.0, burst=1, most=3)
    for key in ("a", "b", "c"):
        assert buckets.take(key) == 0.0
    assert buckets.take("a") > 0, "used again, and so younger than b"
    assert buckets.take("d") == 0.0
    assert len(buckets) == 3
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0.0, "forgotten"


def test_threads_share_a_bucket_exactly() -> None:
    buckets = TokenBuckets(ManualClock(), rate_per_s=1.0, burst=50)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: buckets.take("a"), range(400)))
    assert waits.count(0.0) == 50
