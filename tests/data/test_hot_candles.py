"""Hot candles: what a reader does between the telling of a close and its storing leaves no hole in memory."""

from __future__ import annotations

import numpy as np
import pytest

from data.candles import Candles
from data.kline_page import KlinePage
from data.market_data import MarketData
from tests.support.exchange import RunningExchange
from tests.support.market import BTC
from tests.support.market_at_noon import M1, NOON, candle, clock, exchange, gateway, klines_asked, market

__all__ = ["clock", "exchange", "gateway", "market"]


def closed(open_time_ms: int) -> Candles:
    return Candles.from_candles(BTC, M1, [candle(open_time_ms, closed=True)])


@pytest.fixture
def trimmed(market: MarketData) -> MarketData:
    """A market whose candles are in the store alone."""
    market.prime()
    forget(market)
    return market


def forget(market: MarketData) -> None:
    market._hot._cache.drop(market._followed(BTC, M1).key)


def holes(market: MarketData) -> list[int]:
    times = market.candles(BTC, M1).open_time_ms
    return [int(time) for time in times[:-1][np.diff(times) != M1.ms]]


def test_a_close_that_is_stored_after_a_reader_has_read_the_store_is_in_memory(trimmed: MarketData) -> None:
    told = trimmed.on_told([closed(NOON)])
    assert trimmed.candles(BTC, M1).last_open_time_ms == NOON - M1.ms
    trimmed.keep(told)
    assert trimmed.candles(BTC, M1).last_open_time_ms == NOON
    trimmed.keep(trimmed.on_told([closed(NOON + M1.ms)]))
    assert holes(trimmed) == []


def test_an_answer_that_the_store_has_already_fills_what_memory_lacks(
    exchange: RunningExchange, trimmed: MarketData
) -> None:
    trimmed.candles(BTC, M1)
    trimmed._store.write(closed(NOON))
    trimmed.on_told([closed(NOON + M1.ms)])
    assert holes(trimmed) == [NOON - M1.ms]
    asked = klines_asked(exchange)
    trimmed.on_page(BTC, M1, KlinePage(closed(NOON), None, answered_to_ms=NOON + M1.ms), NOON)
    assert holes(trimmed) == []
    assert klines_asked(exchange) == asked


def test_a_candle_that_was_told_before_our_clock_knew_is_read_from_the_store(market: MarketData) -> None:
    """A replay at 200 times the pace is minutes ahead of our idea of its clock."""
    market.prime()
    market.keep(market.on_told([closed(NOON), closed(NOON + M1.ms)]))
    forget(market)
    assert market.candles(BTC, M1).last_open_time_ms == NOON + M1.ms
    market.keep(market.on_told([closed(NOON + 2 * M1.ms)]))
    assert holes(market) == []
