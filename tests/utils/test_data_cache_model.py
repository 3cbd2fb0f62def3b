"""A simple model of the data cache's promises: the cache must agree with it, whatever is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.data_caches import fresh
from utils.clock import ManualClock
from utils.data_cache import DataCache

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
