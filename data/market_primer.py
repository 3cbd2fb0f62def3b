"""Priming: fills the hot set at start, from the store first and then only what is missing from the exchange.

What has to be asked whatever the store holds is asked while it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from data.binance_gateway import PAGE_LIMIT, BinanceGateway
from data.interval import Interval
from data.symbol import Symbol
from utils.errors import BadData, ExchangeError, Rejected

if TYPE_CHECKING:
    from data.market_data import MarketData

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

_AT_ONCE = 4
_WEIGHT_PER_SERIES = 2
_ASKED_FOR_LIMITS = 3
"""Markets that may be unknown to the exchange, which then tells nothing."""
_WORTH_KNOWING = 0.1
"""Of the weight limit: who asks for less need not ask for the limit first."""


@dataclass(slots=True)
class _Course:
    """How the exchange fared so far; `trouble` is what made further questions pointless."""

    answered: int = 0
    trouble: ExchangeError | None = None


class FirstQuestions:
    """The exchange's time, and the last 24 hours of all markets, asked in a thread of their own.

    Half of a start is reading the store, the other half waiting for these and for the library that asks. By a clock
    that is not the exchange's, whole histories would seem to be missing.
    """

    def __init__(self, market: MarketData, gateway: BinanceGateway) -> None:
        self._market = market
        self._gateway = gateway
        self._asking: Future[None] | None = None

    def begin(self) -> None:
        """Returns at once. Does nothing where they are on their way."""
        if self._asking is None:
            pool = ThreadPoolExecutor(1, thread_name_prefix="first-questions")
            self._asking = pool.submit(self._ask)
            pool.shutdown(wait=False)

    def answered(self) -> bool:
        """Waits for the answers; whether they came. The next `begin` asks anew."""
        self.begin()
        asking, self._asking = self._asking, None
        try:
            if asking is not None:
                asking.result()
        except ExchangeError as error:
            log.info("the exchange's time and numbers are not known yet: %s", error)
            return False
        return True

    def _ask(self) -> None:
        self._gateway.know_the_time()
        ask_tickers(self._market, self._gateway)


def ask_tickers(market: MarketData, gateway: BinanceGateway) -> None:
    """Raises ExchangeError."""
    for ticker in gateway.tickers(market.known).values():
        market.on_ticker(ticker)


def prime(
    market: MarketData, gateway: BinanceGateway, first: FirstQuestions, on_progress: Progress | None = None
) -> None:
    """Raises the ExchangeError that stopped it, if one did; a market that is refused stops only itself.

    `on_progress` counts the series of which something has to be asked for.
    """
    first.begin()
    market.warm()
    told = first.answered()
    lacking = [pair for pair in product(market.symbols, market.intervals) if market.missing(*pair)]
    if len(lacking) * _WEIGHT_PER_SERIES > _WORTH_KNOWING * gateway.status().weight_limit:
        _learn_limits(market, gateway)
    course = _Course()
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="prime") as pool:
        work = [pool.submit(_fill, market, gateway, course, *pair) for pair in lacking]
        for done, (job, (symbol, interval)) in enumerate(zip(work, lacking, strict=True), start=1):
            job.result()
            if on_progress is not None:
                on_progress(done, len(lacking), f"{symbol} {interval}")
    if course.trouble is None and not told:
        ask_tickers(market, gateway)
    if course.trouble is not None:
        raise course.trouble


def _learn_limits(market: MarketData, gateway: BinanceGateway) -> None:
    """How much may be asked in a minute is part of what the exchange says of any market."""
    try:
        for symbol in market.symbols[:_ASKED_FOR_LIMITS]:
            if gateway.exchange_info([symbol]):
                return
    except ExchangeError as error:
        log.info("the exchange's limits are not known, the usual ones are taken: %s", error)


def _fill(market: MarketData, gateway: BinanceGateway, course: _Course, symbol: Symbol, interval: Interval) -> None:
    if course.trouble is not None:
        return
    try:
        fill_missing(market, gateway, symbol, interval)
    except (Rejected, BadData) as error:
        market.on_refused(symbol, interval, error)
    except ExchangeError as error:
        course.trouble = error


def fill_missing(market: MarketData, gateway: BinanceGateway, symbol: Symbol, interval: Interval) -> int:
    """Asks for every range that the hot set lacks; how many closed candles came. Raises ExchangeError."""
    with market.filling(symbol, interval):
        ranges = market.missing(symbol, interval)
        return sum(_fill_range(market, gateway, symbol, interval, start_ms, end_ms) for start_ms, end_ms in ranges)


def _fill_range(
    market: MarketData, gateway: BinanceGateway, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int
) -> int:
    reaches_now = end_ms > market.newest_closed_ms(interval)
    if reaches_now and (end_ms - start_ms) // interval.ms < PAGE_LIMIT:
        page = gateway.klines(symbol, interval, start_ms=start_ms)
        market.on_page(symbol, interval, page, start_ms)
        return len(page.closed)
    cursor_ms, found, refused = start_ms, 0, False
    for page in gateway.history_pages(symbol, interval, start_ms, end_ms):
        market.on_page(symbol, interval, page, cursor_ms)
        cursor_ms = page.answered_to_ms or cursor_ms
        found += len(page.closed)
        refused = bool(page.refused_open_ms)
    if not reaches_now and not refused:
        market.on_answered(symbol, interval, cursor_ms, end_ms)
    return found
