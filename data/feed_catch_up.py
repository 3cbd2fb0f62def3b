"""Catching up: which series need a question over REST, when they may be asked, and the asking."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from data.binance_gateway import BinanceGateway
from data.feed_status import FeedPaces
from data.interval import Interval
from data.market_data import MarketData
from data.market_primer import fill_missing
from data.symbol import Symbol
from utils.clock import Clock
from utils.errors import BadData, ExchangeError, Rejected

log = logging.getLogger(__name__)

Pair = tuple[Symbol, Interval]

_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 300.0
_WEIGHT_PER_CALL = 2
_POLL_SHARE = 0.2


@dataclass(slots=True)
class _Due:
    """When a series may be asked for next, and whether somebody wants it before its close is overdue.

    `newest_ms`: the newest candle when it was last asked for in vain; once another is known, the pause is over."""

    wanted: bool = False
    not_before_s: float = float("-inf")
    pause_s: float = _FIRST_PAUSE_S
    newest_ms: int | None = None

    def over(self) -> None:
        """It may be asked for at once, and the next pause is a short one."""
        self.pause_s, self.not_before_s = _FIRST_PAUSE_S, float("-inf")


class CatchUp:
    """One turn asks for every series that is due. A series that gains nothing is asked ever more rarely, until the
    streams tell of it: in a replay at 200 times the pace questions in vain add up, and a candle that was missed would
    wait for half a day of the market's time."""

    def __init__(self, *, gateway: BinanceGateway, market: MarketData, clock: Clock, paces: FeedPaces) -> None:
        self.answered_at_s = float("-inf")
        self.trouble = ""
        self._gateway = gateway
        self._market = market
        self._clock = clock
        self._paces = paces
        self._due: dict[Pair, _Due] = {
            (symbol, interval): _Due() for symbol in market.symbols for interval in market.intervals
        }
        self._asking = False
        self._polled_at_s = float("-inf")
        self._pause_s = _FIRST_PAUSE_S
        self._quiet_until_s = float("-inf")

    @property
    def poll_s(self) -> float:
        """Seconds between two polls of everything: so many that they cost at most a fifth of the request weight."""
        per_second = _POLL_SHARE * self._gateway.status().weight_limit / 60
        return max(self._paces.poll_s, len(self._due) * _WEIGHT_PER_CALL / per_second)

    @property
    def waiting(self) -> int:
        """How many series wait for a question, the one being asked for included."""
        return sum(1 for due in self._due.values() if due.wanted) + self._asking

    def want(self, pair: Pair) -> None:
        """Something about this series is not known: ask at the next turn that may."""
        if pair in self._due:
            self._due[pair].wanted = True

    def turn(self, *, streams_down: bool) -> int:
        """Asks what is due, one after the other; how many closed candles came. Never raises an ExchangeError."""
        now_s = self._clock.monotonic()
        if now_s < self._quiet_until_s:
            return 0
        polling = streams_down and now_s - self._polled_at_s >= self.poll_s
        found = 0
        try:
            for pair in self._pairs_due(now_s, everything=polling):
                found += self._ask(pair, poll=polling)
            if polling:
                self._polled_at_s = now_s
                self._ask_tickers()
        except ExchangeError as error:
            self._be_quiet(error)
        return found

    def _pairs_due(self, now_s: float, *, everything: bool) -> list[Pair]:
        return [
            pair
            for pair, due in self._due.items()
            if (everything or due.wanted or self._overdue(pair)) and self._may_ask(pair, due, now_s)
        ]

    def _may_ask(self, pair: Pair, due: _Due, now_s: float) -> bool:
        if now_s < due.not_before_s and self._market.newest_known_ms(*pair) != due.newest_ms:
            due.over()
        return now_s >= due.not_before_s

    def _overdue(self, pair: Pair) -> bool:
        """A close that should have been told by now was not."""
        symbol, interval = pair
        known = self._market.newest_known_ms(symbol, interval)
        told_by_ms = self._clock.now_ms() - round(self._paces.close_grace_s * 1000)
        return known is None or known < interval.shift_ms(interval.open_ms(told_by_ms), -1)

    def _ask(self, pair: Pair, *, poll: bool) -> int:
        due = self._due[pair]
        due.wanted, self._asking = False, True
        try:
            found = fill_missing(self._market, self._gateway, *pair)
            if poll and not found:
                page = self._gateway.klines(*pair, limit=2, deadline_s=self._paces.rest_deadline_s)
                self._market.on_page(*pair, page, None)
        except (Rejected, BadData) as error:
            self._market.on_refused(*pair, error)
            self._wait_longer(pair)
            return 0
        except ExchangeError:
            due.wanted = True
            raise
        finally:
            self._asking = False
        self._answered()
        if found or not self._overdue(pair):
            due.over()
        else:
            self._wait_longer(pair)
        return found

    def _ask_tickers(self) -> None:
        for ticker in self._gateway.tickers(self._market.known, deadline_s=self._paces.rest_deadline_s).values():
            self._market.on_ticker(ticker)
        self._answered()

    def _answered(self) -> None:
        self.answered_at_s, self.trouble, self._pause_s = self._clock.monotonic(), "", _FIRST_PAUSE_S

    def _wait_longer(self, pair: Pair) -> None:
        due = self._due[pair]
        due.newest_ms = self._market.newest_known_ms(*pair)
        due.not_before_s = self._clock.monotonic() + due.pause_s
        due.pause_s = min(2 * due.pause_s, _LONGEST_PAUSE_S)

    def _be_quiet(self, error: ExchangeError) -> None:
        """The exchange as a whole does not answer: nothing is asked for a while, and then longer."""
        if not self.trouble:
            log.warning("catching up has to wait: %s", error)
        self.trouble = str(error)
        self._quiet_until_s = self._clock.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._paces.longest_pause_s)
