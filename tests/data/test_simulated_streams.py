"""Streams of the simulated exchange, read by a WebSocket client over real sockets."""

from __future__ import annotations

import asyncio
import json
import warnings
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from data.interval import Interval
from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, quick_settings, running_exchange
from tests.support.exchange_streams import MINUTE_MS, OPEN_MS, clock, exchange, kinds, listen, receive, silent
from tests.support.shared_data import recorded_dir
from utils.clock import ManualClock

__all__ = ["clock", "exchange"]


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
        ids: list[int] = []
        for _ in range(60):  # a listener is told from the server's next look at the clock on, which may come late
            clock.tick(2)
            with suppress(TimeoutError):
                while len(ids) < 11:
                    ids.append(json.loads(client.recv(timeout=1))["a"])
            if len(ids) == 11:
                break
    assert ids == list(range(ids[0], ids[0] + 11))


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
