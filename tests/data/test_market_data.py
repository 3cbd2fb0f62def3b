"""Market data over a real store, cache, gateway and exchange: one call on a miss, none on a hit, age when down."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.candle_store import CandleStore
from data.candles import Candles
from data.freshness import freshness_of
from data.interval import Interval
from data.kline_page import KlinePage
from data.market_data import MarketData
from data.symbol import Symbol
from data.ticker import Ticker
from tests.support.exchange import RunningExchange
from tests.support.market import BTC, ETH, market_over, running_gateway
from tests.support.market_at_noon import M1, NOON, candle, clock, exchange, gateway, klines_asked, market
from utils.clock import ManualClock
from utils.errors import NotFound, StoreError

__all__ = ["clock", "exchange", "gateway", "market"]


def test_prime_fills_every_series_and_the_readers_ask_nobody(exchange: RunningExchange, market: MarketData) -> None:
    told: list[tuple[int, int, str]] = []
    market.prime(lambda done, total, words: told.append((done, total, words)))
    assert told == [(1, 2, "BTCUSDT 1m"), (2, 2, "ETHUSDT 1m")]
    exchange.journal.clear()
    for symbol in (BTC, ETH):
        candles = market.candles(symbol, M1)
        assert len(candles) == 100
        assert candles.last_open_time_ms == NOON - M1.ms
        forming, ticker = market.forming(symbol, M1), market.ticker(symbol)
        assert forming is not None
        assert ticker is not None
        assert forming.open_time_ms == NOON
        assert market.freshness(symbol, M1).state == "live"
    assert len(exchange.journal) == 0
    assert market.status().with_candles == 2


def test_a_second_start_asks_only_for_what_is_missing(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock, tmp_path: Path
) -> None:
    with market_over(gateway, tmp_path) as first:
        first.prime()
    clock.tick(7 * 60)
    exchange.journal.clear()
    with market_over(gateway, tmp_path) as second:
        second.prime()
        assert second.candles(BTC, M1).holes() == []
    (asked,) = exchange.journal.entries("klines")
    assert asked.param("startTime") == str(NOON)
    exchange.journal.clear()
    with market_over(gateway, tmp_path) as third:
        third.prime()
    assert klines_asked(exchange) == 0


def test_a_start_with_a_full_store_asks_for_no_candle_by_a_clock_that_is_years_off(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock, tmp_path: Path
) -> None:
    """It asks for the time first, while the store is read: by its own clock everything would be missing."""
    with market_over(gateway, tmp_path) as first:
        first.prime()
    exchange.journal.clear()
    off = ManualClock(now_ms=clock.now_ms() + 2 * 366 * 86_400_000)
    with running_gateway(exchange, clock=off) as other, market_over(other, tmp_path) as second:
        looked_for: list[str] = []
        second._store.holes = lambda *_: looked_for.append("holes") or []  # type: ignore[method-assign,func-returns-value]
        second._store.missing = lambda *_: looked_for.append("missing") or []  # type: ignore[method-assign,func-returns-value]
        second.ask_first()
        second.prime()
        assert looked_for == []
        assert second.ticker(BTC) is not None
        assert second.freshness(BTC, M1).state != "empty"
        paths = [entry.path.removeprefix("/api/v3/") for entry in exchange.journal]
    assert paths == ["time"] * 5 + ["ticker/24hr"]


def test_a_start_whose_first_questions_failed_asks_again(
    exchange: RunningExchange, gateway: BinanceGateway, tmp_path: Path
) -> None:
    exchange.faults.add("status", "/api/v3/ticker/24hr", times=3, status=503)
    with market_over(gateway, tmp_path) as market:
        market.prime()
        assert market.ticker(BTC) is not None
        assert len(market.candles(BTC, M1)) == 100


def test_a_real_hole_is_recorded_and_never_asked_for_again(
    exchange: RunningExchange, gateway: BinanceGateway, tmp_path: Path
) -> None:
    exchange.faults.add("gap", "/api/v3/klines", count=3)
    with market_over(gateway, tmp_path) as market:
        market.prime()
        ((start_ms, end_ms),) = market.candles(BTC, M1).holes()
        assert end_ms - start_ms == 3 * M1.ms
    exchange.journal.clear()
    with market_over(gateway, tmp_path) as again:
        again.prime()
        assert again.candles(BTC, M1).holes() == [(start_ms, end_ms)]
    assert klines_asked(exchange) == 0


def test_what_memory_holds_is_not_looked_for_in_the_store_unless_the_store_may_lack_it(
    market: MarketData, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.prime()
    looked: list[tuple[int, int]] = []

    def look(_self: CandleStore, _symbol: Symbol, _interval: Interval, *bounds: int) -> list[tuple[int, int]]:
        looked.append((bounds[0], bounds[1]))
        return looked

    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(CandleStore, "missing", look)
    assert market.missing(BTC, M1) == []
    clock.tick(30)
    assert market.missing(BTC, M1) == [(NOON, NOON + M1.ms)]
    with monkeypatch.context() as halted:
        halted.setattr(CandleStore, "holes", lambda *_: [(NOON, NOON + M1.ms)])
        assert market.missing(BTC, M1) == [], "a hole is not asked for again"
    monkeypatch.setattr(CandleStore, "write", refuse)
    market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON, closed=True)]))
    assert market.candles(BTC, M1).last_open_time_ms == NOON
    assert looked == []
    assert market.missing(BTC, M1) == looked == [(NOON - 99 * M1.ms, NOON + M1.ms)]
    clock.tick(60)
    assert market.missing(ETH, M1) == [(NOON, NOON + 2 * M1.ms)], "past its time it is known all the same"
    assert len(looked) == 1


def test_a_candle_is_read_again_only_when_it_can_have_changed(
    exchange: RunningExchange, market: MarketData, clock: ManualClock
) -> None:
    market.prime()
    exchange.journal.clear()
    before = market.candles(BTC, M1)
    clock.tick(30 + 2)
    assert market.candles(BTC, M1) is before
    clock.tick(2)
    after = market.candles(BTC, M1)
    assert after.last_open_time_ms == NOON
    assert klines_asked(exchange) == 1
    assert market.candles(BTC, M1) is after
    assert klines_asked(exchange) == 1


def test_a_market_that_is_halted_is_asked_for_ever_more_rarely(
    exchange: RunningExchange, market: MarketData, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.prime()
    asked_s: list[float] = []

    def nothing_new(*_: object, **__: object) -> KlinePage:
        asked_s.append(clock.monotonic())
        return KlinePage(Candles.empty(BTC, M1), None, (), None)

    clock.tick(60)
    with monkeypatch.context() as halted:
        halted.setattr(BinanceGateway, "klines", nothing_new)
        for _ in range(400):
            clock.tick(3)
            market.candles(BTC, M1)
    pauses = [after - before for before, after in pairwise(asked_s)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 15
    assert 300 <= pauses[-1] < 310
    clock.tick(300)
    assert market.candles(BTC, M1).last_open_time_ms == market.newest_closed_ms(M1)
    assert klines_asked(exchange) == 3


def test_of_a_market_that_was_halted_long_ago_the_first_reader_has_the_old_candles(
    exchange: RunningExchange, market: MarketData
) -> None:
    market.on_page(BTC, M1, KlinePage(Candles.empty(BTC, M1), None, (), None), NOON - 10 * M1.ms)
    assert klines_asked(exchange) == 0
    assert len(market.candles(BTC, M1)) == 100
    assert klines_asked(exchange) == 1


@pytest.mark.parametrize("cached", [True, False])
def test_a_burst_of_readers_costs_one_call(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock, tmp_path: Path, cached: bool
) -> None:
    with market_over(gateway, tmp_path, cached=cached) as market:
        market.prime()
        clock.tick(60)
        exchange.journal.clear()
        with ThreadPoolExecutor(16) as threads:
            found = set(threads.map(lambda _: market.candles(BTC, M1).last_open_time_ms, range(200)))
        assert klines_asked(exchange) == 1
        assert NOON in found


def test_a_close_replaces_the_candles_as_a_whole(market: MarketData, clock: ManualClock) -> None:
    market.prime()
    before = market.candles(BTC, M1)
    digest = before.digest
    clock.tick(30)
    told: list[tuple[Symbol, Interval, int]] = []
    market.listen(lambda symbol, interval, candles: told.append((symbol, interval, len(candles))))
    market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON, closed=True)]))
    after = market.candles(BTC, M1)
    assert (len(after), after.last_open_time_ms) == (100, NOON)
    assert before.digest == digest
    assert told == [(BTC, M1, 1)]
    market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON, closed=True)]))
    assert told == [(BTC, M1, 1)], "what is known already is no close"
    assert market.candles(BTC, M1).digest == after.digest


def test_a_listener_that_fails_keeps_nothing_from_the_others(
    market: MarketData, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    market.prime()
    told: list[Symbol] = []

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of the listener")

    market.listen(broken)
    market.listen(lambda symbol, *_: told.append(symbol))
    clock.tick(30)
    market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON, closed=True)]))
    assert told == [BTC]
    assert "a listener failed" in caplog.text


def test_the_version_changes_exactly_with_candles_forming_and_ticker(market: MarketData, clock: ManualClock) -> None:
    market.prime()
    versions, all_together = [market.version(BTC, M1)], {market.changes(M1)}

    def now() -> str:
        versions.append(market.version(BTC, M1))
        new = versions[-1] != versions[-2]
        assert new == (market.changes(M1) not in all_together)
        all_together.add(market.changes(M1))
        return "new" if new else "same"

    assert now() == "same"
    market.on_forming(BTC, M1, candle(NOON, 101.0), NOON + 31_000)
    assert now() == "new"
    market.on_forming(BTC, M1, candle(NOON, 101.0), NOON + 32_000)
    assert now() == "same", "told again"
    market.on_forming(BTC, M1, candle(NOON, 99.0), NOON + 30_500)
    assert now() == "same", "an older word"
    ticker = market.ticker(BTC)
    assert ticker is not None
    market.on_ticker(dataclasses.replace(ticker, at_ms=ticker.at_ms + 1))
    assert now() == "same", "another time, the same prices"
    market.on_ticker(dataclasses.replace(ticker, at_ms=ticker.at_ms + 2, last_price=1.0))
    assert now() == "new"
    market.on_ticker(dataclasses.replace(ticker, at_ms=ticker.at_ms - 5, last_price=2.0))
    assert now() == "same", "an older ticker"
    clock.tick(30)
    market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON, closed=True)]))
    assert now() == "new"
    of_both = market.changes(M1)
    market.on_closed(Candles.from_candles(ETH, M1, [candle(NOON, closed=True)]))
    assert market.changes(M1) != of_both
    versions.append(market.version(BTC, M1))
    assert versions[-1] == versions[-2], "another market"
    assert len(set(versions)) == 4


def test_a_forming_candle_that_has_closed_is_not_forming(market: MarketData, clock: ManualClock) -> None:
    market.prime()
    clock.tick(30)
    market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON, closed=True)]))
    assert market.forming(BTC, M1) is None
    market.on_forming(BTC, M1, candle(NOON), NOON + 61_000)
    assert market.forming(BTC, M1) is None


def test_a_forming_candle_of_long_ago_is_not_shown_as_forming(market: MarketData, clock: ManualClock) -> None:
    market.prime()
    assert market.forming(BTC, M1) is not None
    clock.tick(95)
    assert market.forming(BTC, M1) is None


def test_what_is_not_followed_is_not_found(market: MarketData) -> None:
    with pytest.raises(NotFound, match="followed are BTCUSDT, ETHUSDT at 1m"):
        market.candles(Symbol("XRPUSDT"), M1)
    with pytest.raises(NotFound):
        market.version(BTC, Interval.H1)
    market.on_ticker(Ticker(Symbol("XRPUSDT"), 1, 1, 1, 1, 1, 1, 1))
    assert market.ticker(Symbol("XRPUSDT")) is None


def test_readers_and_writers_at_once_see_only_whole_values(market: MarketData, clock: ManualClock) -> None:
    market.prime()
    stop = threading.Event()
    torn: list[str] = []

    def read() -> None:
        while not stop.is_set():
            candles = market.candles(BTC, M1)
            if len(candles) != 100 or candles.holes():
                torn.append(repr(candles))
            market.version(BTC, M1)
            market.freshness(BTC, M1)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for step in range(60):
        clock.tick(60)
        market.on_closed(Candles.from_candles(BTC, M1, [candle(NOON + step * M1.ms, closed=True)]))
    stop.set()
    for reader in readers:
        reader.join(90)
    assert torn == []
    assert market.candles(BTC, M1).last_open_time_ms == NOON + 59 * M1.ms


@pytest.mark.parametrize(
    ("age_s", "missing", "state"),
    [(0, False, "live"), (10, False, "live"), (10.1, False, "late"), (1, True, "late"), (60, False, "stale")],
)
def test_freshness_in_words(age_s: float, missing: bool, state: str) -> None:
    found = freshness_of(NOON, NOON + round(age_s * 1000), closes_missing=missing)
    assert (found.state, found.age_s) == (state, age_s)
