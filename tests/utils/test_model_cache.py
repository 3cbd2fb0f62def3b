"""ModelCache: one load per model however many ask, least recently used out first, errors passed on and not kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from utils.errors import ModelCorrupt, ModelLoadTimeout
from utils.model_cache import ModelCache
from utils.model_utils import Session


class Timer:
    """Seconds that pass only when a load says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def session(name: str) -> Session:
    return cast(Session, f"session {name}")


def loader(made: list[str], name: str) -> Callable[[], Session]:
    def load() -> Session:
        made.append(name)
        return session(name)

    return load


def never() -> Session:
    raise AssertionError("must not be loaded")


@pytest.fixture
def cache() -> ModelCache:
    fresh = ModelCache()
    fresh.configure(enabled=True, max_models=2, load_timeout_s=5.0)
    return fresh


def test_a_second_question_is_a_hit(cache: ModelCache) -> None:
    made: list[str] = []
    assert cache.get("a", "1", loader(made, "a")) == session("a")
    assert cache.get("a", "1", never) == session("a")
    stats = cache.stats()
    assert (made, stats.hits, stats.misses, stats.loads, stats.hit_rate_fraction) == (["a"], 1, 1, 1, 0.5)


def test_another_digest_is_another_model(cache: ModelCache) -> None:
    made: list[str] = []
    cache.get("a", "1", loader(made, "old"))
    assert cache.get("a", "2", loader(made, "new")) == session("new")


def test_the_least_recently_used_goes_first(cache: ModelCache) -> None:
    made: list[str] = []
    for name in ("a", "b"):
        cache.get(name, "1", loader(made, name))
    cache.get("a", "1", never)
    cache.get("c", "1", loader(made, "c"))
    cache.get("a", "1", never)
    cache.get("b", "1", loader(made, "b again"))
    assert made == ["a", "b", "c", "b again"]
    assert (cache.stats().evictions, cache.stats().models) == (2, 2)


def test_sixteen_threads_load_once(cache: ModelCache) -> None:
    made: list[str] = []
    together = threading.Barrier(16)
    release = threading.Event()

    def load() -> Session:
        made.append("a")
        assert release.wait(90)
        return session("a")

    def ask() -> Session:
        together.wait(90)
        return cache.get("a", "1", load)

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask) for _ in range(16)]
        while cache.stats().misses < 16:
            time.sleep(0.001)  # until all have asked, not for time to pass
        release.set()
        assert {answer.result(90) for answer in answers} == {session("a")}
    assert made == ["a"]


class Hanging:
    """A load in another thread that ends when it is let go."""

    def __init__(self, release: threading.Event, thread: threading.Thread) -> None:
        self._release, self._thread = release, thread

    def end(self) -> None:
        self._release.set()
        self._thread.join(90)


@pytest.fixture
def hanging(cache: ModelCache) -> Iterator[Hanging]:
    """Of model `slow`."""
    cache.configure(enabled=True, max_models=2, load_timeout_s=0.01)
    began, release = threading.Event(), threading.Event()

    def load() -> Session:
        began.set()
        assert release.wait(90)
        return session("slow")

    thread = threading.Thread(target=lambda: cache.get("slow", "1", load))
    thread.start()
    assert began.wait(90)
    load_under_way = Hanging(release, thread)
    yield load_under_way
    load_under_way.end()


def test_waiting_for_another_load_has_an_end(cache: ModelCache, hanging: Hanging) -> None:
    with pytest.raises(ModelLoadTimeout, match=r"'slow' is still being loaded after 0\.01 s.*MODEL_LOAD_TIMEOUT"):
        cache.get("slow", "1", never)
    assert cache.stats().load_timeouts == 1
    assert cache.get("other", "1", lambda: session("other")) == session("other")


def test_a_load_that_ends_after_a_clear_is_not_kept(cache: ModelCache, hanging: Hanging) -> None:
    cache.clear_cache()
    hanging.end()
    assert cache.stats().models == 0


def test_a_failed_load_is_not_remembered(cache: ModelCache) -> None:
    def corrupt() -> Session:
        raise ModelCorrupt("bad bytes")

    with pytest.raises(ModelCorrupt, match="bad bytes"):
        cache.get("a", "1", corrupt)
    assert cache.get("a", "1", lambda: session("a")) == session("a")
    assert (cache.stats().load_errors, cache.stats().loads) == (1, 1)


def test_disabled_it_loads_every_time() -> None:
    cache, made = ModelCache(), list[str]()
    cache.configure(enabled=False, max_models=2, load_timeout_s=1)
    for _ in range(3):
        cache.get("a", "1", loader(made, "a"))
    assert made == ["a"] * 3
    assert (cache.stats().models, cache.stats().hits) == (0, 0)


def test_trim_and_clear(cache: ModelCache) -> None:
    for name in ("a", "b"):
        cache.get(name, "1", loader([], name))
    assert cache.trim(1) == 1
    cache.get("b", "1", never)
    cache.clear_cache()
    assert cache.stats().models == 0


def test_load_times_are_summed() -> None:
    cache, timer = ModelCache(), Timer()
    cache.configure(enabled=True, max_models=2, load_timeout_s=1, timer=timer)

    def load() -> Any:
        timer.now += 0.25
        return session("a")

    cache.get("a", "1", load)
    cache.get("b", "1", load)
    assert cache.stats().load_time_s == 0.5


def test_a_cached_session_costs_less_than_50_microseconds(cache: ModelCache) -> None:
    cache.get("a", "1", loader([], "a"))
    rounds = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(200):
            cache.get("a", "1", never)
        rounds.append((time.perf_counter() - began) / 200)
    assert min(rounds) < 50e-6
