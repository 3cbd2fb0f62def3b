"""Redis level: the data cache's values shared by several processes, each loaded by one of them, none stale for long."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any

import orjson

from utils.awaited import Awaited
from utils.cache_codecs import Codecs, key_of, key_text
from utils.circuit_breaker import BreakerState
from utils.clock import Clock, SystemClock
from utils.redis_connection import RedisConnection
from utils.redis_debts import RedisDebts
from utils.redis_listener import RedisListener
from utils.redis_scripts import BEGIN, CLEAR, FINISH, READ, WRITE, Script
from utils.redis_stats import RedisStats
from utils.redis_watch import RedisWatch
from utils.second_level import FirstLevel, Found

log = logging.getLogger(__name__)

_FORMAT = 2
_GENERATION_MS = 600_000
_LONGEST_LOAD_S = 300.0
"""A load that took longer is not shared: the generation that it began under may have been forgotten."""
_LONGEST_MS = 7 * 86_400_000
_UNHEARD_S = 1.0
_TRIAL_MS = 1_000
"""How long a process trusts its own copies while it would not hear that they are outdated."""
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class _Ticket:
    """Leave to load: whether the lock is ours, and the state under which the result may be kept."""

    token: str
    locked: bool
    mark: bytes
    generation: bytes


class RedisLevel:
    """Two levels: process memory over Redis. Without Redis each process loads for itself, and nobody sees an error.

    - Only keys of the given `regions` leave the process, and only values that `codecs` can write. `namespace` keeps
      apart those who must not share: give the same to processes that stand on the same database and exchange.
    - Every question ends after `deadline_s`; after three failures in a row none is asked for a while.
    - One process loads a key while others wait for it, at most `wait_s`, then load for themselves. The lock of a
      process that died is free after `lock_s`.
    - `set`, `delete` and `clear` are told to every process. A process that does not hear them trusts its own copies for
      a second; what it could not tell (the server was away) it makes good before it next uses the server.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        regions: Collection[str],
        codecs: Codecs,
        clock: Clock | None = None,
        deadline_s: float = 0.05,
        wait_s: float = 2.0,
        lock_s: float = 10.0,
        max_value_bytes: int = 8 * 1024 * 1024,
    ) -> None:
        used = clock or SystemClock()
        self._connection = RedisConnection(url, deadline_s=deadline_s, clock=used)
        self._timer = used.monotonic
        self._regions = frozenset(regions)
        self._codecs = codecs
        self._looks = max(1, round(wait_s / _LOOK_AGAIN_S))
        self._lock_ms = round(lock_s * 1000)
        self._max_value_bytes = max_value_bytes
        self._base = self._prefix = f"dashboard:{_FORMAT}:{namespace}:"
        self._channel = f"{self._base}news"
        self._me = secrets.token_hex(8)
        self._listener = RedisListener(
            self._connection,
            self._channel,
            on_message=self._hear,
            on_loss=self._outdate_all,
            on_return=self._heard_again,
            on_silence=self._try_again,
        )
        self._first_level: FirstLevel | None = None
        self._awaited = Awaited()
        self._debts = RedisDebts()
        self._watch = RedisWatch(url, prefix=lambda: self._prefix, deadline_s=deadline_s, clock=used)
        self._hits = self._misses = self._waited = self._undecodable = self._outdated = self._loads = 0
        self._load_time_s = 0.0

    def attach(self, first_level: FirstLevel) -> None:
        self._first_level = first_level

    def use(self, part: str) -> None:
        """From now on only share with those who use the same part of the namespace, such as the same venue."""
        self._prefix = f"{self._base}{part}:"
        self._outdate_all()

    def start(self) -> None:
        """Begin to listen to the other processes, and to watch the server, each in a thread."""
        self._listener.start()
        self._watch.start()

    def close(self) -> None:
        self._watch.close()
        self._listener.close()
        self._connection.close()

    def wait_until_heard(self, timeout_s: float) -> bool:
        """Whether, within that time, other processes are heard."""
        return self._listener.wait_until_heard(timeout_s)

    def shares(self, key: Hashable) -> bool:
        return _region(key) in self._regions and key_text(key) is not None

    def local_s(self, fresh_s: float) -> float:
        return fresh_s if self._listener.hears else min(fresh_s, _UNHEARD_S)

    def get(self, key: Hashable) -> Found | None:
        text = _text(key)
        answer = self._run(READ, self._keys(text)[:2], (_region(key), secrets.token_hex(8)))
        found = self._found(text, answer) if answer else None
        self._count(found)
        return found

    def get_or_load(self, key: Hashable, load: Callable[[], Any], fresh_s: Callable[[Any], float]) -> Found:
        text = _text(key)
        answer = self._found_or_ticket(key, text)
        if isinstance(answer, Found):
            fresh = min(answer.fresh_s, fresh_s(answer.value))
            return Found(answer.value, fresh, loaded=False)
        return self._load(key, text, load, fresh_s, answer)

    def set(self, key: Hashable, value: object, fresh_s: float) -> None:
        content, live_ms = self._shared(value, fresh_s)
        self._write(_text(key), content, live_ms, "set")

    def delete(self, key: Hashable) -> None:
        self._write(_text(key), b"", 0, "delete")

    def clear(self, region: Hashable = None) -> None:
        """Forget all that is shared, or one region of it."""
        if region is not None and region not in self._regions:
            return
        if self._clear("" if region is None else str(region)) is None:
            self._debts.owe_everything()

    def stats(self) -> RedisStats:
        connection, held = self._connection, self._watch.newest
        return RedisStats(
            breaker=str(connection.breaker.state),
            hears=self._listener.hears,
            calls=connection.calls,
            failures=connection.failures,
            refused=connection.refused,
            hits=self._hits,
            misses=self._misses,
            waited=self._waited,
            undecodable=self._undecodable,
            outdated=self._outdated,
            slowest_s=connection.slowest_s,
            last_problem=connection.last_problem,
            loads=self._loads,
            load_time_s=self._load_time_s,
            entries=held.entries,
            size_bytes=held.size_bytes,
            age_median_s=held.age_median_s,
            age_oldest_s=held.age_oldest_s,
            evictions=None if held.server is None else held.server.evictions,
            asked_s=self._watch.age_s(),
            server=held.server,
        )

    def _found_or_ticket(self, key: Hashable, text: str) -> Found | _Ticket | None:
        """The value; or leave to load it; None where the server is away or the other process took too long."""
        with self._awaited.waiting(text) as news:
            for look in range(self._looks):
                answer = self._begin(key, text)
                if not isinstance(answer, _Ticket) or answer.locked:
                    self._count(answer if isinstance(answer, Found) else None)
                    self._waited += bool(look) and isinstance(answer, Found)
                    return answer
                news.wait(_LOOK_AGAIN_S)
                news.clear()
        return answer

    def _begin(self, key: Hashable, text: str) -> Found | _Ticket | None:
        token = secrets.token_hex(8)
        answer = self._run(BEGIN, self._keys(text), (_region(key), token, self._lock_ms))
        if answer is None:
            return None
        if len(answer) == 3:
            return _Ticket(token, bool(answer[0]), answer[1], answer[2])
        found = self._found(text, answer)
        return self._begin(key, text) if found is None else found  # what could not be read is forgotten by now

    def _load(
        self,
        key: Hashable,
        text: str,
        load: Callable[[], Any],
        fresh_s: Callable[[Any], float],
        ticket: _Ticket | None,
    ) -> Found:
        began_s = self._timer()
        content, live_ms = b"", 0
        try:
            value = load()
            took_s = self._timer() - began_s
            self._loads, self._load_time_s = self._loads + 1, self._load_time_s + took_s
            seconds = fresh_s(value)
            if took_s <= _LONGEST_LOAD_S:
                content, live_ms = self._shared(value, seconds)
        finally:
            if ticket is not None:
                self._finish(key, text, ticket, content, live_ms)
        return Found(value, seconds, loaded=True)

    def _finish(self, key: Hashable, text: str, ticket: _Ticket, content: bytes, live_ms: int) -> None:
        """The lock is given back whatever became of the load; if that fails, it ends by itself."""
        message = self._message("loaded", text)
        arguments = (_region(key), ticket.token, ticket.mark, ticket.generation, content, live_ms)
        self._run(FINISH, self._keys(text), (*arguments, self._channel, message))

    def _shared(self, value: object, fresh_s: float) -> tuple[bytes, int]:
        """The value as bytes and its milliseconds to live; nothing and 0 where it stays in this process."""
        live_ms = min(int(fresh_s * 1000), _LONGEST_MS)
        content = self._codecs.encode(value) if live_ms > 0 else None
        return (b"", 0) if content is None or len(content) > self._max_value_bytes else (content, live_ms)

    def _write(self, text: str, content: bytes, live_ms: int, what: str) -> None:
        if self._write_now(text, content, live_ms, what) is None:
            self._debts.owe([text])

    def _write_now(self, text: str, content: bytes, live_ms: int, what: str, *, paying: bool = False) -> Any:
        arguments = (_region(key_of(text)), secrets.token_hex(8), _GENERATION_MS, content, live_ms)
        run = self._connection.run if paying else self._run
        return run(WRITE, self._keys(text)[:3], (*arguments, self._channel, self._message(what, text)))

    def _clear(self, region: str, what: str = "clear", *, paying: bool = False) -> Any:
        run = self._connection.run if paying else self._run
        message = self._message(what, region)
        return run(CLEAR, [f"{self._prefix}epochs"], (region, secrets.token_hex(8), self._channel, message))

    def _run(self, script: Script, keys: list[str], arguments: tuple[Any, ...]) -> list[Any] | None:
        """None where the server is away, or where it was and is still owed what it missed."""
        return self._connection.run(script, keys, arguments) if self._owes_nothing() else None

    def _owes_nothing(self) -> bool:
        return not self._debts or self._debts.pay(
            lambda text: self._write_now(text, b"", 0, "set", paying=True) is not None,
            lambda: self._clear("", "outdate", paying=True) is not None,
        )

    def _found(self, text: str, answer: list[Any]) -> Found | None:
        content: bytes = answer[0]
        try:
            value = self._codecs.decode(content.partition(b"\n")[2].partition(b"\n")[2])
        except ValueError as error:
            self._undecodable += 1
            log.warning("the shared value of %s cannot be read and is forgotten: %s", text, error)
            self._write(text, b"", 0, "delete")
            return None
        return Found(value, max(int(answer[1]), 0) / 1000, loaded=False)

    def _count(self, found: Found | None) -> None:
        if found is None:
            self._misses += 1
        else:
            self._hits += 1

    def _keys(self, text: str) -> list[str]:
        return [f"{self._prefix}epochs", *(f"{self._prefix}{kind}:{text}" for kind in ("value", "generation", "lock"))]

    def _message(self, what: str, about: str) -> bytes:
        return orjson.dumps([self._me, what, about])

    def _hear(self, content: bytes) -> None:
        try:
            sender, what, about = orjson.loads(content)
            if sender != self._me:
                self._apply(what, about)
        except (ValueError, TypeError):
            log.warning("a message of %d bytes on the channel of the cache is none of ours", len(content))

    def _apply(self, what: str, about: str) -> None:
        first = self._first_level
        if what == "clear" and first is not None:
            first.drop_region(about or None)
        elif what == "outdate":
            self._outdate_all()
        elif what == "set" and first is not None:
            first.outdate(key_of(about))
        elif what == "delete" and first is not None:
            first.drop(key_of(about))
        self._outdated += what != "loaded"
        self._awaited.wake(about)

    def _outdate_all(self) -> None:
        if self._first_level is not None:
            for region in self._regions:
                self._first_level.outdate_region(region)

    def _heard_again(self) -> None:
        self._connection.breaker.retry_now()
        self._outdate_all()
        self._try_again()

    def _try_again(self) -> None:
        """Whether a server that was given up takes values again is found out here, before a reader asks."""
        if self._connection.breaker.state is not BreakerState.CLOSED:
            taken = self._connection.ask(lambda client: client.set(f"{self._base}trial", b"", px=_TRIAL_MS))
            if taken is not None:
                self._owes_nothing()


def _text(key: Hashable) -> str:
    text = key_text(key)
    if text is None:
        raise ValueError(f"cache key {key!r} cannot be shared; ask shares() first")
    return text


def _region(key: Hashable) -> str:
    first = key[0] if isinstance(key, tuple) and key else key
    return first if isinstance(first, str) else ""
