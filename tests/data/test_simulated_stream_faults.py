"""Faults of the simulated exchange's streams: events twice, missing, out of order, stale, broken, and silence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection

from tests.support.exchange import RunningExchange
from tests.support.exchange_streams import ask, clock, exchange, listen, receive, silent
from utils.clock import ManualClock

__all__ = ["clock", "exchange"]


class Reader:
    """One subscription whose clock moves event by event."""

    def __init__(self, client: ClientConnection, clock: ManualClock) -> None:
        self._client = client
        self._clock = clock

    def next(self) -> Any:
        self._clock.tick(3)
        return receive(self._client)


@pytest.fixture
def reader(exchange: RunningExchange, clock: ManualClock) -> Iterator[Reader]:
    with listen(exchange, "ws/btcusdt@kline_1h") as client:
        receive(client)
        yield Reader(client, clock)


def test_duplicate_events(exchange: RunningExchange, reader: Reader) -> None:
    exchange.faults.add("duplicate", "*@kline_1h")
    assert reader.next() == receive(reader._client)


def test_a_gap_and_a_reorder(exchange: RunningExchange, reader: Reader, clock: ManualClock) -> None:
    exchange.faults.add("gap", "btcusdt@*")
    clock.tick(3)
    assert silent(reader._client)
    exchange.faults.add("reorder", "btcusdt@*")
    clock.tick(3)
    assert silent(reader._client)
    newer = reader.next()
    older = receive(reader._client)
    assert older["E"] + 3000 == newer["E"]


def test_stale_events_repeat_the_last(exchange: RunningExchange, reader: Reader) -> None:
    good = reader.next()
    exchange.faults.add("stale", "*")
    assert reader.next() == good


def test_bad_content(exchange: RunningExchange, reader: Reader) -> None:
    exchange.faults.add("nan", "*")
    assert reader.next()["k"]["c"] != reader.next()["k"]["c"]
    exchange.faults.add("wrong_shape", "*")
    assert isinstance(reader.next(), list)
    exchange.faults.add("bad_json", "*")
    with pytest.raises(json.JSONDecodeError):
        reader.next()


def test_a_burst(exchange: RunningExchange, reader: Reader) -> None:
    exchange.faults.add("ws_burst", "*", count=500)
    first = reader.next()
    assert all(receive(reader._client) == first for _ in range(499))


@pytest.mark.parametrize(
    ("kind", "received", "sent"), [("ws_close", 1001, 1001), ("ws_abort", None, None), ("ws_bad_frame", None, 1002)]
)
def test_ends_of_the_connection(
    exchange: RunningExchange, clock: ManualClock, kind: str, received: int | None, sent: int | None
) -> None:
    with listen(exchange, "ws/btcusdt@kline_1h") as client:
        receive(client)
        exchange.faults.add(kind, "*", code=1001)
        clock.tick(3)
        with pytest.raises(ConnectionClosed) as ended:
            client.recv(timeout=60)
    assert (_code(ended.value.rcvd), _code(ended.value.sent)) == (received, sent)


def _code(close: Close | None) -> int | None:
    return close.code if close else None


def test_silence_while_the_line_lives(exchange: RunningExchange, reader: Reader, clock: ManualClock) -> None:
    exchange.faults.add("ws_silent", "*")
    for _ in range(3):
        clock.tick(3)
        assert silent(reader._client, 0.05)
    assert ask(reader._client, method="LIST_SUBSCRIPTIONS", id=1)["result"] == ["btcusdt@kline_1h"]


def test_server_shutdown(exchange: RunningExchange, reader: Reader) -> None:
    exchange.faults.add("server_shutdown", "*")
    assert reader.next()["e"] == "serverShutdown"


def test_streams_can_be_cut_from_a_test(exchange: RunningExchange) -> None:
    with listen(exchange, "ws/btcusdt@kline_1h") as client:
        receive(client)
        assert exchange.drop_streams() == 1
        with pytest.raises(ConnectionClosed):
            _drain(client)
    _until(lambda: exchange.stream_count() == 0)


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def _drain(client: ClientConnection) -> None:
    """Reads until the connection ends."""
    while True:
        client.recv(timeout=60)
