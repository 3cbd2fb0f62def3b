"""Streams of the simulated exchange, read by a WebSocket client over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from data.interval import Interval
from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, quick_settings, running_exchange
from tests.support.shared_data import recorded_dir
from utils.clock import ManualClock

MINUTE_MS = 60_000
OPEN_MS = 1_782_000_000_000
"""a full minute, hour and day"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(OPEN_MS + 12_345)


@pytest.fixture
def exchange(clock: ManualClock) -> Iterator[RunningExchange]:
    with running_exchange(Market(SyntheticSource(symbols=3)), clock) as running:
        yield running


@contextmanager
def listen(exchange: RunningExchange, path: str, **options: Any) -> Iterator[ClientConnection]:
    with connect(f"{exchange.stream_url}/{path}", proxy=None, close_timeout=1, **options) as client:
        yield client


def receive(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=60))


def ask(client: ClientConnection, **request: object) -> Any:
    """Sends a control request and skips events until its answer."""
    client.send(json.dumps(request))
    while True:
        answer = receive(client)
        if "id" in answer or "code" in answer:
            return answer


def silent(client: ClientConnection, seconds: float = 0.15) -> bool:
    try:
        client.recv(timeout=seconds)
    except TimeoutError:
        return True
    return False


def kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kinds(part) for key, part in value.items()}
    return type(value).__name__


def test_a_raw_stream_is_bare_and_a_combined_one_is_wrapped(exchange: RunningExchange, clock: ManualClock) -> None:
    with listen(exchange, "ws/btcusdt@kline_1m") as client:
        assert receive(client)["e"] == "kline"
    clock.tick(5)
    with listen(exchange, "stream?streams=btcusdt@kline_1m/ethusdt@miniTicker") as client:
        seen = {message["stream"]: message["data"]["e"] for message in (receive(client), receive(client))}
    assert seen == {"btcusdt@kline_1m": "kline", "ethusdt@miniTicker": "24hrMiniTicker"}


def test_an_encoded_address_is_understood(exchange: RunningExchange) -> None:
    with listen(exchange, "stream?streams=btcusdt%40kline_1m%2Fethusdt%40kline_1m") as client:
        assert {receive(client)["stream"], receive(client)["stream"]} == {"btcusdt@kline_1m", "ethusdt@kline_1m"}


def test_the_kline_event_is_the_rest_row(exchange: RunningExchange, clock: ManualClock) -> None:
    with listen(exchange, "ws/ethusdt@kline_1h") as client:
        event = receive(client)
    candle = event["k"]
    bar = exchange.market.klines("ETHUSDT", Interval.H1, None, None, 1, clock.now_ms()).bar(0)
    assert (event["e"], event["E"], event["s"]) == ("kline", clock.now_ms(), "ETHUSDT")
    assert (candle["t"], candle["T"], candle["i"], candle["x"]) == (OPEN_MS, OPEN_MS + 3_599_999, "1h", False)
    assert float(candle["c"]) == pytest.approx(bar.close * 0.01)
    assert (candle["n"], candle["L"] - candle["f"] + 1) == (bar.trades, bar.trades)
    expected = ["t", "T", "s", "i", "f", "L", "o", "c", "h", "l", "v", "n", "x", "q", "V", "Q", "B"]
    assert list(candle) == expected
    assert kinds(candle) == {key: "int" if key in "tTfLn" else "bool" if key == "x" else "str" for key in expected}


def test_a_candle_closes_exactly_once_with_its_final_row(exchange: RunningExchange, clock: ManualClock) -> None:
    events: list[dict[str, Any]] = []
    with listen(exchange, "ws/btcusdt@kline_1m") as client:
        for _ in range(75):
            clock.tick(2)
            events.append(receive(client))
            if events[-1]["k"]["x"]:
                events.append(receive(client))
    closes = [event["k"] for event in events if event["k"]["x"]]
    assert [candle["t"] for candle in closes] == [OPEN_MS, OPEN_MS + MINUTE_MS]
    rows = exchange.market.rows("BTCUSDT", Interval.M1, OPEN_MS, OPEN_MS + 2 * MINUTE_MS)
    assert [candle["n"] for candle in closes] == [rows.bar(0).trades, rows.bar(1).trades]
    assert [event["k"]["t"] for event in events] == sorted(event["k"]["t"] for event in events)
    assert closes[0]["L"] + 1 == closes[1]["f"]
    for earlier, later in pairwise([event["k"] for event in events]):
        assert later["t"] > earlier["t"] or float(later["v"]) >= float(earlier["v"])


def test_a_leap_of_the_clock_closes_every_candle_passed(exchange: RunningExchange, clock: ManualClock) -> None:
    with listen(exchange, "ws/btcusdt@kline_1m") as client:
        receive(client)
        clock.tick(10 * 60)
        closes = [receive(client)["k"] for _ in range(10)]
        assert [candle["t"] for candle in closes] == [OPEN_MS + minute * MINUTE_MS for minute in range(10)]
        assert all(candle["x"] for candle in closes)
        assert receive(client)["k"]["x"] is False


def test_nothing_new_is_nothing_told(exchange: RunningExchange) -> None:
    with listen(exchange, "ws/btcusdt@kline_1m") as client:
        receive(client)
        assert silent(client)


def test_the_period_spaces_the_events(clock: ManualClock) -> None:
    settings = quick_settings(kline_period_ms=2000)
    with (
        running_exchange(Market(SyntheticSource(symbols=1)), clock, settings=settings) as exchange,
        listen(exchange, "ws/btcusdt@kline_1m") as client,
    ):
        times = [receive(client)["E"]]
        for _ in range(20):
            clock.tick(0.5)
            while not silent(client, 0.03):
                times.append(clock.now_ms())
    assert 5 <= len(times) <= 7


@pytest.mark.parametrize(
    "stream", ["nope@kline_1m", "btcusdt@kline_7m", "BTCUSDT@kline_1m", "!ticker@arr", "btcusdt@x"]
)
def test_a_wrong_name_is_answered_with_silence(exchange: RunningExchange, stream: str) -> None:
    with listen(exchange, f"ws/{stream}") as client:
        assert silent(client)


def test_all_markets_in_one_array(exchange: RunningExchange, clock: ManualClock) -> None:
    with listen(exchange, "ws/!miniTicker@arr@1000ms") as client:
        first = receive(client)
        assert {event["s"] for event in first} == {"BTCUSDT", "ETHUSDT", "BNBUSDT"}
        clock.tick(5)
        assert {event["s"] for event in receive(client)} <= {"BTCUSDT", "ETHUSDT", "BNBUSDT"}
    assert list(first[0]) == ["e", "E", "s", "c", "o", "h", "l", "v", "q"]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("stream", "file", "not_spot"),
    [
        ("ethusdt@bookTicker", "ws_spot_ticker_book.json", {"T", "E"}),
        ("ethusdt@aggTrade", "ws_spot_agg_trade.json", {"st"}),
        ("ethusdt@trade", "ws_spot_trade.json", {"b", "a", "st"}),
        ("ethusdt@ticker", "ws_spot_ticker_24hr.json", set()),
    ],
)
def test_events_have_the_recorded_keys_and_types(
    exchange: RunningExchange, clock: ManualClock, stream: str, file: str, not_spot: set[str]
) -> None:
    """`not_spot`: keys of the recording that spot streams do not have, or no longer."""
    recorded = json.loads((recorded_dir() / "stream" / file).read_bytes())
    recorded = recorded.get("data", recorded)
    with listen(exchange, f"ws/{stream}") as client:
        while True:
            clock.tick(1)
            if not silent(client, 0.05):
                clock.tick(1)
                event = receive(client)
                break
    assert kinds(event) == {key: kind for key, kind in kinds(recorded).items() if key not in not_spot}


def test_trades_are_told_once_and_in_order(exchange: RunningExchange, clock: ManualClock) -> None:
    with listen(exchange, "ws/btcusdt@aggTrade") as client:
        time.sleep(0.05)
        clock.tick(2)
        first = receive(client)["a"]
        ids = [first, *(receive(client)["a"] for _ in range(10))]
    assert ids == list(range(first, first + 11))


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


def test_the_real_client_reads_the_streams(exchange: RunningExchange) -> None:
    async def read() -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of websockets, inside python-binance
            from binance import AsyncClient, BinanceSocketManager

        class Client(AsyncClient):  # type: ignore[misc]  # python-binance carries no types
            API_URL = exchange.rest_url

        class Sockets(BinanceSocketManager):  # type: ignore[misc]
            STREAM_URL = exchange.stream_url + "/"

        client = await Client.create()
        try:
            reader = Sockets(client).multiplex_socket(["btcusdt@kline_1m", "!miniTicker@arr"])
            reader.TIMEOUT = 0.2  # its close waits this long for a message
            async with reader as stream:
                return [await asyncio.wait_for(stream.recv(), 5) for _ in range(2)]
        finally:
            await client.close_connection()

    messages = {message["stream"]: message["data"] for message in asyncio.run(read())}
    assert messages["btcusdt@kline_1m"]["k"]["t"] == OPEN_MS
    assert len(messages["!miniTicker@arr"]) == 3


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


def _drain(client: ClientConnection) -> None:
    """Reads until the connection ends."""
    while True:
        client.recv(timeout=60)


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
