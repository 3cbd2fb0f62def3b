"""Two levels over a real Redis: shared values, told changes, and what stays in its process."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis

from data.candles import Candles
from tests.support.made_candles import made_candles
from tests.support.redis_processes import (
    CODECS,
    KEY,
    Process,
    eventually,
    never,
    process,
    running,
    server,
)
from tests.support.servers import RedisServer
from utils.data_cache import DataCache
from utils.errors import ConfigError
from utils.redis_level import RedisLevel

__all__ = ["process", "running", "server"]

PATIENT = True


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
        assert 499_000 < client.pttl(f"dashboard:2:test:value:{json.dumps(KEY, separators=(',', ':'))}") <= 500_000


def test_everything_in_redis_ends_by_itself_but_the_epochs(server: RedisServer, process: Process) -> None:
    one, _ = process(server.url)
    one.set(KEY, 1)
    one.get_or_load(("plain", "a"), lambda: 2)
    with redis.Redis.from_url(server.url) as client:
        lasting = [key for key in client.scan_iter() if client.ttl(key) == -1]
    assert lasting == [b"dashboard:2:test:epochs"]


def test_an_unreadable_value_is_forgotten_and_loaded_again(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    one.set(KEY, made_candles(10))
    eventually(lambda: level.stats().outdated == 1)  # or that news would outdate what is loaded below
    name = f"dashboard:2:test:value:{json.dumps(KEY, separators=(',', ':'))}"
    with redis.Redis.from_url(server.url) as client:
        kept = client.get(name)
        assert isinstance(kept, bytes)
        client.set(name, kept[:-1] + b"?", keepttl=True)
        client.publish("dashboard:2:test:news", b"\xff not ours")
        client.publish("dashboard:2:test:news", b"[]")
    assert other.get_or_load(KEY, lambda: "again") == "again"
    assert level.stats().undecodable == 1
    assert other.get(KEY) == "again"
    third, _ = process(server.url)
    assert third.get(KEY) == "again", "shared as any other"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1:6379", "redis://127.0.0.1:port/0"])
def test_an_address_that_cannot_be_used_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="use for example redis://127"):
        RedisLevel(url, namespace="t", regions=("plain",), codecs=CODECS)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        RedisLevel("http://user:hunter2@host/", namespace="t", regions=(), codecs=CODECS)
    assert "hunter2" not in str(caught.value)


def test_nothing_is_asked_when_the_cache_is_disabled(server: RedisServer, process: Process) -> None:
    _, level = process(server.url)
    cache = DataCache("test")
    cache.configure(enabled=False, second_level=level)
    cache.set(KEY, 1)
    assert cache.get_or_load(KEY, lambda: 2) == 2
    assert level.stats().calls == 0
