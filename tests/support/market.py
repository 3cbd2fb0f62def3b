"""Builders: a gateway to a simulated exchange, and a MarketData over a real store, cache and gateway."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.binance_gateway import BinanceGateway
from data.candle_store import CandleStore
from data.database import connect
from data.interval import Interval
from data.market_data import MarketData
from data.symbol import Symbol
from tests.support.exchange import RunningExchange
from utils.clock import Clock
from utils.data_cache import DataCache

BTC = Symbol("BTCUSDT")
ETH = Symbol("ETHUSDT")
NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


@contextmanager
def running_gateway(exchange: RunningExchange | None = None, **given: Any) -> Iterator[BinanceGateway]:
    """A started gateway; without an exchange, one whose exchange refuses connections."""
    given.setdefault("rest_url", exchange.rest_url if exchange else NOWHERE)
    given.setdefault("stream_url", exchange.stream_url if exchange else "ws://127.0.0.1:9")
    gateway = BinanceGateway(**given)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.close()


@contextmanager
def market_over(
    gateway: BinanceGateway,
    folder: Path,
    *,
    symbols: Sequence[Symbol] = (BTC,),
    intervals: Sequence[Interval] = (Interval.M1,),
    history_candles: int = 100,
    cached: bool = True,
    clock: Clock | None = None,
) -> Iterator[MarketData]:
    """A MarketData over a SQLite file in `folder`, which a second one may open again."""
    database = connect(f"sqlite:///{folder / 'market.db'}")
    cache = DataCache()
    cache.configure(enabled=cached, timer=gateway.clock.monotonic)
    try:
        yield MarketData(
            store=CandleStore(database),
            gateway=gateway,
            cache=cache,
            clock=clock or gateway.clock,
            symbols=symbols,
            intervals=intervals,
            history_candles=history_candles,
        )
    finally:
        database.close()


def wait_until(happened: Callable[[], object], *, within_s: float = 90.0, what: str = "") -> None:
    """Waits for something that other threads do; fails with `what` if they do not."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, what or "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Fails if a thread that was begun inside still lives shortly after."""
    before = set(threading.enumerate())
    yield
    wait_until(
        lambda: not [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()],
        within_s=90.0,
        what=f"threads left behind: {[thread for thread in threading.enumerate() if thread not in before]}",
    )
