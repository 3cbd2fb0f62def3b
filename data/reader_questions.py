"""Reader questions: what the exchange is asked on behalf of a reader, at most so often, and what came of it."""

from __future__ import annotations

from data.binance_gateway import PAGE_LIMIT, BinanceGateway
from data.candles import Candles
from data.kline_page import KlinePage
from data.market_series import RETRY_S, MarketSeries
from utils.clock import Clock
from utils.errors import ExchangeError, Rejected

_LONGEST_PAUSE_S = 60.0
"""After failures nobody asks for 5, 10, 20… 60 s."""
_READER_DEADLINE_S = 1.5


class ReaderQuestions:
    """A failure is remembered, so that the next readers do not wait for it too."""

    def __init__(self, gateway: BinanceGateway, clock: Clock) -> None:
        self.trouble = ""
        self.asked = 0
        self.silent = False
        """True while another process asks for all of us."""
        self._gateway = gateway
        self._clock = clock
        self._silent_until_s = float("-inf")
        self._pause_s = RETRY_S

    def may_ask(self, series: MarketSeries) -> bool:
        """True for one reader of a series every few seconds, unless the exchange has failed others meanwhile."""
        now_s = self._clock.monotonic()
        return not self.silent and now_s >= self._silent_until_s and series.may_ask(now_s)

    def ask(self, series: MarketSeries, known: Candles, history_candles: int) -> tuple[KlinePage, int | None] | None:
        """What has come after `known`, and from which open time on it was asked for; None where nothing came."""
        symbol, interval = series.symbol, series.interval
        start_ms = interval.next_open_ms(known.last_open_time_ms) if len(known) else None
        limit = min(PAGE_LIMIT, history_candles + 1)
        self.asked += 1
        try:
            page = self._gateway.klines(symbol, interval, start_ms=start_ms, limit=limit, deadline_s=_READER_DEADLINE_S)
        except Rejected as error:
            series.refuse(error)
            series.asked_in_vain(self._clock.monotonic())
            return None
        except ExchangeError as error:
            self._silent_until_s = self._clock.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self.trouble = str(error)
            return None
        self.trouble, self._pause_s = "", RETRY_S
        return page, start_ms
