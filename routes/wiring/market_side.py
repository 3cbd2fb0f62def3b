"""Market side: gateway, candle store, market data and feed, as one value, and the way to the chosen exchange."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from config import Settings
from data import venue as venues
from data.binance_gateway import BinanceGateway
from data.candle_store import CandleStore
from data.candles import Candles
from data.database import Database
from data.exchange import Exchange, Simulation, choose
from data.interval import Interval
from data.market_connection import MarketConnection
from data.market_data import MarketData
from data.market_feed import MarketFeed
from data.symbol import Symbol
from utils.clock import Clock
from utils.data_cache import data_cache
from utils.errors import NotFound, NotReady

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Market:
    """What knows the candles; `gateway.clock` is the exchange's time."""

    gateway: BinanceGateway
    store: CandleStore
    data: MarketData
    feed: MarketFeed

    def known_candles(self, symbol: Symbol, interval: Interval) -> Candles | None:
        """None where the market is not followed, or nothing is known of it yet."""
        try:
            return self.data.candles(symbol, interval)
        except (NotFound, NotReady):
            return None


def build_market(settings: Settings, clock: Clock, database: Database) -> Market:
    """Of no venue yet, and with nothing running."""
    gateway = BinanceGateway(
        api_key=settings.binance_api_key,
        api_secret=settings.binance_api_secret,
        clock=clock,
        deadline_s=settings.exchange_deadline_seconds,
        state_path=settings.instance_path / "exchange_limits.json",
    )
    store = CandleStore(database, venue=venues.UNKNOWN)
    data = MarketData(
        store=store,
        gateway=gateway,
        cache=data_cache,
        clock=gateway.clock,
        symbols=[Symbol.parse(name) for name in settings.symbols],
        intervals=[Interval.parse(name) for name in settings.intervals],
        history_candles=settings.history_candles,
    )
    return Market(gateway, store, data, MarketFeed(gateway=gateway, market=data))


def connection_to(market: Market, settings: Settings, enter: Callable[[str], None]) -> MarketConnection:
    """`enter` is told the venue that was chosen, before anything is read or written under its name."""
    return MarketConnection(
        choose=partial(_choose_exchange, settings),
        gateway=market.gateway,
        market=market.data,
        feed=market.feed,
        enter=enter,
        renew=_begin_anew,
    )


def _choose_exchange(settings: Settings) -> Exchange:
    return choose(
        settings.exchange,
        rest_override=settings.binance_rest_url,
        stream_override=settings.binance_stream_url,
        simulation=Simulation(
            replay_path=settings.simulated_replay_path,
            start=settings.simulated_start,
            speed=settings.simulated_speed,
            seed=settings.simulated_seed,
            symbols=settings.symbols,
        ),
    )


def _begin_anew() -> None:
    """This worker knows another market than the one that is there now: it ends, and another takes its place."""
    log.warning("the market is another than before; this process begins anew")
    os.kill(os.getpid(), signal.SIGTERM)
