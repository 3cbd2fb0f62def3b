"""Redis watch: what a real server holds of ours, how old it is, what it tells of itself, and one that tells nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.support.redis_processes import CODECS, PATIENCE_S, eventually, running, server
from tests.support.servers import RedisServer, free_port
from utils import redis_watch
from utils.clock import ManualClock
from utils.data_cache import DataCache
from utils.redis_level import RedisLevel
from utils.redis_watch import RedisWatch

__all__ = ["running", "server"]

NAMESPACE = "a[b]*?\\"
"""Every sign that a pattern of Redis gives a meaning."""


@pytest.fixture
def level(server: RedisServer) -> Iterator[RedisLevel]:
    """Not started: the test itself looks."""
    made = RedisLevel(
        server.url, namespace=NAMESPACE, regions=("candles", "plain"), codecs=CODECS, deadline_s=PATIENCE_S
    )
    yield made
    made.close()


def told(level: RedisLevel) -> tuple[int | None, int | None]:
    level._watch.look()
    return level.stats().entries, level.stats().size_bytes


def aged(server: RedisServer, name: str, passed_ms: int) -> None:
    """As if a value had lain there for so long: less is left of its life."""
    with redis.Redis.from_url(server.url) as client:
        (key,) = [one for one in client.scan_iter(count=1000) if name.encode() in one and b":value:" in one]
        client.pexpire(key, int(client.pttl(key)) - passed_ms)


def test_ours_are_counted_with_their_ages_and_nobody_elses(server: RedisServer, level: RedisLevel) -> None:
    assert level.stats().entries is None, "nobody looked yet"
    assert told(level) == (0, 0)
    for name, passed_ms in (("one", 5_000), ("two", 60_000), ("three", 20_000)):
        level.set(("plain", name), "x" * 100, 500)
        aged(server, name, passed_ms)
    other = RedisLevel(server.url, namespace="else", regions=("plain",), codecs=CODECS, deadline_s=PATIENCE_S)
    other.set(("plain", "one"), 1, 500)
    other.close()
    with redis.Redis.from_url(server.url) as client:
        client.set("somebody's", 1)
        client.set(f"dashboard:2:{NAMESPACE}:value:", "no key of ours", ex=100)
        client.set(f'dashboard:2:{NAMESPACE}:value:["plain","x"]', "no value of ours", ex=100)
    entries, size_bytes = told(level)
    assert entries == 3
    assert size_bytes is not None
    assert 300 < size_bytes < 600
    stats = level.stats()
    assert stats.age_median_s == pytest.approx(20, abs=5)
    assert stats.age_oldest_s == pytest.approx(60, abs=5)
    assert stats.asked_s is not None
    assert stats.asked_s < PATIENCE_S
    level.set(("candles", "kept"), 1, 500)
    level.clear("plain")
    assert told(level)[0] == 1, "what was cleared counts for nothing, though it is still there"
    level.clear()
    assert told(level)[0] == 0


def test_the_server_tells_of_itself(server: RedisServer, level: RedisLevel) -> None:
    level.set(("plain", "one"), 1, 500)
    with redis.Redis.from_url(server.url) as client:
        client.config_resetstat()
        client.config_set("maxmemory", "64mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            client.get("not there")
            told(level)
            client.config_set("maxmemory", "1kb")
            client.get("not there")
            level._watch.look()
            full = level.stats()
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
    assert full.server is not None
    assert full.server.max_memory_bytes == 1024
    assert full.server.policy == "allkeys-lru"
    assert full.server.version[0].isdigit()
    assert full.server.memory_bytes is not None
    assert full.server.memory_bytes > 100_000
    assert full.server.misses is not None
    assert full.server.misses >= 2
    assert full.server.clients is not None
    assert full.evictions == full.server.evictions
    assert full.evictions is not None
    assert full.evictions > 0


def test_a_database_of_many_keys_is_not_walked(
    server: RedisServer, level: RedisLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_watch, "MOST_KEYS", 600)
    monkeypatch.setattr(redis_watch, "_AT_A_TIME", 7)
    with redis.Redis.from_url(server.url) as client:
        client.mset({f"somebody's {number}": number for number in range(590)})
        level.set(("plain", "one"), 1, 500)
        assert told(level)[0] == 1, "in many small steps"
        client.mset({f"more {number}": number for number in range(50)})
    assert told(level) == (None, None)
    facts = level.stats().server
    assert facts is not None
    assert facts.keys > 600


def test_a_server_that_may_not_be_asked_of_itself_is_used_and_its_entries_are_counted(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser(
            "reader", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all"], commands=["-info"]
        )
    level = RedisLevel(
        server.url.replace("//", "//reader:x@"), namespace="t", regions=("plain",), codecs=CODECS, deadline_s=PATIENCE_S
    )
    try:
        level.set(("plain", "one"), 1, 500)
        for _ in range(5):
            assert told(level)[0] == 1
        assert level._watch._connection.breaker.state == "closed"
        facts = level.stats().server
        assert facts is not None
        assert (facts.version, facts.memory_bytes, facts.evictions, facts.keys) == ("", None, None, 3)
    finally:
        level.close()
        with redis.Redis.from_url(server.url) as client:
            client.acl_deluser("reader")


def test_a_silent_server_costs_the_watch_its_deadline_and_readers_nothing() -> None:
    clock = ManualClock()
    watch = RedisWatch(f"redis://127.0.0.1:{free_port()}/0", prefix=str, deadline_s=0.05, clock=clock)
    for _ in range(4):
        watch.look()
    assert watch.newest.server is None
    assert watch.age_s() is None
    assert watch._connection.refused > 0, "and it is left alone for a while"
    watch.close()


def test_it_looks_by_itself_and_what_was_known_stays_with_its_age(server: RedisServer) -> None:
    cache, level = DataCache("test"), RedisLevel(server.url, namespace="t", regions=("plain",), codecs=CODECS)
    cache.configure(second_level=level)
    level.start()
    try:
        assert cache.get_or_load(("plain", "one"), lambda: "loaded") == "loaded"
        eventually(lambda: level.stats().asked_s is not None)
        assert (level.stats().loads, level.stats().load_time_s > 0) == (1, True)
    finally:
        level.close()
    assert level.stats().server is not None
