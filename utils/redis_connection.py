"""Redis connection: questions to a Redis server that are answered within a deadline, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError
from redis.retry import Retry

from utils.circuit_breaker import CircuitBreaker
from utils.clock import Clock, SystemClock
from utils.errors import ConfigError
from utils.redis_scripts import Script
from utils.redis_sockets import TIMED, Connector, hurry_until

_SCHEMES = ("redis", "rediss", "unix")
_CONNECTIONS = 32
_REAL = SystemClock()
"""Sockets live in real time, whatever clock the rest is given."""

Argument = str | bytes | int


class RedisConnection:
    """Asks within `deadline_s`, connecting included, behind a circuit breaker. Never raises for want of the server."""

    def __init__(self, url: str, *, deadline_s: float, clock: Clock) -> None:
        scheme = url.partition("://")[0]
        if scheme not in _SCHEMES:
            raise ConfigError(f"Redis URL of the kind {scheme!r} is unknown; use for example redis://127.0.0.1:6379/0")
        options: dict[str, Any] = {
            "socket_timeout": deadline_s,
            "socket_connect_timeout": deadline_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        self._connector = Connector()
        try:
            self._pool = redis.BlockingConnectionPool.from_url(
                url,
                connection_class=TIMED[scheme],
                connector=self._connector,
                max_connections=_CONNECTIONS,
                timeout=deadline_s,
                **options,
            )
        except ValueError as error:
            raise ConfigError(f"Redis URL cannot be used ({error}); use for example redis://127.0.0.1:6379/0") from None
        self._client = redis.Redis(connection_pool=self._pool)
        self._listener = redis.Redis.from_url(
            url, **(options | {"socket_timeout": None, "socket_connect_timeout": 1.0})
        )
        self._deadline_s = deadline_s
        self._timer = clock.monotonic
        self._lock = threading.Lock()
        self.breaker = CircuitBreaker(failures=3, open_s=0.5, longest_open_s=5.0, timer=clock.monotonic)
        self.calls = 0
        self.failures = 0
        self.refused = 0
        self.slowest_s = 0.0
        self.last_problem = ""

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> list[Any] | None:
        """The script's answer; None where the server cannot be asked now."""
        return self.ask(lambda client: _evaluate(client, script, keys, arguments))

    def ask(self, question: Callable[[redis.Redis], Any]) -> Any | None:
        """What `question(client)` answers within the deadline; None otherwise."""
        if not self.breaker.allows():
            self.refused += 1
            return None
        began_s = _REAL.monotonic()
        hurry_until(began_s + self._deadline_s)
        try:
            answer = question(self._client)
        except (RedisError, OSError) as error:
            self._failed(error, _REAL.monotonic() - began_s)
            return None
        except BaseException:
            self.breaker.failed()
            raise
        finally:
            hurry_until(float("inf"))
        self._note(_REAL.monotonic() - began_s)
        self.breaker.succeeded()
        return answer

    def subscription(self) -> Any:
        """A new redis.client.PubSub on a connection of its own, without the short deadline."""
        return self._listener.pubsub()  # type: ignore[no-untyped-call]  # untyped in redis-py

    def close(self) -> None:
        self._pool.disconnect()
        self._connector.close()
        self._listener.close()

    def _failed(self, error: Exception, seconds: float) -> None:
        self._note(seconds)
        with self._lock:
            self.failures += 1
            self.last_problem = _plain_text(error)
        self.breaker.failed()

    def _note(self, seconds: float) -> None:
        with self._lock:
            self.calls += 1
            self.slowest_s = max(self.slowest_s, seconds)


def _evaluate(client: redis.Redis, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
    try:
        return client.evalsha(script.sha, len(keys), *keys, *arguments)
    except NoScriptError:
        return client.eval(script.text, len(keys), *keys, *arguments)


def _plain_text(error: Exception) -> str:
    """Without values: an error of a script would quote them."""
    if isinstance(error, OutOfMemoryError):
        return "it is full; raise its maxmemory, or set its maxmemory-policy to allkeys-lru"
    return f"the server refused: {str(error)[:80]}" if isinstance(error, ResponseError) else type(error).__name__
