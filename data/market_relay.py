"""Market relay: what the process with the feed knows, told to the other processes of the same dashboard.

One line of JSON per turn over a socket of this machine alone: what changed since the turn before, and at first all of
it. Closed candles do not travel: who hears of them reads them from the store they share.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson

from data.binance_gateway import BinanceGateway
from data.candles import Candle
from data.exchange import Exchange
from data.feed_status import FeedState, FeedStatus
from data.interval import Interval
from data.market_connection import PENDING, MarketConnection
from data.market_data import MarketData
from data.market_feed import MarketFeed
from data.market_series import MarketSeries, SeriesNews
from data.symbol import Symbol
from data.ticker import Ticker

log = logging.getLogger(__name__)

_TURN_S = 0.05
"""How long news may wait before it is told on: well below what a reader notices."""
_PATIENCE_S = 5.0
_RETRY_S = 0.1
LOOK = "look"
"""What a follower says: something was changed through me, look at what there is to do."""

Words = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MarketSide:
    """The parts of a process that know the market: what is told on one side is taken over on the other."""

    market: MarketData
    connection: MarketConnection
    gateway: BinanceGateway
    feed: FeedView


class FeedView:
    """The feed as the pages see it: our own, or while another process has it, what that one tells."""

    def __init__(self, feed: MarketFeed) -> None:
        self._feed = feed
        self.told: FeedStatus | None = None

    @property
    def state(self) -> FeedState:
        return self.told.state if self.told is not None else self._feed.state

    def status(self) -> FeedStatus:
        return self.told or self._feed.status()


class MarketTeller:
    """Of the process that has the feed: tells everyone who connects to `path`."""

    def __init__(
        self,
        path: Path,
        side: MarketSide,
        *,
        more: Callable[[], Words],
        on_word: Callable[[str], None],
    ) -> None:
        """`more` is what else they are told each turn; `on_word` is called with each line that one of them says."""
        self._path = path
        self._side = side
        self._more = more
        self._on_word = on_word
        self._listener: socket.socket | None = None
        self._closing = threading.Event()

    def start(self) -> None:
        self._closing.clear()
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), name="market-teller", daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                follower, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(follower,), name="market-follower", daemon=True).start()

    def _serve(self, follower: socket.socket) -> None:
        """The pause between two turns is spent listening."""
        known = _Known()
        with follower:
            try:
                while not self._closing.is_set():
                    follower.settimeout(_PATIENCE_S)
                    words = self._news(known)
                    if words:
                        follower.sendall(orjson.dumps(words) + b"\n")
                    follower.settimeout(_TURN_S)
                    if not self._hears(follower):
                        return
            except OSError as error:
                log.info("a worker no longer listens: %s", error)

    def _hears(self, follower: socket.socket) -> bool:
        """Waits a turn for a word of it; False when it is gone."""
        try:
            heard = follower.recv(4096)
        except TimeoutError:
            return True
        for line in heard.decode().splitlines():
            self._on_word(line)
        return bool(heard)

    def _news(self, known: _Known) -> Words:
        """What changed since `known`, which is brought up to date."""
        words: Words = {}
        state = self._state()
        if known.state != state:
            known.state = words["state"] = state
        series = [series_words(one.news()) for one in self._side.market.series() if known.is_new(one)]
        tickers = [ticker for ticker in self._side.market.tickers() if known.tickers.get(ticker.symbol) is not ticker]
        known.tickers |= {ticker.symbol: ticker for ticker in tickers}
        if series:
            words["series"] = series
        if tickers:
            words["tickers"] = [astuple(ticker) for ticker in tickers]
            words["ticker_changes"] = {str(name): count for name, count in self._side.market.ticker_changes.items()}
        return words

    def _state(self) -> Words:
        exchange = self._side.connection.exchange
        return {
            "run": self._side.market.run,
            "exchange": None if exchange is PENDING else exchange_words(exchange),
            "ready": self._side.connection.ready,
            "offset_ms": self._side.gateway.clock_offset_ms,
            "feed": asdict(self._side.feed.status()),
            "more": self._more(),
        }


class MarketFollower:
    """Of a process without the feed: takes over what it is told, and connects again when nobody tells."""

    def __init__(
        self,
        path: Path,
        side: MarketSide,
        *,
        on_more: Callable[[Words], None],
    ) -> None:
        self._path = path
        self._side = side
        self._on_more = on_more
        self._socket: socket.socket | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._closing.clear()
        self._side.market.follow(following=True)
        self._thread = threading.Thread(target=self._run, name="market-following", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """From now on this process speaks for itself."""
        self._closing.set()
        told = self._socket
        if told is not None:
            with suppress(OSError):
                told.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        self._side.market.follow(following=False)
        self._side.feed.told = None

    def say(self, word: str = LOOK) -> None:
        """Tells the process with the feed, in one line, what was done here; nothing where this one has it."""
        told = self._socket
        if told is not None:
            with suppress(OSError):
                told.sendall(f"{word}\n".encode())

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as told:
                    told.connect(str(self._path))
                    self._socket = told
                    self._listen(told)
            except OSError:
                pass
            except Exception:  # without this thread the market would stand still here, and no page would say so
                log.exception("what the process with the feed told could not be taken over; asking it anew")
            finally:
                self._socket = None
            self._closing.wait(_RETRY_S)

    def _listen(self, told: socket.socket) -> None:
        with told.makefile("rb") as lines:
            for line in lines:
                if self._closing.is_set():
                    return
                self._take(orjson.loads(line))

    def _take(self, words: Words) -> None:
        state = words.get("state")
        if state is not None and state["exchange"] is not None:
            self._side.gateway.follow_clock(state["offset_ms"])
            self._side.connection.follow(Exchange(**state["exchange"]))
            self._side.market.run = state["run"]
            self._side.feed.told = FeedStatus.of_words(state["feed"])
            self._on_more(state["more"])
        for one in words.get("series", ()):
            self._side.market.take_series(series_news(one))
        for values in words.get("tickers", ()):
            self._side.market.on_ticker(Ticker(Symbol(values[0]), *values[1:]))
        if "ticker_changes" in words:
            self._side.market.take_ticker_changes(words["ticker_changes"])
        if state is not None and state["ready"]:
            self._side.connection.follow_ready()


def exchange_words(exchange: Exchange) -> Words:
    """Without the process, which belongs to whoever started it."""
    plain = replace(exchange, process=None)
    return {one.name: getattr(plain, one.name) for one in fields(Exchange) if one.name != "process"}


class _Known:
    """What one follower has been told."""

    def __init__(self) -> None:
        self.state: Words = {}
        self.tickers: dict[Symbol, Ticker] = {}
        self._series: dict[object, tuple[object, ...]] = {}

    def is_new(self, series: MarketSeries) -> bool:
        mark = (series.changes, series.heard_ms)
        if self._series.get(series.key) == mark:
            return False
        self._series[series.key] = mark
        return True


def series_words(news: SeriesNews) -> Words:
    """As JSON has it; what no source told of the forming candle becomes null."""
    forming = None if news.forming is None else astuple(news.forming)
    return {one.name: getattr(news, one.name) for one in fields(SeriesNews)} | {"forming": forming}


def series_news(words: Words) -> SeriesNews:
    """The same again as a value."""
    told = words["forming"]
    values: Any = () if told is None else [math.nan if value is None else value for value in told]
    forming = Candle(*values) if values else None
    place = {"symbol": Symbol(words["symbol"]), "interval": Interval(words["interval"]), "forming": forming}
    return SeriesNews(**(words | place))
