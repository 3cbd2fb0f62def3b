"""Market data in trouble: nothing known, an exchange that hangs, fails, knows a market not or sends bad data."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.candles import Candles
from data.interval import Interval
from data.kline_page import KlinePage
from data.market_data import MarketData
from data.symbol import Symbol
from tests.support.exchange import RunningExchange
from tests.support.in_time import in_time
from tests.support.market import BTC, ETH, market_over, running_gateway
from tests.support.market_at_noon import M1, NOON, clock, exchange, gateway, market
from utils.clock import ManualClock
from utils.errors import ExchangeUnavailable, NotFound, NotReady, Rejected

__all__ = ["clock", "exchange", "gateway", "market"]


def test_nothing_known_and_no_exchange_says_what_is_awaited_and_does_not_keep_the_reader(tmp_path: Path) -> None:
    with running_gateway() as gateway, market_over(gateway, tmp_path, symbols=(BTC, ETH)) as market:
        with pytest.raises(NotReady, match=r"no candle of BTCUSDT 1m is known yet; .*refused"):
            market.candles(BTC, M1)

        def refused() -> None:
            for symbol in (BTC, ETH) * 5:
                with pytest.raises(NotReady):
                    market.candles(symbol, M1)

        in_time(refused, 0.5)
        assert market.freshness(BTC, M1).state == "empty"
        assert market.freshness(BTC, M1).age_s is None
        with pytest.raises(ExchangeUnavailable):
            market.prime()


def test_an_exchange_that_hangs_costs_a_reader_little_once_and_the_next_ones_nothing(
    exchange: RunningExchange, market: MarketData, clock: ManualClock
) -> None:
    market.prime()
    exchange.faults.add("hang", "/api/*", times=None)
    clock.tick(600)
    began = time.monotonic()
    stale = market.candles(BTC, M1)
    assert time.monotonic() - began < 2.5
    with ThreadPoolExecutor(8) as threads:
        in_time(lambda: list(threads.map(lambda i: market.candles((BTC, ETH)[i % 2], M1), range(40))), 1.0)
    assert stale.last_open_time_ms == NOON - M1.ms
    freshness = market.freshness(BTC, M1)
    assert (freshness.state, freshness.age_s) == ("stale", 600)


def test_after_an_outage_the_reader_sees_new_candles_again(
    exchange: RunningExchange, market: MarketData, clock: ManualClock
) -> None:
    market.prime()
    exchange.faults.add("status", "/api/*", times=None, status=503)
    clock.tick(300)
    assert market.candles(BTC, M1).last_open_time_ms == NOON - M1.ms
    exchange.faults.clear()
    clock.tick(6)
    assert market.candles(BTC, M1).last_open_time_ms == NOON + 4 * M1.ms
    assert market.freshness(BTC, M1).state == "live"


def test_one_market_that_the_exchange_does_not_know_leaves_the_others_alone(
    gateway: BinanceGateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = Symbol("NOSUCHUSDT")
    with market_over(gateway, tmp_path, symbols=(unknown, BTC), intervals=(M1, Interval.H1)) as market:
        market.prime()
        market.prime()
        said = [record.getMessage() for record in caplog.records if unknown in record.getMessage()]
        assert len(said) == 1, "once, whatever the number of intervals and of questions"
        assert "look for a typo in SYMBOLS" in said[0]
        assert (market.unknown, market.known) == ((unknown,), (BTC,))
        assert len(market.candles(BTC, M1)) == 100
        assert market.ticker(BTC) is not None
        assert list(market.problems()) == [unknown]
        assert "-1121" in market.problems()[unknown]
        before = market.status().reader_calls
        for _ in range(3):
            with pytest.raises(NotFound, match=r"does not know NOSUCHUSDT \(-1121: Invalid symbol\.\)"):
                market.candles(unknown, M1)
        assert market.status().reader_calls <= before + 1


def test_a_market_that_was_refused_is_taken_back_when_it_tells_of_itself(market: MarketData) -> None:
    refused = Rejected("the exchange refused klines", code=-1121, msg="Invalid symbol.")
    market.on_refused(BTC, M1, refused)
    before = market.changes(M1)
    assert list(market.unknown) == [BTC]
    market.prime()
    assert not market.unknown
    assert not market.problems()
    assert market.changes(M1) != before


def test_a_market_of_which_the_exchange_has_nothing_yet_says_so(market: MarketData) -> None:
    market.on_page(BTC, M1, KlinePage(Candles.empty(BTC, M1), None), NOON - M1.ms)
    assert market.problem(BTC, M1) == "the exchange has no closed candle of BTCUSDT 1m yet"
    assert market.unknown == ()


def test_bad_data_never_reaches_the_store(exchange: RunningExchange, market: MarketData) -> None:
    exchange.faults.add("nan", "/api/v3/klines", times=None)
    market.prime()
    assert market.status().with_candles == 0
    assert "did not answer JSON" in market.problems()["BTCUSDT"]
    exchange.faults.clear()
    market.prime()
    assert market.status().with_candles == 2
    assert market.problems() == {}
