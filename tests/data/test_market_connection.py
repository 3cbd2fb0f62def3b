"""The market connection says how far the start has come, and the start asks within the limits it was told."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from data import venue as venues
from data.exchange import Exchange
from data.interval import Interval
from data.market_connection import MarketConnection
from data.symbol import Symbol
from tests.support.exchange import quick_settings, running_exchange
from tests.support.market import market_over, running_gateway, wait_until
from utils.clock import ManualClock

CHOSEN = Exchange(name="Simulated exchange", rest_url="", stream_url="", simulated=True, notice="")


class Quiet:
    """A feed or a gateway of which nothing is wanted here but its clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def start(self, *_: object) -> None: ...
    def close(self) -> None: ...


class Slow:
    """A market whose series arrive when the test lets them."""

    def __init__(self) -> None:
        self.told = threading.Semaphore(0)
        self.done = 0

    def warm(self) -> None:
        """It has nothing stored."""

    def ask_first(self) -> None:
        """There is nobody to ask."""

    def prime(self, on_progress: Any) -> None:
        for self.done in range(1, 5):
            self.told.acquire()
            on_progress(self.done, 4, "BTCUSDT 1h")


def test_it_says_how_many_series_are_there_and_how_long_the_rest_will_take() -> None:
    clock, slow = ManualClock(), Slow()
    quiet: Any = Quiet(clock)
    market: Any = slow
    connection = MarketConnection(
        choose=lambda: CHOSEN,
        gateway=quiet,
        market=market,
        feed=quiet,
        enter=lambda _: None,
    )
    assert connection.waiting_for == "the choice of the exchange"
    connection.start()
    try:
        wait_until(lambda: connection.waiting_for == "candles from Simulated exchange")
        clock.tick(10)
        slow.told.release()
        wait_until(
            lambda: connection.waiting_for == "candles from Simulated exchange: fetched 1 of 4 series, about 30 s left"
        )
        slow.told.release(3)
        assert connection.wait(90)
        assert connection.waiting_for == ""
    finally:
        connection.close()


def test_a_start_with_many_series_learns_the_limit_and_is_not_refused(tmp_path: Path) -> None:
    symbols = [Symbol(name) for name in ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")]
    with running_exchange(settings=quick_settings(weight_limit=60)) as exchange, running_gateway(exchange) as gateway:
        gateway._budget.weight_limit = 70
        with market_over(gateway, tmp_path, symbols=symbols, intervals=[Interval.H1], history_candles=20) as market:
            market.prime()
        assert gateway.status().weight_limit == 60
        assert {entry.status for entry in exchange.journal} == {200}
        assert [entry.path for entry in exchange.journal].count("/api/v3/exchangeInfo") == 1


def test_a_follower_of_a_simulation_that_ended_begins_anew_before_it_starts_another() -> None:
    """Else each process that takes over would tell the next one of a market that ends with it, without end."""
    clock = ManualClock()
    quiet: Any = Quiet(clock)
    market: Any = Slow()
    chosen, renewed = threading.Event(), threading.Event()

    def choose() -> Exchange:
        chosen.set()
        return CHOSEN

    connection = MarketConnection(
        choose=choose, gateway=quiet, market=market, feed=quiet, enter=lambda _: None, renew=renewed.set
    )
    connection.follow(replace(CHOSEN, venue=venues.run(1)))
    connection.start()
    try:
        assert renewed.wait(30)
        assert not chosen.is_set()
        assert not connection.ready
    finally:
        connection.close()
