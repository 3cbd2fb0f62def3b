"""A simulated exchange running in its own event-loop thread, for tests that talk to it over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

from data.simulated_exchange.faults import FaultPlan
from data.simulated_exchange.journal import Journal
from data.simulated_exchange.market import Market
from data.simulated_exchange.server import SimulatedExchange
from data.simulated_exchange.settings import ExchangeSettings
from data.simulated_exchange.synthetic import SyntheticSource
from utils.clock import Clock, SystemClock

T = TypeVar("T")


@dataclass(frozen=True)
class RunningExchange:
    """Where it listens and what a test may look at or change; all of it safe from any thread."""

    exchange: SimulatedExchange
    host: str
    loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        return self.exchange.port

    @property
    def rest_url(self) -> str:
        """The value of python-binance's `AsyncClient.API_URL`."""
        return f"http://{self.host}:{self.port}/api"

    @property
    def stream_url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    @property
    def journal(self) -> Journal:
        return self.exchange.journal

    @property
    def faults(self) -> FaultPlan:
        return self.exchange.faults

    @property
    def clock(self) -> Clock:
        return self.exchange.clock

    @property
    def market(self) -> Market:
        return self.exchange.market

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Runs a function on the exchange's own loop and returns what it returns."""

        async def run() -> T:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(90)

    def drop_streams(self) -> int:
        """Cuts every stream connection without a word; how many there were."""

        def cut() -> int:
            connections = list(self.exchange.streams.connections)
            for connection in connections:
                connection.abort()
            return len(connections)

        return self.call(cut)

    @property
    def stream_connects(self) -> int:
        """How many stream connections there have been."""
        return self.exchange.streams.connects

    def stream_count(self) -> int:
        """How many stream connections are open now."""
        return self.call(lambda: len(self.exchange.streams.connections))


def quick_settings(**changes: Any) -> ExchangeSettings:
    """Streams that look at the clock a hundred times a second and tell of every change."""
    fast: dict[str, Any] = {"pace_s": 0.01, "kline_period_ms": 50, "ticker_period_ms": 50}
    return ExchangeSettings(**{**fast, **changes})


@contextmanager
def running_exchange(
    market: Market | None = None,
    clock: Clock | None = None,
    faults: FaultPlan | None = None,
    *,
    settings: ExchangeSettings | None = None,
    port: int = 0,
) -> Iterator[RunningExchange]:
    """An exchange on 127.0.0.1 until the block ends.

    Defaults: the synthetic market of seed 7 with 20 symbols, the machine's clock, no faults, `quick_settings()`. Give a
    `ManualClock` to decide when candles close. `port` lets a test bring a stopped exchange back at its old address.
    """
    made = SimulatedExchange(
        market or Market(SyntheticSource()),
        clock or SystemClock(),
        settings=settings or quick_settings(),
        faults=faults,
    )
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="simulated-exchange", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(made.start("127.0.0.1", port), loop).result(90)
        try:
            yield RunningExchange(made, "127.0.0.1", loop)
        finally:
            asyncio.run_coroutine_threadsafe(made.close(), loop).result(90)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(90)
        loop.close()
