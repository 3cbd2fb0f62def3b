"""Connections to the simulated exchange's streams: control requests, limits, pings, and how they end."""

from __future__ import annotations

import json
import socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, quick_settings, running_exchange
from tests.support.exchange_streams import ask, clock, exchange, listen, receive, silent
from utils.clock import ManualClock

__all__ = ["clock", "exchange"]


def test_control_requests(exchange: RunningExchange) -> None:
    with listen(exchange, "ws") as client:
        assert silent(client)
        assert ask(client, method="SUBSCRIBE", params=["btcusdt@kline_1m"], id=1) == {"result": None, "id": 1}
        assert receive(client)["e"] == "kline"
        assert ask(client, method="LIST_SUBSCRIPTIONS", id=2) == {"result": ["btcusdt@kline_1m"], "id": 2}
        assert ask(client, method="UNSUBSCRIBE", params=["btcusdt@kline_1m"], id="x") == {"result": None, "id": "x"}
        assert ask(client, method="LIST_SUBSCRIPTIONS", id=4) == {"result": [], "id": 4}


def test_the_combined_property(exchange: RunningExchange) -> None:
    with listen(exchange, "ws") as client:
        assert ask(client, method="GET_PROPERTY", params=["combined"], id=1) == {"result": False, "id": 1}
        assert ask(client, method="SET_PROPERTY", params=["combined", True], id=2) == {"result": None, "id": 2}
        ask(client, method="SUBSCRIBE", params=["btcusdt@kline_1m"], id=3)
        assert receive(client)["stream"] == "btcusdt@kline_1m"


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        ("{oops", 3, "Invalid JSON: expected value at line 1 column 1"),
        ('{"method":"DANCE","id":1}', 2, "Invalid request: unknown variant `DANCE`"),
        ('{"method":"SUBSCRIBE","params":"x","id":1}', 2, "Invalid request"),
        ("[]", 2, "Invalid request"),
    ],
)
def test_control_errors(exchange: RunningExchange, sent: str, code: int, message: str) -> None:
    with listen(exchange, "ws") as client:
        client.send(sent)
        answer = receive(client)
    error = answer.get("error", answer)
    assert error["code"] == code
    assert error["msg"].startswith(message)


def test_a_sixth_message_in_a_second_ends_the_connection(exchange: RunningExchange) -> None:
    with listen(exchange, "ws") as client:
        for number in range(6):
            client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        with pytest.raises(ConnectionClosed, match="1008"):
            _drain(client)


def test_too_many_streams_are_refused(clock: ManualClock) -> None:
    with running_exchange(
        Market(SyntheticSource(symbols=1)), clock, settings=quick_settings(max_streams=2)
    ) as exchange:
        with pytest.raises(InvalidStatus, match="400"), listen(exchange, "stream?streams=a/b/c"):
            pass
        with listen(exchange, "ws/a/b") as client:
            assert ask(client, method="SUBSCRIBE", params=["c"], id=1)["error"]["code"] == 2


def test_too_many_connections_are_refused(clock: ManualClock) -> None:
    settings = quick_settings(connect_limit=2)
    with running_exchange(Market(SyntheticSource(symbols=1)), clock, settings=settings) as exchange:
        for _ in range(2):
            with listen(exchange, "ws"):
                pass
        with pytest.raises(InvalidStatus, match="429"), listen(exchange, "ws"):
            pass
        clock.tick(300)
        with listen(exchange, "ws"):
            pass
        assert exchange.stream_connects == 3


def test_pings_come_and_who_does_not_answer_is_dropped(clock: ManualClock) -> None:
    settings = quick_settings(ping_interval_s=0.25, pong_timeout_s=0.6)
    with running_exchange(Market(SyntheticSource(symbols=1)), clock, settings=settings) as exchange:
        with listen(exchange, "ws") as client:
            assert silent(client, 1.2), "answers its pings by itself, and lives"
            assert ask(client, method="LIST_SUBSCRIPTIONS", id=1)["result"] == []
        with socket.create_connection(("127.0.0.1", exchange.port), timeout=5) as mute:
            mute.sendall(
                b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            found = b""
            try:
                while part := mute.recv(4096):
                    found += part
            except ConnectionError:
                pass
        assert b"101 Switching Protocols" in found
        assert b"\x89" in found, "a ping frame"


def test_a_connection_ends_after_its_day(clock: ManualClock) -> None:
    settings = quick_settings(connection_limit_s=0.1)
    with (
        running_exchange(Market(SyntheticSource(symbols=1)), clock, settings=settings) as exchange,
        listen(exchange, "ws") as client,
    ):
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=60)
        assert client.protocol.close_code == 1000


def test_another_host_name_is_refused(exchange: RunningExchange) -> None:
    with (
        pytest.raises(InvalidStatus, match="400"),
        connect(f"ws://evil.example:{exchange.port}/ws", sock=socket.create_connection(("127.0.0.1", exchange.port))),
    ):
        pass


def test_a_stream_that_is_refused_at_the_door(exchange: RunningExchange) -> None:
    exchange.faults.add("status", "/stream", status=503)
    with pytest.raises(InvalidStatus, match="503"), listen(exchange, "stream?streams=btcusdt@kline_1m"):
        pass


def _drain(client: ClientConnection) -> None:
    """Reads until the connection ends."""
    while True:
        client.recv(timeout=60)
