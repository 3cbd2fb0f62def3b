"""The market connection: chooses the exchange, fills the hot set, starts the feed, while pages are served already."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from data import venue as venues
from data.binance_gateway import BinanceGateway
from data.exchange import Exchange
from data.market_data import MarketData
from data.market_feed import MarketFeed
from utils.errors import DashboardError, NotReady

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0

PENDING = Exchange(name="choosing", rest_url="", stream_url="", simulated=False, notice="")


class MarketConnection:
    """Owns the start-up thread and the chosen exchange; keeps trying until the market is there or it is closed."""

    def __init__(
        self,
        *,
        choose: Callable[[], Exchange],
        gateway: BinanceGateway,
        market: MarketData,
        feed: MarketFeed,
        enter: Callable[[str], None],
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """`enter` is told the venue before anything is asked of it (see `data.venue`).

        `renew` is called where the market turns out to be another than the one that was followed: nothing that this
        process knows is of use then.
        """
        self._choose = choose
        self._gateway = gateway
        self._market = market
        self._feed = feed
        self._enter = enter
        self._renew = renew
        self._listeners: list[Callable[[], None]] = []
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._exchange = PENDING
        self._problem = ""
        self._fetching: tuple[int, int, float] | None = None
        """(series that are there, all of them, when the fetching began by the monotonic clock)"""

    @property
    def exchange(self) -> Exchange:
        """The exchange in use; PENDING until it is chosen."""
        return self._exchange

    @property
    def ready(self) -> bool:
        """True once the hot set was filled."""
        return self._ready.is_set()

    @property
    def waiting_for(self) -> str:
        """What start-up is still waiting for, in words; empty once ready."""
        if self.ready:
            return ""
        if self._problem:
            return f"{self._problem} (trying again)"
        if self._exchange is PENDING:
            return "the choice of the exchange"
        return f"candles from {self._exchange.name}{self._progress()}"

    def _progress(self) -> str:
        if self._fetching is None:
            return ""
        done, total, began_s = self._fetching
        taken_s = self._gateway.clock.monotonic() - began_s
        left = f", about {taken_s / done * (total - done):.0f} s left" if done else ""
        return f": fetched {done} of {total} series{left}"

    def wait(self, timeout_s: float) -> bool:
        """Blocks until ready, at most `timeout_s` seconds; says whether it is."""
        return self._ready.wait(timeout_s)

    def when_ready(self, listener: Callable[[], None]) -> None:
        """Calls `listener` once, in the connection's thread, as soon as the hot set is filled."""
        self._listeners.append(listener)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="market-connection", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, the feed, the gateway and a simulated exchange that was started."""
        self._closing.set()
        self._feed.close()
        self._gateway.close()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        self._exchange.close()

    def follow(self, exchange: Exchange) -> None:
        """Another process has chosen the exchange and asks it for all of us."""
        if self._exchange is not PENDING and self._exchange.venue != exchange.venue:
            self._renew()
        elif self._exchange is PENDING:
            self._enter(exchange.venue)
        self._exchange = exchange

    def follow_ready(self) -> None:
        """The process that has the feed holds the market, and we have been told all of it."""
        if not self._ready.is_set():
            self._ready.set()
            threading.Thread(target=self._tell, name="market-ready", daemon=True).start()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        for step in (self._connect, self._market.warm, self._feed.start, self._fetch):
            while not self._closing.is_set() and not self._done(step):
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if not self._closing.is_set():
            self._ready.set()
            log.info("the market is ready: %s", self._exchange.name)
            self._tell()

    def _done(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except DashboardError as error:
            self._problem = str(error)
            log.warning("start-up is waiting: %s", error)
            return False
        self._problem = ""
        return True

    def _connect(self) -> None:
        if self._exchange is not PENDING and not venues.lasts(self._exchange.venue):
            # Decided before another one is started and told of: whoever heard of that would have to begin anew too.
            self._renew()
            raise NotReady(f"{self._exchange.name} ended with the process that had started it")
        chosen = self._choose()
        if self._exchange is not PENDING and self._exchange.venue != chosen.venue:
            self._renew()
        self._enter(chosen.venue)
        self._exchange = chosen
        self._gateway.start(self._exchange.rest_url, self._exchange.stream_url)
        self._market.ask_first()

    def _fetch(self) -> None:
        began_s = self._gateway.clock.monotonic()

        def on_progress(done: int, total: int, _: str) -> None:
            self._fetching = (done, total, began_s)

        self._market.prime(on_progress)
