"""From bytes to values: closed exactly by the clock, sorted, without duplicates, and nothing that makes no sense."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.gateway_parsing import (
    is_sound,
    parse_exchange_info,
    parse_kline_event,
    parse_klines,
    parse_mini_ticker,
    parse_ping,
    parse_server_time,
    parse_tickers,
    sound_prices,
)
from data.interval import Interval
from data.symbol import Symbol
from tests.support.shared_data import recorded_dir
from utils.errors import BadData

BTC = Symbol("BTCUSDT")
T0 = 1_700_000_000_000 // 60_000 * 60_000
MINUTE = 60_000


def row(index: int, *, opened: str = "100.5", high: str = "102", low: str = "99.25", close: str = "101") -> list[Any]:
    start = T0 + index * MINUTE
    return [start, opened, high, low, close, "12.5", start + MINUTE - 1, "1260.1", 42, "6.25", "630.05", "0"]


def page(rows: list[list[Any]], *, now_ms: int = T0 + 1000 * MINUTE, start_ms: int | None = None) -> Any:
    return parse_klines(orjson.dumps(rows), BTC, Interval.M1, start_ms=start_ms, now_ms=now_ms)


def test_every_column_comes_from_its_place() -> None:
    candle = page([row(0)]).closed.row(0)
    assert candle.open_time_ms == T0
    assert candle.floats() == (100.5, 102.0, 99.25, 101.0, 12.5, 1260.1, 42.0, 6.25, 630.05)


def test_numbers_are_those_that_python_reads() -> None:
    texts = ["0.10000000", "123456789.12345678", "0.00000001", "97123.45000001"]
    rows = [row(i, opened=text, high=text, low=text, close=text) for i, text in enumerate(texts)]
    assert page(rows).closed.open.tolist() == [float(text) for text in texts]


@pytest.mark.parametrize(("now_after_close_ms", "closed"), [(-1, False), (0, False), (1, True)])
def test_a_candle_is_closed_only_when_its_last_millisecond_has_passed(now_after_close_ms: int, closed: bool) -> None:
    last_ms = T0 + MINUTE - 1
    found = page([row(0)], now_ms=last_ms + now_after_close_ms)
    assert len(found.closed) == int(closed)
    assert (found.forming is None) is closed


def test_a_candle_ahead_of_our_clock_is_neither_closed_nor_does_it_close_the_one_before() -> None:
    found = page([row(0), row(1)], now_ms=T0 + MINUTE - 5)
    assert len(found.closed) == 0
    assert found.forming is not None
    assert found.forming.open_time_ms == T0 + MINUTE


def test_rows_are_sorted_and_the_later_of_two_wins() -> None:
    found = page([row(2), row(0), row(1), row(0, close="99.5")])
    assert found.closed.open_time_ms.tolist() == [T0, T0 + MINUTE, T0 + 2 * MINUTE]
    assert found.closed.close.tolist() == [99.5, 101.0, 101.0]


@pytest.mark.parametrize(
    "bad",
    [
        row(1, high="98"),
        row(1, low="101.5"),
        row(1, low="-1"),
        row(1, opened="0", low="0"),
        [*row(1)[:5], "-0.5", *row(1)[6:]],
        [T0 + MINUTE + 1, *row(1)[1:]],
    ],
    ids=["high<close", "low>open", "negative", "zero", "volume<0", "off the grid"],
)
def test_a_row_without_sense_is_left_out_and_named(bad: list[Any]) -> None:
    found = page([row(0), bad, row(2)])
    assert found.closed.open_time_ms.tolist() == [T0, T0 + 2 * MINUTE]
    assert found.refused_open_ms == (bad[0],)
    assert found.rows == 3


def test_rows_before_the_start_that_was_asked_for_are_not_believed() -> None:
    assert page([row(0), row(5)], start_ms=T0 + 5 * MINUTE).refused_open_ms == (T0,)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'"text"',
        b"[[1,2,3]]",
        b"[1,2,3]",
        b"[[[1]]]",
        b"[{}]",
        orjson.dumps([row(0), row(1)[:-1]]),
        orjson.dumps([row(0)])[:-3],
        orjson.dumps([row(0)]).replace(b'"102"', b"NaN"),
        orjson.dumps([row(0)]).replace(b'"102"', b'"Infinity"'),
        orjson.dumps([row(0)]).replace(b'"102"', b'"1e999"'),
        orjson.dumps([row(0)]).replace(b'"102"', b'"abc"'),
        orjson.dumps([row(0)]).replace(b'"102"', b"null"),
        orjson.dumps([row(0, high="1")]),
    ],
)
def test_anything_but_rows_of_twelve_numbers_is_bad_data(body: bytes) -> None:
    with pytest.raises(BadData):
        parse_klines(body, BTC, Interval.M1, start_ms=None, now_ms=T0 + 1000 * MINUTE)


def test_no_rows_are_an_empty_page() -> None:
    found = page([])
    assert (len(found.closed), found.forming, found.answered_to_ms) == (0, None, None)


def test_the_page_tells_how_far_it_answers() -> None:
    assert page([row(0), row(1)]).answered_to_ms == T0 + 2 * MINUTE
    assert page([row(0), row(1)], now_ms=T0 + MINUTE + 1).answered_to_ms == T0 + MINUTE


@pytest.mark.parametrize("interval", list(Interval))
def test_each_interval_knows_its_grid(interval: Interval) -> None:
    opens = [interval.shift_ms(interval.open_ms(T0), step) for step in range(3)]
    rows = [[at, "1", "2", "1", "2", "0", interval.close_ms(at), "0", 0, "0", "0", "0"] for at in opens]
    found = parse_klines(orjson.dumps(rows), BTC, interval, start_ms=None, now_ms=opens[-1])
    assert found.closed.open_time_ms.tolist() == opens[:-1]
    assert found.refused_open_ms == ()
    rows[0][0] = opens[0] + 1000
    if interval is not Interval.S1:
        assert parse_klines(orjson.dumps(rows), BTC, interval, start_ms=None, now_ms=opens[-1]).refused_open_ms


@pytest.mark.shared
def test_recorded_answers_of_the_real_exchange_are_understood() -> None:
    folder = recorded_dir() / "rest"
    rows = orjson.loads((folder / "klines_response.json").read_bytes())
    body = orjson.dumps(rows if isinstance(rows, list) else rows["result"])
    found = parse_klines(body, BTC, Interval.M1, start_ms=None, now_ms=2_000_000_000_000)
    assert found.rows > 0
    assert np.isfinite(found.closed.close).all() or found.refused_open_ms


@pytest.mark.shared
def test_a_recorded_exchange_info_is_understood() -> None:
    body = (recorded_dir() / "exchange_info" / "spot_mainnet_20260621_12sym.json").read_bytes()
    markets, weight_limit = parse_exchange_info(body)
    assert len(markets) == 12
    assert all(market.base and market.quote and market.status for market in markets)
    assert weight_limit is None or weight_limit >= 1200


def test_exchange_info_is_read_with_words_it_does_not_know() -> None:
    body = orjson.dumps({
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
        "symbols": [{
            "symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "status": "CANCEL_ONLY",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00"},
            ],
        }],
    })  # fmt: skip
    (market,), limit = parse_exchange_info(body)
    assert (market.status, market.trading, market.tick_size, market.step_size) == (
        "CANCEL_ONLY",
        False,
        Decimal("0.01"),
        None,
    )
    assert limit == 6000


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"symbols":[{"symbol":"X"}]}', b'{"symbols":[7]}'])
def test_an_odd_exchange_info_is_bad_data(body: bytes) -> None:
    with pytest.raises(BadData, match="exchangeInfo"):
        parse_exchange_info(body)


def ticker_row(**changed: Any) -> dict[str, Any]:
    given = {"symbol": "BTCUSDT", "closeTime": 5, "lastPrice": "2", "openPrice": "1", "highPrice": "3", "lowPrice": "1"}
    return {**given, "volume": "10", "quoteVolume": "20", **changed}


def test_a_ticker_comes_from_the_wire_names() -> None:
    ticker = parse_tickers(orjson.dumps([ticker_row()]))[BTC]
    assert (ticker.last_price, ticker.open_24h, ticker.high_24h, ticker.low_24h) == (2.0, 1.0, 3.0, 1.0)
    assert (ticker.volume_24h, ticker.quote_volume_24h, ticker.at_ms) == (10.0, 20.0, 5)


def test_a_ticker_without_sense_is_left_out_of_the_answer() -> None:
    found = parse_tickers(orjson.dumps([ticker_row(), ticker_row(symbol="ETHUSDT", lastPrice="-1")]))
    assert list(found) == [BTC]


@pytest.mark.parametrize("body", [b"{}", b"[1]", orjson.dumps([ticker_row(lastPrice="x")])])
def test_tickers_that_are_none_are_bad_data(body: bytes) -> None:
    with pytest.raises(BadData):
        parse_tickers(body)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"serverTime":"1"}', b'{"serverTime":true}', b'{"serverTime":-1}'])
def test_a_time_that_is_none_is_bad_data(body: bytes) -> None:
    with pytest.raises(BadData):
        parse_server_time(body)


def test_a_ping_is_answered_by_an_empty_object_alone() -> None:
    parse_ping(b"{}")
    with pytest.raises(BadData):
        parse_ping(b'{"hello":1}')


def kline_event(**changed: Any) -> dict[str, Any]:
    kline = {
        "t": T0, "T": T0 + 59_999, "i": "1m", "o": "1", "h": "3", "l": "1", "c": "2", "v": "5", "q": "9", "n": 4,
        "V": "2", "Q": "4", "x": True,
    }  # fmt: skip
    return {"e": "kline", "E": T0 + 60_001, "s": "BTCUSDT", "k": {**kline, **changed}}


def test_a_kline_event_closes_by_the_exchanges_word() -> None:
    symbol, interval, candle, event_ms = parse_kline_event(kline_event())
    assert (symbol, interval, event_ms, candle.closed) == (BTC, Interval.M1, T0 + 60_001, True)
    assert candle.floats() == (1.0, 3.0, 1.0, 2.0, 5.0, 9.0, 4.0, 2.0, 4.0)


@pytest.mark.parametrize(
    "changed",
    [{"o": "NaN"}, {"h": "0.5"}, {"t": T0 + 1}, {"t": "x"}, {"i": "7m"}, {"x": 1}, {"v": "-1"}, {"c": None}],
)
def test_a_kline_event_without_sense_is_bad_data(changed: dict[str, Any]) -> None:
    with pytest.raises(BadData, match="makes no sense"):
        parse_kline_event(kline_event(**changed))


_NUMBER = st.sampled_from([0.0, -1.0, 1.0, 2.0, 2.5, 3.0, math.nan, math.inf, -math.inf])


@given(st.lists(_NUMBER, min_size=9, max_size=9))
def test_one_candle_is_judged_as_a_table_of_them_is(floats: list[float]) -> None:
    assert is_sound(floats) == sound_prices(np.array(floats).reshape(-1, 1))[0]


def test_a_mini_ticker_event_is_a_ticker() -> None:
    event = {"e": "24hrMiniTicker", "E": 7, "s": "BTCUSDT", "c": "2", "o": "1", "h": "3", "l": "1", "v": "4", "q": "5"}
    assert parse_mini_ticker(event).change_24h_fraction == pytest.approx(1.0)
    with pytest.raises(BadData):
        parse_mini_ticker({**event, "c": str(math.inf)})
