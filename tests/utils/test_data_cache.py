"""The data cache: expiry, bounds, one load per key, stale values on errors, and a model it must agree with."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.clock import ManualClock
from utils.data_cache import CacheStats, DataCache, data_cache, size_bytes_of


def fresh(clock: ManualClock, **bounds: float) -> DataCache:
    cache = DataCache("test")
    cache.configure(timer=clock.monotonic, **bounds)  # type: ignore[arg-type]  # the bounds under test
    return cache


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Loader:
    """Counts its calls; gives what it was told to, or raises it."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes: Iterator[object] = iter(outcomes)
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        outcome = next(self.outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


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


def test_sixteen_threads_missing_together_load_once() -> None:
    cache = DataCache()
    release, started = threading.Event(), threading.Barrier(17)
    calls: list[int] = []

    def load() -> object:
        calls.append(threading.get_ident())
        release.wait(90)
        return object()

    def ask(_: int) -> object:
        started.wait(90)
        return cache.get_or_load("k", load)

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, n) for n in range(16)]
        started.wait(90)
        release.set()
        values = {id(answer.result(90)) for answer in answers}
    assert len(calls) == 1
    assert len(values) == 1
    assert cache.stats().loads == 1
    assert cache.stats().hits + cache.stats().misses == 16


def test_a_failed_load_is_raised_to_everyone_and_tried_again_by_the_next() -> None:
    cache = DataCache()
    release, inside = threading.Event(), threading.Event()
    calls: list[int] = []

    def load() -> int:
        calls.append(1)
        inside.set()
        release.wait(90)
        raise ValueError("no answer")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(cache.get_or_load, "k", load)
        assert inside.wait(90)
        waiting = [pool.submit(cache.get_or_load, "k", load) for _ in range(7)]
        while cache.stats().misses < 8:
            pass
        release.set()
        for answer in (first, *waiting):
            with pytest.raises(ValueError, match="no answer"):
                answer.result(90)
    assert calls == [1]
    assert cache.get_or_load("k", lambda: 3) == 3
    assert cache.stats().load_errors == 1


def test_different_keys_never_wait_for_each_other() -> None:
    cache = DataCache()
    inside, release = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        release.wait(90)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cache.get_or_load, "slow", slow)
        assert inside.wait(90)
        assert cache.get_or_load("quick", lambda: "quick") == "quick"
        assert not answer.done()
        release.set()
        assert answer.result(90) == "slow"


def test_a_load_may_ask_for_another_key_but_not_for_itself() -> None:
    cache = DataCache()
    assert cache.get_or_load("a", lambda: cache.get_or_load("b", lambda: 2) + 1) == 3
    with pytest.raises(RuntimeError, match="'c' asks for itself"):
        cache.get_or_load("c", lambda: cache.get_or_load("c", lambda: 1))
    assert cache.get_or_load("c", lambda: 1) == 1


def test_an_interrupted_load_leaves_nobody_waiting() -> None:
    cache = DataCache()

    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_load("k", interrupted)
    assert cache.get_or_load("k", lambda: 1) == 1


def test_a_stale_value_stands_in_while_loads_fail(clock: ManualClock) -> None:
    cache = fresh(clock)
    load = Loader("old", ValueError("down"), ValueError("still down"), "new")

    def ask() -> object:
        return cache.get_or_load("k", load, ttl_s=10, stale_if_error_s=60)

    assert ask() == "old"
    clock.tick(11)
    assert ask() == "old"
    assert ask() == "old"
    assert load.calls == 2, "not tried again within a second of a failure"
    clock.tick(1)
    assert ask() == "old"
    assert cache.stats().stale_served == 3
    clock.tick(1)
    assert ask() == "new"
    assert cache.get("k") == "new"


def test_a_value_is_not_stale_for_ever(clock: ManualClock) -> None:
    cache = fresh(clock)
    load = Loader("old", ValueError("down"))
    cache.get_or_load("k", load, ttl_s=10, stale_if_error_s=60)
    clock.tick(70)
    with pytest.raises(ValueError, match="down"):
        cache.get_or_load("k", load, ttl_s=10, stale_if_error_s=60)


@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        (lambda cache: cache.clear(), None),
        (lambda cache: cache.delete("k"), None),
        (lambda cache: cache.set("k", "set"), "set"),
        (lambda cache: cache.configure(), None),
    ],
)
def test_what_happens_during_a_load_wins_over_it(meanwhile: Callable[[DataCache], None], expected: object) -> None:
    cache = DataCache()

    def load() -> str:
        meanwhile(cache)
        return "loaded"

    assert cache.get_or_load("k", load) == "loaded"
    assert cache.get("k") == expected


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


def test_disabled_keeps_nothing_but_still_loads_once_at_a_time() -> None:
    cache = DataCache()
    cache.configure(enabled=False)
    cache.set("k", 1)
    assert cache.get("k") is None
    load = Loader(1, 2)
    assert [cache.get_or_load("k", load), cache.get_or_load("k", load)] == [1, 2]
    assert len(cache) == 0

    inside, release = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow() -> int:
        calls.append(1)
        inside.set()
        release.wait(90)
        return 5

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_load, "k", slow)
        assert inside.wait(90)
        before = cache.stats().misses
        second = pool.submit(cache.get_or_load, "k", slow)
        while cache.stats().misses == before:
            pass
        release.set()
        assert (first.result(90), second.result(90)) == (5, 5)
    assert calls == [1]


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


def test_hits_are_counted_exactly_by_many_threads() -> None:
    cache = DataCache()
    cache.set("k", 1)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: [cache.get("k") for _ in range(5000)], range(8)))
    finally:
        sys.setswitchinterval(before)
    assert cache.stats().hits == 40_000


def test_readers_and_writers_together_break_nothing() -> None:
    cache = DataCache()
    cache.configure(max_entries=50, max_bytes=40_000)

    def work(seed: int) -> None:
        for step in range(3000):
            key = (seed * 31 + step * 7) % 120
            value = cache.get_or_load(key, lambda key=key: key * 2, size_bytes=500)  # type: ignore[misc]
            assert value == key * 2
            if step % 97 == 0:
                cache.delete(key)
            if step % 501 == 0:
                cache.trim(0.3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    stats = cache.stats()
    assert stats.entries <= 50
    assert stats.size_bytes == stats.entries * 500
    assert stats.hits + stats.misses == 24_000


@dataclass(frozen=True)
class Pair:
    left: np.ndarray = field(default_factory=lambda: np.zeros(1000))
    right: bytes = b"x" * 500


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (np.zeros(1000), 8000, 8400),
        (b"x" * 5000, 5000, 5400),
        (Pair(), 8500, 9500),
        ([np.zeros(100)] * 1000, 800_000, 1_100_000),
        ({"a": "x" * 1000}, 1000, 2000),
        ((), 0, 400),
        (None, 16, 400),
    ],
)
def test_sizes_are_estimated(value: object, least: int, most: int) -> None:
    assert least <= size_bytes_of(value) <= most


def test_the_module_level_cache_is_there_to_be_cleared() -> None:
    data_cache.set("k", 1)
    data_cache.clear()
    assert data_cache.get("k") is None


# --- a simple model of the same promises: the cache must agree with it, whatever is done ---

KEYS = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("set"), KEYS, st.integers(0, 9), st.integers(1, 60), st.integers(0, 8)),
    st.tuples(st.just("load"), KEYS, st.integers(0, 9), st.integers(1, 60), st.integers(0, 8)),
    st.tuples(st.just("fail"), KEYS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("tick"), st.integers(0, 5)),
    st.tuples(st.just("clear")),
)


class Model:
    """A list of (key, value, expiry, size), least recently used first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.rows: list[tuple[str, int, float, int]] = []
        self.now = 0.0
        self.max_entries, self.max_bytes = max_entries, max_bytes

    def get(self, key: str) -> int | None:
        row = next((row for row in self.rows if row[0] == key and self.now < row[2]), None)
        if row is None:
            return None
        self.rows.remove(row)
        self.rows.append(row)
        return row[1]

    def set(self, key: str, value: int, size: int, ttl: int) -> None:
        self.rows = [row for row in self.rows if row[0] != key]
        if ttl == 0 or size > self.max_bytes:
            return
        self.rows.append((key, value, self.now + ttl, size))
        if self.over():
            self.rows = [row for row in self.rows if self.now < row[2]]
        while self.over():
            self.rows.pop(0)

    def over(self) -> bool:
        return len(self.rows) > self.max_entries or sum(row[3] for row in self.rows) > self.max_bytes


def refuse() -> int:
    raise ValueError("refused")


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=60), st.integers(1, 5), st.integers(20, 150))
def test_the_cache_agrees_with_a_simple_model(steps: list[tuple], max_entries: int, max_bytes: int) -> None:  # type: ignore[type-arg]
    clock = ManualClock()
    cache = fresh(clock, max_entries=max_entries, max_bytes=max_bytes)
    model = Model(max_entries, max_bytes)
    for action, *rest in steps:
        ACTIONS[action](cache, model, clock, *rest)
        stats = cache.stats()
        assert stats.entries <= max_entries
        assert stats.size_bytes <= max_bytes


def act_get(cache: DataCache, model: Model, _: ManualClock, key: str) -> None:
    assert cache.get(key) == model.get(key)


def act_set(cache: DataCache, model: Model, _: ManualClock, key: str, value: int, size: int, ttl: int) -> None:
    cache.set(key, value, ttl_s=ttl, size_bytes=size)
    model.set(key, value, size, ttl)


def act_load(cache: DataCache, model: Model, _: ManualClock, key: str, value: int, size: int, ttl: int) -> None:
    got = cache.get_or_load(key, lambda: value, ttl_s=ttl, size_bytes=size)
    held = model.get(key)
    if held is None:
        model.set(key, value, size, ttl)
    assert got == (value if held is None else held)


def act_fail(cache: DataCache, model: Model, _: ManualClock, key: str) -> None:
    held = model.get(key)
    if held is not None:
        assert cache.get_or_load(key, refuse) == held
        return
    with pytest.raises(ValueError, match="refused"):
        cache.get_or_load(key, refuse)


def act_delete(cache: DataCache, model: Model, _: ManualClock, key: str) -> None:
    cache.delete(key)
    model.rows = [row for row in model.rows if row[0] != key]


def act_tick(_: DataCache, model: Model, clock: ManualClock, seconds: int) -> None:
    clock.tick(seconds)
    model.now += seconds


def act_clear(cache: DataCache, model: Model, _: ManualClock) -> None:
    cache.clear()
    model.rows = []


ACTIONS: dict[str, Callable[..., None]] = {
    "get": act_get,
    "set": act_set,
    "load": act_load,
    "fail": act_fail,
    "delete": act_delete,
    "tick": act_tick,
    "clear": act_clear,
}
