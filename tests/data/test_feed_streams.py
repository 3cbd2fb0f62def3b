"""The feed against an exchange whose streams break in every way: nothing is lost, told twice, or left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.feed_status import FeedPaces
from data.interval import Interval
from data.market_data import MarketData
from data.market_feed import MarketFeed
from data.symbol import Symbol
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.market import BTC, ETH, market_over, no_thread_left, running_gateway, wait_until
from utils.clock import ManualClock

M1 = Interval.M1
NOON = 1_700_049_600_000
BTC_KLINES = "btcusdt@kline_1m"
CALM = FeedPaces(silence_s=30, first_pause_s=0.05, longest_pause_s=0.2, check_s=0.02, poll_s=1)


@dataclass
class Scene:
    """An exchange whose clock the test moves, and everything of ours that listens to it."""

    exchange: RunningExchange
    gateway: BinanceGateway
    market: MarketData
    feed: MarketFeed
    clock: ManualClock

    def minute(self) -> int:
        """A candle closes, half a second ago now; its open time."""
        opened = M1.open_ms(self.clock.now_ms())
        self.clock.tick((opened + M1.ms + 500 - self.clock.now_ms()) / 1000)
        return opened

    def wait(self, happened: Callable[[], object], what: str = "") -> None:
        """Waits while the exchange's time goes on, ten times as fast as ours."""

        def tick_and_look() -> object:
            self.clock.tick(0.05)
            return happened()

        wait_until(tick_and_look, what=what or str(self.feed.status()))

    def has(self, open_ms: int, symbol: Symbol = BTC) -> Callable[[], bool]:
        return lambda: (self.market.newest_known_ms(symbol, M1) or 0) >= open_ms

    def state(self) -> str:
        state = self.feed.state
        return state if state == self.feed.status().state else "changing"

    def wait_for_state(self, state: str) -> None:
        self.wait(lambda: self.state() == state)

    def wait_for_close(self, open_ms: int) -> None:
        """By whatever way, while time goes on."""
        for symbol in self.market.symbols:
            self.wait(self.has(open_ms, symbol))

    def wait_for_streamed_close(self, open_ms: int) -> None:
        """At once, while time stands still: too early for a question over REST."""
        for symbol in self.market.symbols:
            wait_until(self.has(open_ms, symbol), what=f"{symbol} {open_ms} was not told: {self.feed.status()}")

    def complete(self, symbol: Symbol) -> bool:
        return not self.market.candles(symbol, M1).holes()

    def assert_true_to_the_exchange(self) -> None:
        """Every candle kept is the exchange's own, and none is missing once what was missed has been asked for."""
        for symbol in self.market.symbols:
            self.wait(partial(self.complete, symbol))
            ours = self.market.candles(symbol, M1)
            start_ms, end_ms = int(ours.open_time_ms[0]), ours.last_open_time_ms + M1.ms
            (theirs,) = self.gateway.history(symbol, M1, start_ms, end_ms)
            assert ours.digest == theirs.digest
            assert ours.holes() == []


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a scene, started and primed unless asked otherwise; everything is closed in order, and nothing stays."""
    with no_thread_left(), ExitStack() as stack:

        def make(paces: FeedPaces = CALM, *, start: bool = True) -> Scene:
            clock = ManualClock(NOON + 30_000)
            exchange = stack.enter_context(running_exchange(clock=clock))
            gateway = stack.enter_context(running_gateway(exchange, clock=clock))
            market = stack.enter_context(market_over(gateway, tmp_path, symbols=(BTC, ETH)))
            feed = MarketFeed(gateway=gateway, market=market, paces=paces)
            stack.callback(feed.close)
            scene = Scene(exchange, gateway, market, feed, clock)
            if start:
                feed.start()
                market.prime()
                scene.wait_for_state("live")
                wait_until(lambda: feed.status().catching_up == 0)
                exchange.journal.clear()
            return scene

        yield make


def test_closes_and_tickers_come_by_stream_without_a_question(build: Callable[..., Scene]) -> None:
    scene = build()
    before = scene.market.ticker(BTC)
    for _ in range(5):
        scene.wait_for_streamed_close(scene.minute())
    assert scene.exchange.journal.entries("klines") == []
    scene.wait(lambda: scene.market.ticker(BTC) != before)
    scene.wait(lambda: scene.market.forming(BTC, M1) is not None)
    assert scene.market.freshness(BTC, M1).state == "live"
    status = scene.feed.status()
    assert (status.streams, status.connections, status.connected) == (4, 1, 1)
    assert status.text == "The streams are live."
    scene.assert_true_to_the_exchange()


def test_a_start_with_everything_stored_asks_for_no_candle(build: Callable[..., Scene]) -> None:
    scene = build(start=False)
    scene.market.prime()
    scene.exchange.journal.clear()
    scene.feed.start()
    assert scene.feed.status().state == "starting"
    scene.wait_for_state("live")
    wait_until(lambda: scene.feed.status().catching_up == 0)
    assert scene.exchange.journal.entries("klines") == []


def test_what_happened_while_the_connection_was_cut_is_filled_in(build: Callable[..., Scene]) -> None:
    scene = build()
    scene.exchange.faults.add("status", "/stream", times=3, status=503)
    assert scene.exchange.drop_streams() == 1
    wait_until(lambda: scene.feed.status().connected == 0)
    for _ in range(7):
        newest = scene.minute()
    scene.wait_for_state("live")
    scene.wait_for_close(newest)
    status = scene.feed.status()
    assert status.reconnects == 1
    assert status.backfilled >= 2 * 7
    assert "cut" in status.last_error or "503" in status.last_error
    scene.assert_true_to_the_exchange()


@pytest.mark.parametrize("code", [1000, 1001, 1008])
def test_a_polite_end_is_an_end_too(build: Callable[..., Scene], code: int) -> None:
    scene = build()
    scene.exchange.faults.add("ws_close", BTC_KLINES, code=code)
    scene.minute()
    scene.wait(lambda: scene.feed.status().reconnects == 1)
    scene.wait_for_state("live")
    scene.wait_for_close(scene.minute())
    scene.assert_true_to_the_exchange()


def test_a_silent_connection_is_given_up_though_tcp_lives(build: Callable[..., Scene]) -> None:
    scene = build(FeedPaces(silence_s=0.4, first_pause_s=0.05, check_s=0.02, poll_s=1))
    scene.exchange.faults.add("ws_silent", "*")
    newest = scene.minute()
    scene.wait(lambda: scene.feed.status().reconnects >= 1)
    scene.wait_for_close(newest)
    assert "said nothing for 0.4 s" in scene.feed.status().last_error
    scene.assert_true_to_the_exchange()


def test_duplicates_and_old_events_change_nothing(build: Callable[..., Scene]) -> None:
    scene = build()
    told: list[int] = []
    scene.market.listen(lambda symbol, _, candles: told.extend(candles.open_time_ms.tolist() if symbol == BTC else ()))
    scene.exchange.faults.add("duplicate", BTC_KLINES, times=None)
    closes = []
    for _ in range(4):
        closes.append(scene.minute())
        scene.wait_for_streamed_close(closes[-1])
    wait_until(lambda: told == closes)
    wait_until(lambda: scene.feed.status().duplicates_ignored >= 4)
    scene.assert_true_to_the_exchange()


def test_events_out_of_order_end_in_the_same_candles(build: Callable[..., Scene]) -> None:
    scene = build()
    scene.exchange.faults.add("reorder", BTC_KLINES, times=4)
    for _ in range(4):
        newest = scene.minute()
        wait_until(scene.has(newest, ETH))
    scene.clock.tick(5)
    scene.wait_for_close(newest)
    scene.assert_true_to_the_exchange()


def test_a_close_that_was_never_told_is_asked_for(build: Callable[..., Scene]) -> None:
    scene = build()
    scene.exchange.faults.add("gap", BTC_KLINES, times=1)
    missed = scene.minute()
    wait_until(scene.has(missed, ETH))
    assert not scene.has(missed)()
    scene.clock.tick(4)
    wait_until(scene.has(missed))
    assert {entry.param("symbol") for entry in scene.exchange.journal.entries("klines")} == {BTC}
    scene.assert_true_to_the_exchange()


@pytest.mark.parametrize("kind", ["bad_json", "nan", "wrong_shape"])
def test_frames_without_sense_are_counted_and_poison_nothing(build: Callable[..., Scene], kind: str) -> None:
    scene = build()
    scene.exchange.faults.add(kind, BTC_KLINES, times=None)
    newest = scene.minute()
    wait_until(scene.has(newest, ETH))
    wait_until(lambda: scene.feed.status().bad_frames >= 1)
    scene.clock.tick(4)
    scene.wait_for_close(newest)
    status = scene.feed.status()
    assert (status.state, status.reconnects) == ("live", 0)
    scene.assert_true_to_the_exchange()


def test_a_frame_that_breaks_the_protocol_costs_a_reconnection(build: Callable[..., Scene]) -> None:
    scene = build()
    scene.exchange.faults.add("ws_bad_frame", BTC_KLINES)
    scene.minute()
    scene.wait(lambda: scene.feed.status().reconnects == 1)
    scene.wait_for_close(scene.minute())
    scene.assert_true_to_the_exchange()


def test_a_burst_is_not_too_much(build: Callable[..., Scene]) -> None:
    scene = build()
    scene.exchange.faults.add("ws_burst", BTC_KLINES, count=5000)
    scene.wait_for_close(scene.minute())
    wait_until(lambda: scene.feed.status().duplicates_ignored >= 4990)
    assert scene.feed.status().reconnects == 0
    scene.assert_true_to_the_exchange()


def test_an_announced_shutdown_is_answered_by_a_second_connection_first(build: Callable[..., Scene]) -> None:
    scene = build()
    scene.exchange.faults.add("server_shutdown", "btcusdt@miniTicker")
    scene.wait_for_streamed_close(scene.minute())
    scene.wait(lambda: scene.feed.status().renewals == 1)
    scene.wait_for_streamed_close(scene.minute())
    wait_until(lambda: scene.exchange.stream_count() == 1)
    assert (scene.exchange.stream_count(), scene.feed.status().reconnects) == (1, 0)
    assert scene.exchange.journal.entries("klines") == []
    scene.assert_true_to_the_exchange()


def test_a_connection_is_renewed_before_its_day_is_over_and_nothing_is_missed(build: Callable[..., Scene]) -> None:
    scene = build(FeedPaces(silence_s=30, first_pause_s=0.05, check_s=0.02, renew_after_s=0.1))
    for renewals in range(1, 6):
        scene.wait_for_streamed_close(scene.minute())
        scene.wait(lambda renewals=renewals: scene.feed.status().renewals >= renewals)  # type: ignore[misc]
    status = scene.feed.status()
    assert (status.state, status.reconnects) == ("live", 0)
    assert scene.exchange.journal.entries("klines") == []
    scene.assert_true_to_the_exchange()


def test_while_streams_are_down_everything_is_asked_for_in_turn(build: Callable[..., Scene]) -> None:
    paces = FeedPaces(silence_s=30, first_pause_s=0.05, longest_pause_s=0.1, check_s=0.02, poll_s=1, open_timeout_s=0.2)
    scene = build(paces, start=False)
    scene.exchange.faults.add("status", "/stream", times=None, status=503)
    scene.feed.start()
    for _ in range(3):
        newest = scene.minute()
        scene.wait_for_close(newest)
    scene.wait_for_state("polling")
    assert "Streams are down" in scene.feed.status().text
    assert scene.market.ticker(BTC) is not None
    scene.wait(lambda: scene.market.forming(BTC, M1) is not None)
    scene.exchange.faults.clear()
    scene.wait_for_state("live")
    scene.assert_true_to_the_exchange()


def test_an_exchange_that_is_down_at_the_start_is_found_when_it_comes_up(tmp_path: Path) -> None:
    clock = ManualClock(NOON + 30_000)
    with running_exchange(clock=clock) as first:
        port = first.port
    paces = FeedPaces(silence_s=30, first_pause_s=0.05, longest_pause_s=0.1, check_s=0.02, open_timeout_s=0.2)
    with (
        no_thread_left(),
        running_gateway(
            rest_url=f"http://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}", clock=clock
        ) as gateway,
        market_over(gateway, tmp_path, symbols=(BTC, ETH)) as market,
    ):
        feed = MarketFeed(gateway=gateway, market=market, paces=paces)
        try:
            feed.start()
            clock.tick(1)
            wait_until(lambda: feed.status().state == "down")
            assert "No news from the exchange" in feed.status().text
            with running_exchange(clock=clock, port=port):
                clock.tick(5)
                wait_until(lambda: feed.status().state == "live", what=str(feed.status()))
                wait_until(lambda: market.status().with_candles == 2)
                assert len(market.candles(BTC, M1)) == 100
            wait_until(lambda: feed.status().connected == 0)
        finally:
            feed.close()


def test_a_market_that_does_not_exist_keeps_nobody_else_from_news(tmp_path: Path) -> None:
    clock = ManualClock(NOON + 30_000)
    unknown = Symbol("NOSUCHUSDT")
    with (
        running_exchange(clock=clock) as exchange,
        running_gateway(exchange, clock=clock) as gateway,
        market_over(gateway, tmp_path, symbols=(unknown, BTC)) as market,
    ):
        feed = MarketFeed(gateway=gateway, market=market, paces=CALM)
        try:
            feed.start()
            wait_until(lambda: market.newest_known_ms(BTC, M1) is not None)
            for _ in range(3):
                clock.tick(60)
                newest = M1.open_ms(clock.now_ms()) - M1.ms
                wait_until(lambda newest=newest: market.newest_known_ms(BTC, M1) == newest)  # type: ignore[misc]
            assert list(market.problems()) == [unknown]
            refused = [entry for entry in exchange.journal.entries("klines") if entry.status == 400]
            assert len(refused) <= 8, "a refused market is asked for ever more rarely"
        finally:
            feed.close()


def test_streams_are_shared_out_over_connections(tmp_path: Path) -> None:
    clock = ManualClock(NOON + 30_000)
    with running_exchange(clock=clock) as exchange, running_gateway(exchange, clock=clock) as gateway:
        symbols = [Symbol(name) for name in exchange.market.listings][:5]
        with market_over(gateway, tmp_path, symbols=symbols, intervals=(M1, Interval.H1)) as market:
            feed = MarketFeed(gateway=gateway, market=market, paces=CALM, streams_per_connection=4)
            try:
                feed.start()
                wait_until(lambda: feed.status().state == "live", what=str(feed.status()))
                assert (feed.status().streams, feed.status().connections, exchange.stream_count()) == (15, 4, 4)
            finally:
                feed.close()


def test_a_feed_can_be_closed_at_any_moment_and_started_again(build: Callable[..., Scene]) -> None:
    scene = build(start=False)
    scene.feed.close()
    for _ in range(3):
        scene.feed.start()
        scene.feed.start()
        scene.feed.close()
        scene.feed.close()
    scene.exchange.faults.add("delay", "/stream", times=1, delay_s=5)
    scene.feed.start()
    wait_until(lambda: scene.feed.status().streams == 4)
    scene.feed.close()
    assert scene.feed.status().text == "The feed is not running."
    scene.feed.start()
    scene.wait_for_state("live")


def test_many_faults_one_after_the_other_leave_the_exchanges_own_candles(build: Callable[..., Scene]) -> None:
    scene = build(FeedPaces(silence_s=1, first_pause_s=0.02, longest_pause_s=0.1, check_s=0.02, poll_s=1))
    for kind in ("duplicate", "ws_abort", "reorder", "gap", "nan", "server_shutdown", "bad_json", "stale", "ws_close"):
        scene.exchange.faults.add(kind, "*@kline_1m", times=2)
        scene.wait_for_close(scene.minute())
    scene.exchange.faults.clear()
    scene.wait_for_state("live")
    scene.assert_true_to_the_exchange()
