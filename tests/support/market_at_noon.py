"""A market at noon: two markets by the minute over a real gateway and a simulated exchange whose clock a test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.candles import Candle
from data.interval import Interval
from data.market_data import MarketData
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.market import BTC, ETH, market_over, running_gateway
from utils.clock import ManualClock

M1 = Interval.M1
NOON = 1_700_049_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON + 30_000)


@pytest.fixture
def exchange(clock: ManualClock) -> Iterator[RunningExchange]:
    with running_exchange(clock=clock) as running:
        yield running


@pytest.fixture
def gateway(exchange: RunningExchange, clock: ManualClock) -> Iterator[BinanceGateway]:
    with running_gateway(exchange, clock=clock) as made:
        yield made


@pytest.fixture
def market(gateway: BinanceGateway, tmp_path: Path) -> Iterator[MarketData]:
    with market_over(gateway, tmp_path, symbols=(BTC, ETH)) as made:
        yield made


def klines_asked(exchange: RunningExchange) -> int:
    return len(exchange.journal.entries("klines"))


def candle(open_time_ms: int, close: float = 100.0, *, closed: bool = False) -> Candle:
    return Candle(open_time_ms, 100.0, 200.0, 1.0, close, 5.0, 500.0, 7.0, 2.0, 200.0, closed=closed)
