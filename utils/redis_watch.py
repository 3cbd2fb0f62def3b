"""Redis watch: what a Redis server holds of ours and tells of itself, asked in the background, never for a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from utils.cache_codecs import key_of
from utils.clock import Clock
from utils.redis_connection import RedisConnection
from utils.redis_scripts import LOOK
from utils.repeating import Repeating

PERIOD_S = 10.0
MOST_KEYS = 10_000
"""In a database with more keys, whosesoever, ours are not counted: each look would walk them all."""
_AT_A_TIME = 100
"""Keys that one question walks: well below a millisecond of the server, which answers nobody meanwhile."""
_SIGNS = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class RedisServerFacts:
    """What the server tells of itself, whoever uses it, since it was started; None where it does not tell.

    `keys` are those of our database; `max_memory_bytes` 0 where it has no limit of its own.
    """

    version: str
    uptime_s: float | None
    clients: int | None
    memory_bytes: int | None
    max_memory_bytes: int | None
    policy: str
    keys: int
    evictions: int | None
    expired: int | None
    hits: int | None
    misses: int | None


@dataclass(frozen=True, slots=True)
class RedisHoldings:
    """`entries`, their bytes and ages in seconds are those of ours that count; None where nobody counted them."""

    asked_at_s: float | None = None
    server: RedisServerFacts | None = None
    entries: int | None = None
    size_bytes: int | None = None
    age_median_s: float | None = None
    age_oldest_s: float | None = None


class RedisWatch:
    """Looks every ten seconds from `start` to `close`, over a connection of its own: within the same deadline, behind a
    breaker of its own, so that a server that tells nothing of itself is still used as a cache."""

    def __init__(self, url: str, *, prefix: Callable[[], str], deadline_s: float, clock: Clock) -> None:
        """`prefix`: what the names of our keys begin with now."""
        self._connection = RedisConnection(url, deadline_s=deadline_s, clock=clock)
        self._prefix = prefix
        self._timer = clock.monotonic
        self._repeating = Repeating(self.look, name="redis-watch", period_s=PERIOD_S, at_once=True)
        self.newest = RedisHoldings()
        """Of the newest look that was answered; empty before."""

    def start(self) -> None:
        self._repeating.start()

    def close(self) -> None:
        self._repeating.close()
        self._connection.close()

    def look(self) -> None:
        """Asks once; what was known stays where the server does not answer."""
        told = self._connection.ask(_info)
        keys = self._connection.ask(lambda client: client.dbsize())
        if told is None or keys is None:
            return
        facts, at_s = _facts(told, int(keys)), self._timer()
        rows = self._walk() if facts.keys <= MOST_KEYS else None
        self.newest = RedisHoldings(at_s, facts) if rows is None else _holdings(at_s, facts, rows)

    def age_s(self) -> float | None:
        """How long ago the newest answered look was."""
        at_s = self.newest.asked_at_s
        return None if at_s is None else self._timer() - at_s

    def _walk(self) -> list[tuple[int, float]] | None:
        """(bytes, age in seconds) of each value of ours that counts; None where the walk came to no end."""
        prefix, cursor = self._prefix(), b"0"
        values = f"{prefix}value:"
        pattern = _SIGNS.sub(r"\\\1", values) + "*"
        found: dict[bytes, tuple[int, float]] = {}  # a walk may meet a key twice
        for _ in range(2 * MOST_KEYS // _AT_A_TIME):
            answer = self._connection.run(LOOK, [f"{prefix}epochs"], (cursor, pattern, _AT_A_TIME))
            if answer is None:
                return None
            cursor, epochs, rows = answer
            marks = dict(zip(epochs[::2], epochs[1::2], strict=True))
            found |= {row[0]: one for row in rows if (one := _counted(row, len(values), marks)) is not None}
            if cursor == b"0":
                return list(found.values())
        return None


def _info(client: Any) -> Mapping[str, Any]:
    """Nothing where this user may not ask: that is no failure of the server."""
    try:
        told: Mapping[str, Any] = client.info()
    except ResponseError:
        return {}
    return told


def _facts(told: Mapping[str, Any], keys: int) -> RedisServerFacts:
    return RedisServerFacts(
        version=str(told.get("redis_version", "")),
        uptime_s=told.get("uptime_in_seconds"),
        clients=told.get("connected_clients"),
        memory_bytes=told.get("used_memory"),
        max_memory_bytes=told.get("maxmemory"),
        policy=str(told.get("maxmemory_policy", "")),
        keys=keys,
        evictions=told.get("evicted_keys"),
        expired=told.get("expired_keys"),
        hits=told.get("keyspace_hits"),
        misses=told.get("keyspace_misses"),
    )


def _counted(row: Sequence[Any], begins: int, epochs: Mapping[bytes, bytes]) -> tuple[int, float] | None:
    """None for what was cleared (its mark is of an epoch before), and for what is none of ours after all."""
    name, head, left_ms, size_bytes = row
    mark, _, rest = head.partition(b"\n")
    lives_ms = rest.partition(b"\n")[0]
    try:
        key = key_of(name.decode()[begins:])
    except ValueError:
        return None
    region = str(key[0]) if isinstance(key, tuple) and key else ""
    if mark != epochs.get(b"", b"") + b"." + epochs.get(region.encode(), b"") or not lives_ms.isdigit():
        return None
    return int(size_bytes), max(0, int(lives_ms) - int(left_ms)) / 1000


def _holdings(at_s: float, facts: RedisServerFacts, rows: Sequence[tuple[int, float]]) -> RedisHoldings:
    ages = sorted(age_s for _, age_s in rows)
    return RedisHoldings(
        at_s,
        facts,
        entries=len(rows),
        size_bytes=sum(size for size, _ in rows),
        age_median_s=ages[len(ages) // 2] if ages else None,
        age_oldest_s=ages[-1] if ages else None,
    )
