"""Many threads on one gateway: everyone gets the answer to their own question; history comes page by page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.market import BTC, no_thread_left, running_gateway, wait_until
from utils.clock import ManualClock
from utils.errors import ExchangeUnavailable, InvalidInput

NOON = 1_700_049_600_000


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock(NOON + 30_000)


@pytest.fixture(scope="module")
def exchange(clock: ManualClock) -> Iterator[RunningExchange]:
    with running_exchange(clock=clock) as running:
        yield running


@pytest.fixture
def gateway(exchange: RunningExchange, clock: ManualClock) -> Iterator[BinanceGateway]:
    exchange.faults.clear()
    exchange.journal.clear()
    clock.tick(60)
    with running_gateway(exchange, clock=clock) as made:
        yield made


def test_sixteen_threads_each_get_their_own_market(exchange: RunningExchange, gateway: BinanceGateway) -> None:
    symbols = [Symbol(name) for name in exchange.market.listings][:16]
    expected = {symbol: gateway.klines(symbol, Interval.H1, limit=5).closed.digest for symbol in symbols}
    assert len(set(expected.values())) == 16

    def wrong_answers(symbol: Symbol) -> int:
        return sum(gateway.klines(symbol, Interval.H1, limit=5).closed.digest != expected[symbol] for _ in range(25))

    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as threads:
            assert sum(threads.map(wrong_answers, symbols)) == 0
    finally:
        sys.setswitchinterval(switch_s)


def test_history_comes_in_pages_without_a_gap_or_a_row_twice(
    exchange: RunningExchange, gateway: BinanceGateway
) -> None:
    start_ms = NOON - 2500 * Interval.M1.ms
    pages = list(gateway.history(BTC, Interval.M1, start_ms, NOON))
    assert [len(page) for page in pages] == [1000, 1000, 500]
    times = [int(time) for page in pages for time in page.open_time_ms]
    assert times == list(range(start_ms, NOON, Interval.M1.ms))
    asked = exchange.journal.entries("klines")
    assert len(asked) == 3
    assert all(entry.param("limit") == "1000" and str(entry.param("startTime")).isdecimal() for entry in asked)


def test_history_is_resumed_where_it_broke(exchange: RunningExchange, gateway: BinanceGateway) -> None:
    start_ms = NOON - 1500 * Interval.M1.ms
    exchange.faults.add("status", "/api/v3/klines", times=3, skip=1, status=500)
    got: list[Candles] = []
    with pytest.raises(ExchangeUnavailable):
        got.extend(gateway.history(BTC, Interval.M1, start_ms, NOON))
    pages = gateway.history(BTC, Interval.M1, start_ms, NOON)
    first = next(pages)
    rest = list(gateway.history(BTC, Interval.M1, first.last_open_time_ms + Interval.M1.ms, NOON))
    assert len(first) + sum(map(len, rest)) == 1500


def test_history_up_to_now_leaves_the_forming_candle_out(gateway: BinanceGateway) -> None:
    now_ms = gateway.clock.now_ms()
    (page,) = gateway.history(BTC, Interval.M1, now_ms - 10 * Interval.M1.ms, now_ms + Interval.M1.ms)
    assert page.last_close_time_ms < now_ms


def test_a_range_before_the_market_existed_is_empty(gateway: BinanceGateway) -> None:
    assert list(gateway.history(BTC, Interval.D1, 0, 86_400_000)) == []


def test_a_limit_that_does_not_fit_is_refused_before_anything_is_sent(
    exchange: RunningExchange, gateway: BinanceGateway
) -> None:
    for limit in (0, 1001, -1):
        with pytest.raises(InvalidInput, match="1 to 1000"):
            gateway.klines(BTC, Interval.M1, limit=limit)
    assert len(exchange.journal) == 0


@pytest.mark.parametrize("skew_s", [-10, 10])
def test_the_exchanges_clock_decides_what_is_closed(skew_s: int) -> None:
    """Ours is ten seconds off; the candle that closed by the exchange's clock a moment ago is closed, no other."""
    theirs = ManualClock(NOON + 1)
    with (
        running_exchange(clock=theirs) as exchange,
        running_gateway(exchange, clock=ManualClock(NOON + 1 + skew_s * 1000)) as gateway,
    ):
        page = gateway.klines(BTC, Interval.M1, limit=3)
        assert page.closed.last_close_time_ms == NOON - 1
        assert gateway.status().clock_offset_ms == -skew_s * 1000
        assert gateway.clock.now_ms() == NOON + 1


def test_a_candle_that_closes_while_the_answer_is_on_its_way_is_not_whole_and_not_closed() -> None:
    clock = ManualClock(NOON + 30_000)
    with running_exchange(clock=clock) as exchange, running_gateway(exchange, clock=clock) as gateway:
        gateway.klines(BTC, Interval.M1, limit=1)
        exchange.journal.clear()
        exchange.faults.add("drip_body", "/api/v3/klines", delay_s=0.001)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(gateway.klines, BTC, Interval.M1, limit=2)
            wait_until(lambda: exchange.journal.entries("klines"))
            clock.tick(40)
            page = answer.result()
        assert page.closed.last_open_time_ms == NOON - Interval.M1.ms
        assert page.forming is not None
        assert page.forming.open_time_ms == page.answered_to_ms == NOON
        with running_gateway(exchange, clock=clock) as later:
            after = later.klines(BTC, Interval.M1, limit=2)
        assert after.closed.last_open_time_ms == NOON
        assert after.closed.row(-1).volume > page.forming.volume


def test_a_time_heard_from_the_exchange_puts_a_slow_clock_forward_never_back() -> None:
    gateway = BinanceGateway(clock=ManualClock(NOON))
    gateway.heard(NOON + 700)
    assert gateway.clock.now_ms() == NOON + 700
    gateway.heard(NOON)
    assert gateway.clock.now_ms() == NOON + 700


def test_exchange_time_is_measured_again_and_again() -> None:
    theirs, ours = ManualClock(NOON), ManualClock(NOON)
    with (
        running_exchange(clock=theirs) as exchange,
        running_gateway(exchange, clock=ours, time_every_s=0.05) as gateway,
    ):
        gateway.klines(BTC, Interval.M1, limit=1)
        theirs.set_wall(NOON + 5_000)
        for _ in range(200):
            if gateway.clock.now_ms() == NOON + 5_000:
                break
            gateway.ping()
        else:
            pytest.fail("the step of the exchange's clock was not noticed")


def test_starting_costs_the_caller_nothing_and_closing_leaves_nothing(exchange: RunningExchange) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("no /proc here")
    before = len(os.listdir(open_files))  # noqa: PTH208 - counting entries of /proc, whose links vanish while read
    with no_thread_left():
        for _ in range(3):
            with running_gateway(exchange) as gateway, ThreadPoolExecutor(8) as threads:
                list(threads.map(lambda _, asked=gateway: asked.ping(), range(16)))
    wait_until(lambda: len(os.listdir(open_files)) <= before + 1, what="file descriptors left open")  # noqa: PTH208
