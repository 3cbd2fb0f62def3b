"""The data cache: expiry, bounds, regions, and what it counts."""

from __future__ import annotations

import pytest

from tests.support.data_caches import Loader, fresh
from utils.cache_stats import CacheStats
from utils.clock import ManualClock
from utils.data_cache import DataCache, data_cache


def test_a_value_is_there_until_its_time_has_passed(clock: ManualClock) -> None:
    cache = fresh(clock, ttl_s=10)
    cache.set("a", 1)
    cache.set("b", 2, ttl_s=3)
    clock.tick(2.999)
    assert (cache.get("a"), cache.get("b")) == (1, 2)
    clock.tick(0.001)
    assert (cache.get("a"), cache.get("b", "none")) == (1, "none")
    clock.tick(7)
    assert cache.get("a") is None


def test_what_follows_in_a_lane_takes_the_place_of_what_was_there(clock: ManualClock) -> None:
    cache = fresh(clock)
    for moment in range(100):
        cache.get_or_load(("columns", moment), Loader(moment), lane=(("columns", "BTC"), moment))
        cache.get_or_load(("columns", "ETH", moment), Loader(moment), lane=(("columns", "ETH"), moment))
    assert cache.sizes() == {"columns": (2, cache.stats().size_bytes)}
    assert cache.get_or_load(("columns", 5), Loader("late"), lane=(("columns", "BTC"), 5)) == "late"
    assert (cache.get(("columns", 5)), cache.get(("columns", 99))) == (None, 99)
    cache.clear("columns")
    cache.get_or_load(("columns", 5), Loader("anew"), lane=(("columns", "BTC"), 5))
    assert cache.get(("columns", 5)) == "anew"


def test_a_time_to_live_can_come_from_the_loaded_value(clock: ManualClock) -> None:
    cache = fresh(clock)
    load = Loader(5, 7)
    assert cache.get_or_load("k", load, ttl_s=lambda value: float(str(value))) == 5
    clock.tick(4.9)
    assert cache.get_or_load("k", load) == 5
    clock.tick(0.2)
    assert cache.get_or_load("k", load) == 7
    assert load.calls == 2


@pytest.mark.parametrize("ttl_s", [0, -1])
def test_no_time_to_live_is_not_kept(clock: ManualClock, ttl_s: float) -> None:
    cache = fresh(clock)
    assert cache.get_or_load("k", lambda: 1, ttl_s=ttl_s) == 1
    assert len(cache) == 0


def test_the_least_recently_used_goes_first(clock: ManualClock) -> None:
    cache = fresh(clock, max_entries=3)
    for key in "abc":
        cache.set(key, key)
    cache.get("a")
    cache.set("d", "d")
    assert [cache.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert cache.stats().evictions == 1


def test_what_is_past_its_time_goes_before_what_is_not(clock: ManualClock) -> None:
    cache = fresh(clock, max_entries=2, ttl_s=100)
    cache.set("long", 1)
    cache.set("short", 2, ttl_s=1)
    clock.tick(1)
    cache.set("new", 3)
    assert cache.get("long") == 1
    assert cache.stats().evictions == 0
    assert cache.stats().expired == 1


def test_bytes_are_bounded_and_a_value_too_big_is_not_kept(clock: ManualClock) -> None:
    cache = fresh(clock, max_bytes=1000)
    cache.set("a", "x", size_bytes=600)
    cache.set("b", "y", size_bytes=400)
    assert cache.stats().size_bytes == 1000
    cache.set("c", "z", size_bytes=1)
    assert cache.get("a") is None
    assert cache.stats().size_bytes == 401
    cache.set("d", "huge", size_bytes=1001)
    assert cache.get("d") is None
    assert cache.get("b") == "y"
    assert cache.stats().evictions == 2


def test_memory_does_not_stay_with_values_nobody_asks_for_again(clock: ManualClock) -> None:
    cache = fresh(clock, ttl_s=5)
    for number in range(100):
        cache.set(number, number)
    clock.tick(60)
    cache.set("later", 1)
    assert len(cache) == 1


def test_clear_can_be_of_one_region() -> None:
    cache = DataCache()
    cache.set(("candles", "BTCUSDT"), 1)
    cache.set(("ticker", "BTCUSDT"), 2)
    cache.set("candles", 3)
    cache.clear("candles")
    assert len(cache) == 1
    assert cache.get(("ticker", "BTCUSDT")) == 2
    cache.clear()
    assert len(cache) == 0
    assert cache.stats().size_bytes == 0


def test_trim_drops_the_least_recently_used_bytes(clock: ManualClock) -> None:
    cache = fresh(clock)
    for key in "abcd":
        cache.set(key, key, size_bytes=100)
    cache.get("a")
    assert cache.trim(0.5) == 200
    assert [cache.get(key) for key in "abcd"] == ["a", None, None, "d"]
    assert cache.trim(1.0) == 200
    assert cache.trim(1.0) == 0


def test_one_region_is_trimmed_and_counted_alone(clock: ManualClock) -> None:
    cache = fresh(clock)
    for number in range(4):
        cache.set(("indicators", number), number, size_bytes=100)
        cache.set(("candles", number), number, size_bytes=50)
    cache.get(("indicators", 0))
    assert cache.sizes() == {"indicators": (4, 400), "candles": (4, 200)}
    assert cache.trim(0.5, "indicators") == 200
    assert [cache.get(("indicators", number)) for number in range(4)] == [0, None, None, 3]
    assert cache.sizes() == {"indicators": (2, 200), "candles": (4, 200)}
    assert cache.trim(1.0, "nothing of this name") == 0


def test_statistics_tell_what_happened(clock: ManualClock) -> None:
    cache = fresh(clock, ttl_s=10, max_entries=7, max_bytes=70_000)

    def load() -> str:
        clock.tick(0.25)
        return "value"

    cache.get_or_load("k", load, size_bytes=123)
    cache.get_or_load("k", load)
    cache.get("k")
    cache.get("absent")
    clock.tick(3)
    stats = cache.stats()
    expected = CacheStats("test", 2, 2, 1, 0, 0, 0, 0, 1, 123, 7, 70_000, 0.25, age_median_s=3.0, age_oldest_s=3.0)
    assert stats == expected
    assert stats.hit_rate_fraction == 0.5
    assert DataCache().stats().hit_rate_fraction == 0.0


def test_the_module_level_cache_is_there_to_be_cleared() -> None:
    data_cache.set("k", 1)
    data_cache.clear()
    assert data_cache.get("k") is None
