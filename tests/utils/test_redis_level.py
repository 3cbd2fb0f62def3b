"""Two levels over a real Redis: shared values, told changes, one load for two processes, no error without a server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import redis

from data.candle_codec import CANDLE_CODEC
from data.candles import Candles
from tests.support.made_candles import made_candles
from tests.support.servers import RedisServer, free_port, redis_server
from utils.cache_codecs import Codecs
from utils.clock import ManualClock
from utils.data_cache import DataCache
from utils.errors import ConfigError
from utils.redis_level import RedisLevel

ROOT = Path(__file__).resolve().parents[2]
KEY = ("candles", "BTCUSDT", "1h")
CODECS = Codecs(CANDLE_CODEC)
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """Empty; shared by the tests that do not hurt it."""
    with redis.Redis.from_url(running.url) as client:
        client.flushall()
    return running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


Process = Callable[..., tuple[DataCache, RedisLevel]]


@pytest.fixture
def process() -> Iterator[Process]:
    """As many as a test likes: a cache and its level are all that a process has of its own."""
    with ExitStack() as ending:

        def begin(url: str, *, hears: bool = True, **options: object) -> tuple[DataCache, RedisLevel]:
            settings: dict[str, object] = {"namespace": "test", "regions": ("candles", "plain"), "codecs": CODECS}
            level = RedisLevel(url, **(settings | options))  # type: ignore[arg-type]  # the options under test
            cache = DataCache("test")
            cache.configure(second_level=level)
            level.start()
            ending.callback(level.close)
            assert not hears or level.wait_until_heard(PATIENCE_S)
            return cache, level

        yield begin


def never() -> object:
    pytest.fail("this load should not have been made")


def eventually(check: Callable[[], bool]) -> None:
    """Other processes hear within moments, not at once."""
    ends = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < ends, "it never came about"
        threading.Event().wait(0.005)


def test_what_one_process_loads_the_other_finds(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    candles = made_candles(1000)
    assert one.get_or_load(KEY, lambda: candles) is candles
    found: Candles = other.get_or_load(KEY, never)  # type: ignore[assignment]
    assert found.digest == candles.digest
    assert other.get_or_load(KEY, never) is found, "the second time from its own memory"
    assert (other.stats().loads, level.stats().hits) == (0, 1)


def test_get_asks_the_second_level_and_keeps_what_it_finds(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    assert other.get(KEY, "none") == "none"
    one.set(KEY, [1, 2])
    eventually(lambda: level.stats().outdated == 1)
    assert [other.get(KEY), other.get(KEY)] == [[1, 2], [1, 2]]
    assert level.stats().hits == 1


def test_a_set_outdates_the_copies_of_the_others(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url)
    one.set(KEY, "old")
    assert other.get(KEY) == "old"
    one.set(KEY, "new")
    eventually(lambda: other.get(KEY) == "new")
    assert one.get(KEY) == "new"


def test_a_delete_and_a_clear_reach_everyone(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url)
    forgetting: tuple[Callable[[], None], ...] = (lambda: one.delete(KEY), lambda: one.clear("candles"), one.clear)
    for forget in forgetting:
        one.set(KEY, "value")
        assert other.get(KEY) == "value"
        forget()
        assert one.get(KEY) is None
        eventually(lambda: other.get(KEY) is None)


def test_clearing_one_region_leaves_the_other(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url)
    one.set(KEY, "value")
    one.set(("plain", "a"), "kept")
    other.clear("candles")
    eventually(lambda: one.get(KEY) is None)
    assert one.get(("plain", "a")) == other.get(("plain", "a")) == "kept"


def test_what_cannot_be_shared_stays_in_its_process(server: RedisServer, process: Process) -> None:
    (one, level), (other, _) = process(server.url), process(server.url)
    thing = object()
    one.set(KEY, thing)
    one.set(("elsewhere", "a"), "another region")
    assert one.get(KEY) is thing
    assert other.get(KEY) is None
    calls = level.stats().calls
    assert one.get_or_load(("elsewhere", "b"), lambda: 1) == 1
    assert one.get(("candles", 1.5)) is None
    assert level.stats().calls == calls, "nothing is asked for what is never shared"


def test_namespaces_are_apart(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url, namespace="else")
    one.set(KEY, 1)
    assert other.get(KEY) is None


def test_parts_of_a_namespace_are_apart_and_can_be_changed(server: RedisServer, process: Process) -> None:
    (one, level), (other, other_level) = process(server.url), process(server.url)
    level.use("binance")
    other_level.use("invented 7")
    one.set(KEY, "real")
    assert other.get(KEY) is None
    other.set(KEY, "made up")
    other_level.use("binance")
    assert other.get(KEY) == "real"


def test_a_value_is_fresh_for_the_same_time_everywhere(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    one.set(KEY, 1, ttl_s=500)
    found = level.get(KEY)
    assert found is not None
    assert 499 < found.fresh_s <= 500
    assert other.get_or_load(KEY, never, ttl_s=lambda value: -float(str(value))) == 1
    assert len(other) == 0, "its own rule says that it is not fresh"
    with redis.Redis.from_url(server.url) as client:
        assert 499_000 < client.pttl(f"dashboard:1:test:value:{json.dumps(KEY, separators=(',', ':'))}") <= 500_000


def test_everything_in_redis_ends_by_itself_but_the_epochs(server: RedisServer, process: Process) -> None:
    one, _ = process(server.url)
    one.set(KEY, 1)
    one.get_or_load(("plain", "a"), lambda: 2)
    with redis.Redis.from_url(server.url) as client:
        lasting = [key for key in client.scan_iter() if client.ttl(key) == -1]
    assert lasting == [b"dashboard:1:test:epochs"]


def test_a_load_that_began_before_a_set_does_not_overwrite_it(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url)
    inside, release = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        return "old"

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(one.get_or_load, KEY, slow)
        assert inside.wait(PATIENCE_S)
        other.set(KEY, "new")
        release.set()
        assert loading.result(PATIENCE_S) == "old"
    eventually(lambda: one.get(KEY) == "new")
    assert other.get(KEY) == "new"


def test_two_processes_missing_together_load_once(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url, wait_s=PATIENCE_S)
    inside, release = threading.Event(), threading.Event()

    def load() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        return "loaded"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.get_or_load, KEY, load)
        assert inside.wait(PATIENCE_S)
        second = pool.submit(other.get_or_load, KEY, never)
        eventually(lambda: level.stats().calls >= 2)
        release.set()
        assert first.result(PATIENCE_S) == second.result(PATIENCE_S) == "loaded"
    assert level.stats().waited == 1


def test_a_failed_load_lets_the_waiting_process_try(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url, wait_s=PATIENCE_S)
    inside, release = threading.Event(), threading.Event()

    def fail() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        raise ValueError("no answer")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.get_or_load, KEY, fail)
        assert inside.wait(PATIENCE_S)
        second = pool.submit(other.get_or_load, KEY, lambda: "mine")
        release.set()
        with pytest.raises(ValueError, match="no answer"):
            first.result(PATIENCE_S)
        assert second.result(PATIENCE_S) == "mine"


def test_waiting_for_another_process_ends(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url, wait_s=0.2)
    inside, release = threading.Event(), threading.Event()

    def stuck() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.get_or_load, KEY, stuck)
        assert inside.wait(PATIENCE_S)
        assert other.get_or_load(KEY, lambda: "mine") == "mine"
        release.set()
        assert first.result(PATIENCE_S) == "late"


def test_an_unreadable_value_is_forgotten_and_loaded_again(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    one.set(KEY, made_candles(10))
    name = f"dashboard:1:test:value:{json.dumps(KEY, separators=(',', ':'))}"
    with redis.Redis.from_url(server.url) as client:
        kept = client.get(name)
        assert isinstance(kept, bytes)
        client.set(name, kept[:-1] + b"?", keepttl=True)
        client.publish("dashboard:1:test:news", b"\xff not ours")
        client.publish("dashboard:1:test:news", b"[]")
    assert other.get_or_load(KEY, lambda: "again") == "again"
    assert level.stats().undecodable == 1
    assert other.get(KEY) == "again"


STAMPEDE = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from data.candle_codec import CANDLE_CODEC
from tests.support.made_candles import made_candles
from utils.cache_codecs import Codecs
from utils.data_cache import DataCache
from utils.redis_level import RedisLevel
options = {"namespace": "test", "regions": ("candles",), "codecs": Codecs(CANDLE_CODEC)}
level = RedisLevel(sys.argv[1], **options, deadline_s=2.0, wait_s=20)
cache = DataCache("test")
cache.configure(second_level=level)
level.start()
assert level.wait_until_heard(10)
loads = []
def load(number):
    loads.append(number)
    return made_candles(500, seed=number)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(8) as pool:
    digests = list(pool.map(lambda n: cache.get_or_load(("candles", n % 25), lambda: load(n % 25)).digest, range(200)))
print(len(loads), len(set(digests)), flush=True)
level.close()
"""


def test_a_stampede_of_two_real_processes_loads_each_key_once(server: RedisServer) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", STAMPEDE, server.url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=400)[0].split() for child in children]
    assert [answer[1] for answer in answers] == ["25", "25"]
    assert sum(int(answer[0]) for answer in answers) == 25


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

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        dripping = pool.submit(drip, listener)
        level = RedisLevel(
            f"redis://127.0.0.1:{listener.getsockname()[1]}/0", namespace="t", regions=("plain",), codecs=CODECS
        )
        began = time.perf_counter()
        assert level.get(("plain", "a")) is None
        took = time.perf_counter() - began
        ending.set()
        dripping.result(PATIENCE_S)
        level.close()
    assert took < 0.15
    assert level.stats().failures == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_an_address_that_cannot_be_used_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="use for example redis://127"):
        RedisLevel(url, namespace="t", regions=("plain",), codecs=CODECS)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        RedisLevel("http://user:hunter2@host/", namespace="t", regions=(), codecs=CODECS)
    assert "hunter2" not in str(caught.value)


def test_an_old_value_may_stand_in_when_the_newer_cannot_be_loaded(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    assert one.get_or_load(KEY, lambda: "old", stale_if_error_s=60) == "old"
    other.set(KEY, object())
    eventually(lambda: one.get(KEY) is None)

    def fail() -> str:
        raise ValueError("no answer")

    assert one.get_or_load(KEY, fail) == "old"
    assert level.stats().failures == 0


def test_nothing_is_asked_when_the_cache_is_disabled(server: RedisServer, process: Process) -> None:
    _, level = process(server.url)
    cache = DataCache("test")
    cache.configure(enabled=False, second_level=level)
    cache.set(KEY, 1)
    assert cache.get_or_load(KEY, lambda: 2) == 2
    assert level.stats().calls == 0
