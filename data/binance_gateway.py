"""The gateway: the one place that asks the exchange over REST, whoever wants to know."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from data.candles import Candles
from data.gateway_errors import UNKNOWN_SYMBOL
from data.gateway_loop import LoopThread
from data.gateway_parsing import parse_exchange_info, parse_klines, parse_ping, parse_tickers
from data.gateway_session import GatewaySession, Question
from data.gateway_status import GatewayCounters, GatewayStatus
from data.interval import Interval
from data.kline_page import KlinePage
from data.market_info import MarketInfo
from data.rate_budget import RateBudget
from data.symbol import Symbol
from data.ticker import Ticker
from utils.clock import Clock, OffsetClock, SystemClock
from utils.errors import ExchangeUnavailable, InvalidInput, Rejected
from utils.request_trace import count_weight

if TYPE_CHECKING:
    from data.gateway_client import StrictClient

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE_LIMIT = 1000
_SYMBOLS_AT_ONCE = 100
_TIME_EVERY_S = 30 * 60.0
_PATIENCE_S = 75.0
"""Longer than a minute of the exchange: a pager waits for the next one, a reader does not."""


class BinanceGateway:
    """One python-binance client in one event-loop thread; any thread asks and waits, with a total deadline.

    Every method that asks raises an ExchangeError: RateLimited or Banned without anything being sent while the exchange
    wants quiet, ExchangeUnavailable, RegionRestricted, Rejected, BadData. Reads are retried at most twice.
    `clock` is exchange time: ours plus the measured offset.
    """

    def __init__(
        self,
        *,
        rest_url: str = "",
        stream_url: str = "",
        api_key: str = "",
        api_secret: str = "",
        clock: Clock | None = None,
        deadline_s: float = 10.0,
        state_path: Path | None = None,
        time_every_s: float = _TIME_EVERY_S,
    ) -> None:
        self.rest_url = rest_url
        self.stream_url = stream_url
        self.deadline_s = deadline_s
        self._offset_clock = OffsetClock(clock or SystemClock())
        self.clock: Clock = self._offset_clock
        self._budget = RateBudget(self.clock, state_path=state_path)
        self._counters = GatewayCounters()
        self._key, self._secret = api_key, api_secret
        self._time_every_s = time_every_s
        self._loop = LoopThread("binance-gateway")
        self._life = threading.Lock()
        self._session: GatewaySession | None = None

    def start(self, rest_url: str | None = None, stream_url: str | None = None) -> None:
        """Begins the loop thread, for other addresses if they are given. Returns at once; nothing is sent yet."""
        with self._life:
            if self._loop.running:
                return
            self.rest_url = self.rest_url if rest_url is None else rest_url
            self.stream_url = self.stream_url if stream_url is None else stream_url
            self._loop.start()
            self._session = self._loop.submit(self._begin()).result()
            self._loop.submit(self._session.keep_time(self._time_every_s))

    @property
    def clock_offset_ms(self) -> int:
        """How far the exchange's clock is ahead of ours."""
        return self._offset_clock.offset_ms

    def follow_clock(self, offset_ms: int) -> None:
        """Another process has measured it."""
        self._offset_clock.offset_ms = offset_ms

    def close(self) -> None:
        """Ends every call under way, the connections and the thread."""
        with self._life:
            session, self._session = self._session, None
            if session is None:
                return
            try:
                self._loop.submit(session.close()).result(timeout=2.0)
            except concurrent.futures.TimeoutError:
                log.warning("the connections to the exchange did not close within 2 s")
            self._loop.close()

    def ping(self, *, deadline_s: float | None = None) -> None:
        """Returns when the exchange answers."""
        self._ask(Question("ping", {}, 1, lambda body, _: parse_ping(body)), deadline_s=deadline_s)

    def klines(
        self,
        symbol: Symbol,
        interval: Interval,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE_LIMIT,
        deadline_s: float | None = None,
    ) -> KlinePage:
        """One page: the newest `limit` candles, or the oldest from `start_ms` on; bounds are inclusive open times."""
        question = self._klines_question(symbol, interval, start_ms, end_ms, limit)
        return self._ask(question, deadline_s=deadline_s)

    def history(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> Iterator[Candles]:
        """Closed candles that open in [start_ms, end_ms), page by page, oldest first.

        To resume, start again after the newest candle that arrived. When the weight is used up it waits for the minute.
        """
        for page in self.history_pages(symbol, interval, start_ms, end_ms):
            if len(page.closed):
                yield page.closed

    def history_pages(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> Iterator[KlinePage]:
        """The same as whole answers, which also tell what was refused and how far the exchange has answered."""
        cursor_ms = start_ms
        while cursor_ms < end_ms:
            question = self._klines_question(symbol, interval, cursor_ms, end_ms - 1, PAGE_LIMIT)
            page = self._ask(replace(question, bulk=True), patience_s=_PATIENCE_S)
            yield page
            if page.answered_to_ms is None or page.forming is not None or page.rows < PAGE_LIMIT:
                return
            cursor_ms = page.answered_to_ms

    def tickers(self, symbols: Sequence[Symbol], *, deadline_s: float | None = None) -> dict[Symbol, Ticker]:
        """The last 24 hours of `symbols`; a market that the exchange does not know is left out."""

        def ask(some: Sequence[Symbol]) -> list[dict[Symbol, Ticker]]:
            params = {"symbols": _json_list(some), "type": "MINI"}
            weight = 2 if len(some) <= 20 else 40
            question = Question("ticker/24hr", params, weight, lambda body, _: parse_tickers(body))
            return [self._ask(question, deadline_s=deadline_s)]

        found: dict[Symbol, Ticker] = {}
        for part in _of_known(symbols, ask):
            found |= part
        return found

    def exchange_info(self, symbols: Sequence[Symbol] = ()) -> tuple[MarketInfo, ...]:
        """What the exchange says of `symbols` (of all markets if none is given), without those it does not know."""
        if not symbols:
            return self._ask(Question("exchangeInfo", {}, 20, self._read_info))

        def ask(some: Sequence[Symbol]) -> list[MarketInfo]:
            return list(self._ask(Question("exchangeInfo", {"symbols": _json_list(some)}, 20, self._read_info)))

        return tuple(_of_known(symbols, ask))

    def measure_clock(self) -> int:
        """Measures exchange time anew; the offset from ours in milliseconds."""
        session = self._running_session()
        return self._wait(session.measure_clock(), self.deadline_s)

    def know_the_time(self) -> None:
        """Measures exchange time unless it was measured before."""
        self._wait(self._running_session().know_the_time(), self.deadline_s)

    def heard(self, exchange_ms: int) -> None:
        """The exchange told a time: where our idea of its clock is behind that, it is put forward."""
        behind_ms = exchange_ms - self.clock.now_ms()
        if behind_ms > 0:
            self._offset_clock.offset_ms += behind_ms

    def status(self) -> GatewayStatus:
        counters, budget = self._counters, self._budget
        return GatewayStatus(
            rest_url=self.rest_url,
            running=self._session is not None,
            used_weight=budget.used_weight,
            weight_limit=budget.weight_limit,
            calls=MappingProxyType(counters.calls.copy()),
            retries=counters.retries,
            errors=MappingProxyType(counters.errors.copy()),
            refused_rows=counters.refused_rows,
            backoff_until_ms=budget.backoff_until_ms,
            banned_until_ms=budget.banned_until_ms,
            clock_offset_ms=self._offset_clock.offset_ms,
            loop_lag_s=self._loop.lag.last_s,
            loop_lag_max_s=self._loop.lag.max_s,
            last_error=counters.last_error,
            last_success_ms=counters.last_success_ms,
        )

    async def _begin(self) -> GatewaySession:
        return GatewaySession(
            self.rest_url,
            open_client=self._open_client,
            clock=self._offset_clock,
            budget=self._budget,
            counters=self._counters,
        )

    def _open_client(self) -> StrictClient:
        """python-binance is imported here: by the first question, in the loop thread."""
        from data.gateway_client import open_client

        return open_client(self.rest_url, api_key=self._key, api_secret=self._secret, timeout_s=self.deadline_s)

    def _klines_question(
        self, symbol: Symbol, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Question[KlinePage]:
        if not 1 <= limit <= PAGE_LIMIT:
            raise InvalidInput(f"limit {limit} does not fit; one page holds 1 to {PAGE_LIMIT} candles")
        given = {"symbol": symbol, "interval": str(interval), "startTime": start_ms, "endTime": end_ms, "limit": limit}

        def read(body: bytes, asked_ms: int) -> KlinePage:
            page = parse_klines(body, symbol, interval, start_ms=start_ms, now_ms=asked_ms)
            self._counters.refused_rows += len(page.refused_open_ms)
            return page

        params = {name: value for name, value in given.items() if value is not None}
        return Question("klines", params, 2, read, needs_time=True)

    def _read_info(self, body: bytes, _: int) -> tuple[MarketInfo, ...]:
        markets, weight_limit = parse_exchange_info(body)
        if weight_limit is not None:
            self._budget.weight_limit = weight_limit
        return markets

    def _ask(self, question: Question[T], *, deadline_s: float | None = None, patience_s: float = 0.0) -> T:
        count_weight(question.weight)
        seconds = self.deadline_s if deadline_s is None else deadline_s
        return self._wait(self._running_session().answer(question, seconds, patience_s), seconds + patience_s)

    def _running_session(self) -> GatewaySession:
        session = self._session
        if session is None:
            raise ExchangeUnavailable("the gateway is not running, so the exchange was not asked")
        return session

    def _wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """The total deadline as seen from the asking thread, which holds even if the loop were stuck."""
        try:
            future = self._loop.submit(work)
        except RuntimeError:
            raise ExchangeUnavailable("the gateway is closed, so the exchange was not asked") from None
        try:
            return future.result(timeout=seconds + 1.0)
        except concurrent.futures.CancelledError:
            raise ExchangeUnavailable("the gateway was closed before the answer came") from None
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise ExchangeUnavailable(f"the gateway did not come round to the question within {seconds:g} s") from None


def _of_known(symbols: Sequence[Symbol], ask: Callable[[Sequence[Symbol]], list[T]]) -> Iterator[T]:
    """Answers of `ask` for all markets the exchange knows.

    One unknown name makes the exchange refuse a whole list, so a refused list is halved until that name is alone.
    """
    waiting = [symbols[i : i + _SYMBOLS_AT_ONCE] for i in range(0, len(symbols), _SYMBOLS_AT_ONCE)]
    while waiting:
        some = waiting.pop(0)
        try:
            yield from ask(some)
        except Rejected as error:
            if error.code != UNKNOWN_SYMBOL:
                raise
            half = len(some) // 2
            waiting = [part for part in (some[:half], some[half:]) if half] + waiting


def _json_list(symbols: Sequence[Symbol]) -> str:
    return orjson.dumps([str(symbol) for symbol in symbols]).decode()
