"""MarketSeries: what is known, besides its closed candles, of one market at one interval."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from data.candles import FLOAT_COLUMNS, Candle, Candles
from data.gateway_errors import UNKNOWN_SYMBOL
from data.interval import Interval
from data.symbol import Symbol
from utils.errors import ExchangeError, Rejected

RETRY_S = 5.0
_LONGEST_PAUSE_S = 300.0
"""On behalf of readers the exchange is asked at most this often for one series."""


@dataclass(frozen=True, slots=True)
class SeriesNews:
    """Everything that is known of a series beside its closed candles, which `digest` names."""

    symbol: Symbol
    interval: Interval
    digest: str
    changes: int
    heard_ms: int | None
    problem: str
    unknown: bool
    forming: Candle | None
    forming_event_ms: int


class MarketSeries:
    """Forming candle, time of the newest news, and a count of changes. `writing` is held by whoever adds candles.

    `problem`: why the exchange has no candle of it for us, in words; `unknown` where it knows no such market.
    `read_at_s`: when somebody last looked at its candles, by the monotonic clock."""

    __slots__ = (
        "_asked_at_s",
        "_lock",
        "_pause_s",
        "changes",
        "digest",
        "filling",
        "forming",
        "forming_event_ms",
        "heard_ms",
        "interval",
        "newest_open_ms",
        "problem",
        "read_at_s",
        "symbol",
        "unknown",
        "writing",
    )

    def __init__(self, symbol: Symbol, interval: Interval) -> None:
        self.symbol = symbol
        self.interval = interval
        self.writing = threading.Lock()
        self.filling = threading.Lock()
        self.forming: Candle | None = None
        self.forming_event_ms = -1
        self.newest_open_ms: int | None = None
        self.heard_ms: int | None = None
        self.digest = ""
        self.changes = 0
        self.problem = ""
        self.unknown = False
        self._asked_at_s = float("-inf")
        self._pause_s = RETRY_S
        self.read_at_s = float("-inf")
        self._lock = threading.Lock()

    @property
    def key(self) -> tuple[str, Symbol, Interval]:
        """Under which the cache keeps the closed candles."""
        return ("candles", self.symbol, self.interval)

    def heard(self, at_ms: int) -> None:
        """There was news at `at_ms`, exchange time."""
        with self._lock:
            self.heard_ms = max(at_ms, self.heard_ms or at_ms)

    def settle(self, candles: Candles) -> None:
        """`candles` are the closed candles from now on, unless newer ones have come meanwhile."""
        if not len(candles):
            return
        digest, newest = candles.digest, candles.last_open_time_ms
        with self._lock:
            if digest == self.digest or newest < (self.newest_open_ms or -1):
                return
            self.digest, self.newest_open_ms = digest, newest
            self.problem, self.unknown = "", False
            self.changes += 1
            self._pause_s = RETRY_S
            if self.forming is not None and self.forming.open_time_ms <= newest:
                self.forming = None

    def form(self, candle: Candle, event_ms: int) -> None:
        """A newer word about the candle that is forming; older words and candles that have closed change nothing."""
        with self._lock:
            if event_ms < self.forming_event_ms or candle.open_time_ms <= (self.newest_open_ms or -1):
                return
            self.forming_event_ms = event_ms
            if candle != self.forming:
                self.forming = candle
                self.changes += 1

    def refuse(self, error: ExchangeError) -> bool:
        """The exchange has no answer for this series alone; whether that is news."""
        unknown = isinstance(error, Rejected) and error.code == UNKNOWN_SYMBOL
        return self._take_problem(_unknown_text(self.symbol, error) if unknown else str(error), unknown=unknown)

    def lack(self) -> None:
        """The exchange has answered: it has no closed candle, of a market that is new or has not been traded."""
        self._take_problem(f"the exchange has no closed candle of {self.symbol} {self.interval} yet", unknown=False)

    def answer(self) -> None:
        """The exchange has an answer for this series."""
        self._take_problem("", unknown=False)

    def _take_problem(self, problem: str, *, unknown: bool) -> bool:
        with self._lock:
            if problem == self.problem:
                return False
            self.problem, self.unknown = problem, unknown
            self.changes += 1
            return True

    def news(self) -> SeriesNews:
        with self._lock:
            return SeriesNews(
                self.symbol,
                self.interval,
                self.digest,
                self.changes,
                self.heard_ms,
                self.problem,
                self.unknown,
                self.forming,
                self.forming_event_ms,
            )

    def take(self, news: SeriesNews) -> None:
        """What another process knows of this series, its count of changes too: both name the same state alike."""
        with self._lock:
            self.changes, self.heard_ms = news.changes, news.heard_ms
            self.problem, self.unknown = news.problem, news.unknown
            self.forming, self.forming_event_ms = news.forming, news.forming_event_ms

    def may_ask(self, now_s: float) -> bool:
        """True for one asker every five seconds, ever more rarely while the exchange has nothing new to tell: of a
        market that is halted it never will."""
        with self._lock:
            if now_s - self._asked_at_s < self._pause_s:
                return False
            self._asked_at_s = now_s
            return True

    def asked_in_vain(self, now_s: float) -> None:
        """The exchange was asked, by whomever, and has no newer candle though one is due."""
        with self._lock:
            self._asked_at_s = now_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


def _unknown_text(symbol: Symbol, error: ExchangeError) -> str:
    told = f"{error.code}: {error.msg}" if isinstance(error, Rejected) else str(error)
    return (
        f"the exchange does not know {symbol} ({told}); look for a typo in SYMBOLS, or whether the market was delisted"
    )


def joined(older: Candles, newer: Candles, limit: int) -> Candles:
    """The newest `limit` of both; where both have a candle, `newer` wins."""
    if not len(older) or not len(newer):
        return (newer if len(newer) else older).tail(limit)
    if newer.open_time_ms[0] > older.last_open_time_ms:
        return _appended(older, newer, limit)
    times = np.concatenate([older.open_time_ms, newer.open_time_ms])
    _, last = np.unique(times[::-1], return_index=True)
    order = (len(times) - 1 - last)[-limit:]
    columns = [np.concatenate([getattr(older, name), getattr(newer, name)])[order] for name in FLOAT_COLUMNS]
    return Candles.from_columns(newer.symbol, newer.interval, times[order], columns)


def _appended(older: Candles, newer: Candles, limit: int) -> Candles:
    """Most joins by far: the candle that has just closed."""
    rest = slice(max(0, len(older) + len(newer) - limit), None)
    more = slice(max(0, len(newer) - limit), None)
    columns = [np.concatenate((getattr(older, name)[rest], getattr(newer, name)[more])) for name in FLOAT_COLUMNS]
    times = np.concatenate((older.open_time_ms[rest], newer.open_time_ms[more]))
    return Candles.from_columns(newer.symbol, newer.interval, times, columns)
