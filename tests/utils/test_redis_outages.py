"""Two levels over a Redis that is killed, frozen, slow or not there: no error, and nothing stale for long."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
import redis

from tests.support.in_time import in_time
from tests.support.redis_processes import (
    CODECS,
    KEY,
    PATIENCE_S,
    Process,
    eventually,
    own_server,
    process,
    running,
    server,
)
from tests.support.servers import RedisServer, free_port
from utils.clock import ManualClock
from utils.data_cache import DataCache
from utils.redis_level import RedisLevel

__all__ = ["own_server", "process", "running", "server"]


def test_a_server_killed_under_load_is_no_error_and_is_used_again(own_server: RedisServer, process: Process) -> None:
    (one, level), (other, _) = process(own_server.url), process(own_server.url)
    done = threading.Event()
    slowest: list[float] = []

    def work(cache: DataCache, seed: int) -> int:
        number, worst = seed, 0.0
        while not done.is_set():
            number += 1
            key = ("plain", number % 50)
            began = time.perf_counter()
            if number % 7 == 0:
                cache.set(key, number % 50)
            assert cache.get_or_load(key, partial(int, key[1]), ttl_s=0.02) == number % 50
            worst = max(worst, time.perf_counter() - began)
        slowest.append(worst)
        return number - seed

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, cache, seed) for cache in (one, other) for seed in (0, 13)]
        try:
            eventually(lambda: level.stats().hits > 20)
            own_server.kill()
            eventually(lambda: level.stats().breaker == "open" and level.stats().refused > 100)
            eventually(lambda: not level.stats().hears)
            own_server.start()
            hits = level.stats().hits
            eventually(lambda: level.stats().breaker == "closed" and level.stats().hits > hits + 20)
        finally:
            done.set()
        assert all(future.result(PATIENCE_S) > 0 for future in running)
    assert max(slowest) < 3
    assert level.wait_until_heard(PATIENCE_S)
    one.set(KEY, "after")
    eventually(lambda: other.get(KEY) == "after")


def test_a_frozen_server_costs_the_deadline_a_few_times_and_then_nothing(
    own_server: RedisServer, process: Process
) -> None:
    cache, level = process(own_server.url)
    cache.set(KEY, "before")
    own_server.freeze()
    took = []
    for number in range(30):
        began = time.perf_counter()
        assert cache.get_or_load(("plain", number), lambda: 1) == 1
        took.append(time.perf_counter() - began)
    own_server.thaw()
    assert sum(1 for one in took if one > 0.02) <= 6, "three failures in a row, and a probe now and then"
    assert level.stats().slowest_s < 0.5
    eventually(lambda: level.stats().breaker == "closed" or cache.get(("plain", "x")) is not None)


def test_what_could_not_be_told_is_made_good(own_server: RedisServer, process: Process) -> None:
    clock = ManualClock()
    (one, level), (other, _) = process(own_server.url, clock=clock), process(own_server.url)
    one.set(KEY, "old")
    assert other.get(KEY) == "old"
    own_server.freeze()
    for _ in range(4):
        one.set(KEY, "new")
    one.clear("plain")
    assert level.stats().breaker == "open"
    own_server.thaw()

    def back() -> bool:
        clock.tick(10)
        one.get(("plain", "x"))
        return level.stats().breaker == "closed"

    eventually(back)
    eventually(lambda: other.get(KEY) is None)
    assert one.get(KEY) == "new"
    assert other.get_or_load(KEY, lambda: "new") == "new"


def test_a_process_that_hears_nothing_trusts_its_copies_for_a_second_only(server: RedisServer) -> None:
    clock = ManualClock()
    level = RedisLevel(server.url, namespace="test", regions=("candles",), codecs=CODECS)
    cache = DataCache("test")
    cache.configure(second_level=level, timer=clock.monotonic)
    cache.set(KEY, "mine", ttl_s=100)
    other = RedisLevel(server.url, namespace="test", regions=("candles",), codecs=CODECS)
    other.set(KEY, "theirs", 100)
    assert cache.get(KEY) == "mine"
    clock.tick(1)
    assert cache.get(KEY) == "theirs"
    level.close()
    other.close()


def test_no_server_at_all_is_a_process_alone(process: Process) -> None:
    cache, level = process(f"redis://127.0.0.1:{free_port()}/0", hears=False)
    for number in range(10):
        assert cache.get_or_load(("plain", number), partial(int, number)) == number
        cache.set(("plain", number), "set")
        assert cache.get(("plain", number)) == "set"
    cache.clear()
    assert len(cache) == 0
    assert level.stats().breaker == "open"
    assert level.stats().last_problem == "ConnectionError"


def test_a_server_that_drips_bytes_is_given_up_at_the_deadline() -> None:
    ending = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(4096)
            while not ending.wait(0.02):
                try:
                    client.send(b"$")
                except OSError:
                    return

    def asked() -> None:
        level = RedisLevel(
            f"redis://127.0.0.1:{listener.getsockname()[1]}/0", namespace="t", regions=("plain",), codecs=CODECS
        )
        dripping = pool.submit(drip, listener)
        assert level.get(("plain", "a")) is None
        given_up.append((level, dripping))

    given_up: list[tuple[RedisLevel, Future[None]]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(5) as pool:
        in_time(asked, 0.15)
        ending.set()
        for level, dripping in given_up:
            dripping.result(PATIENCE_S)
            level.close()
    assert {level.stats().failures for level, _ in given_up} == {1}


def test_however_many_addresses_do_not_answer_they_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name with an old and a new address, or behind a wall that drops packets: each attempt would wait anew."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):  # its queue is full from here on: who knocks hears nothing
            knocking = waiting.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        place = (socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [place] * 8)

        def asked() -> float:
            level = RedisLevel("redis://many.example:6379/0", namespace="t", regions=("plain",), codecs=CODECS)
            began = time.perf_counter()
            assert level.get(("plain", "a")) is None
            took = time.perf_counter() - began
            level.close()
            assert level.stats().failures == 1
            return took

        assert in_time(asked, 0.2) > 0.04, "eight times 50 ms if each had its own"


def test_a_full_server_is_no_error_says_what_to_do_and_is_used_again(own_server: RedisServer, process: Process) -> None:
    cache, level = process(own_server.url)
    with redis.Redis.from_url(own_server.url) as client:
        client.config_set("maxmemory", "1")
        for number in range(5):
            assert cache.get_or_load(("plain", number), partial(int, number)) == number
        assert level.stats().breaker != "closed"
        assert level.stats().last_problem == (
            "it is full; raise its maxmemory, or set its maxmemory-policy to allkeys-lru"
        )
        client.config_set("maxmemory", "100mb")
    eventually(lambda: level.stats().breaker == "closed")  # though nobody asks
    cache.set(("plain", 9), 9)
    assert level.get(("plain", 9)) is not None


def test_a_server_that_is_back_is_told_what_it_missed_though_nobody_asks(
    own_server: RedisServer, process: Process
) -> None:
    (one, level), (other, _) = process(own_server.url), process(own_server.url)
    one.set(KEY, "old")
    assert other.get(KEY) == "old"
    own_server.freeze()
    for _ in range(4):
        one.set(KEY, "new")
    assert level.stats().breaker == "open"
    own_server.thaw()
    eventually(lambda: level.stats().breaker == "closed")
    eventually(lambda: other.get(KEY) is None)
