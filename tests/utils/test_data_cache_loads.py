"""The data cache under many threads: one load per key, stale values on errors, and what wins over a load."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.data_caches import Loader, fresh
from utils.clock import ManualClock
from utils.data_cache import DataCache


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
