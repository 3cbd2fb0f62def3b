"""A name server that hangs, and a server that accepts and never says a word, cost a question its deadline at most."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.redis_processes import eventually, own_server
from tests.support.servers import RedisServer
from utils import redis_sockets
from utils.clock import ManualClock
from utils.redis_connection import RedisConnection

__all__ = ["own_server"]

DEADLINE_S = 0.05
PATIENT_S = 0.5
"""What a loaded machine may add; without the deadline it would be seconds."""


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a socket that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def connection_to(url: str) -> RedisConnection:
    return RedisConnection(url, deadline_s=DEADLINE_S, clock=ManualClock())


def took(connection: RedisConnection) -> float:
    began = time.perf_counter()
    assert connection.ask(lambda client: client.ping()) is None
    return time.perf_counter() - began


def connecting() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "redis-connect"]


def wait_for(threads: list[threading.Thread]) -> int:
    for one in threads:
        one.join(10)
    return len(threads)


def hanging(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> threading.Event:
    """From now on this name is not resolved before the event, and then to that address, or to none."""
    answered, real = threading.Event(), socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == name:
            answered.wait(30)
            if not address:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            return real(address, *arguments, **options)
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answered


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_server_that_accepts_and_says_nothing(mute: int, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_sockets, "CONNECTING_S", 1.0)
    connection = connection_to(f"{scheme}://127.0.0.1:{mute}/0")
    times = [took(connection) for _ in range(3)]
    assert max(times) < DEADLINE_S + PATIENT_S
    assert connection.breaker.state == "open", "and then it is left alone"
    assert connection.last_problem == "TimeoutError"
    connection.close()
    wait_for(connecting())


def test_a_name_server_that_hangs_and_then_answers(monkeypatch: pytest.MonkeyPatch, own_server: RedisServer) -> None:
    answered = hanging(monkeypatch, "redis.test", "127.0.0.1")
    connection = connection_to(own_server.url.replace("127.0.0.1", "redis.test"))
    try:
        assert max(took(connection) for _ in range(3)) < DEADLINE_S + PATIENT_S
        assert connection.refused == 0
        under_way = connecting()
    finally:
        answered.set()
    assert wait_for(under_way) == 3

    def asked() -> bool:
        connection.breaker.retry_now()
        return bool(connection.ask(lambda client: client.ping()))

    eventually(asked)
    connection.close()


def test_threads_that_hang_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = hanging(monkeypatch, "redis.test", "")
    connection = connection_to("rediss://redis.test:6379/0")
    try:
        for _ in range(10):
            connection.breaker.retry_now()
            assert took(connection) < DEADLINE_S + PATIENT_S
        assert len(connecting()) == 4
    finally:
        answered.set()
        wait_for(connecting())
        connection.close()
