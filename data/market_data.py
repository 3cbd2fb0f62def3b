"""Market data: the one face of candles, forming candles and tickers, answered from memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from data.binance_gateway import BinanceGateway
from data.candle_store import CandleStore
from data.candles import Candle, Candles
from data.freshness import Freshness, freshness_of
from data.hot_candles import HotCandles
from data.interval import Interval
from data.kline_page import KlinePage
from data.market_primer import FirstQuestions, Progress, prime
from data.market_series import MarketSeries, SeriesNews
from data.market_tickers import MarketTickers
from data.ranges import subtracted
from data.reader_questions import ReaderQuestions
from data.symbol import Symbol
from data.ticker import Ticker
from utils.clock import Clock
from utils.data_cache import DataCache
from utils.errors import ExchangeError, NotFound, NotReady

log = logging.getLogger(__name__)

Listener = Callable[[Symbol, Interval, Candles], None]

_STORED_AT_ONCE = 50
"""Series in one transaction: it saves the commits, and another writer waits a few hundredths of a second."""


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """How many of the followed series hold candles, and in which state they are."""

    symbols: int
    series: int
    with_candles: int
    with_ticker: int
    closes: int
    reader_calls: int
    problems: Mapping[str, str]


class MarketData:
    """The followed markets. Safe for many threads; reading never waits for the exchange longer than 1.5 s, once.

    The newest `history_candles` closed candles of each series are in memory (`data.hot_candles`), older ones in the
    store. `clock` is exchange time.
    """

    def __init__(
        self,
        *,
        store: CandleStore,
        gateway: BinanceGateway,
        cache: DataCache,
        clock: Clock,
        symbols: Sequence[Symbol],
        intervals: Sequence[Interval],
        history_candles: int,
    ) -> None:
        self.symbols = tuple(symbols)
        self.intervals = tuple(intervals)
        self.history_candles = history_candles
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._series = {pair: MarketSeries(*pair) for pair in product(self.symbols, self.intervals)}
        self._hot = HotCandles(store=store, cache=cache, clock=clock, count=history_candles)
        self._tickers = MarketTickers(self.symbols)
        self._questions = ReaderQuestions(gateway, clock)
        self._first = FirstQuestions(self, gateway)
        self._listeners: list[Listener] = []
        self._closes = 0
        self.run = f"{clock.now_ms():x}"
        """Beside counts of changes, so that they name a state over restarts too."""

    def candles(self, symbol: Symbol, interval: Interval, limit: int | None = None) -> Candles:
        """The newest `limit` closed candles (all that are kept in memory by default), oldest first.

        Raises NotFound for a series that is not followed, or whose market the exchange does not know; NotReady while
        nothing is known of it.
        """
        series = self._followed(symbol, interval)
        candles = self._hot.get(series, self._catch_up)
        if not len(candles):
            if series.unknown:
                raise NotFound(series.problem)
            raise NotReady(f"no candle of {symbol} {interval} is known yet; {self._awaited(series)}")
        return candles if limit is None else candles.tail(limit)

    def stored(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int, most: int) -> Candles:
        """Closed candles that open in [start_ms, end_ms], the newest `most`: of the store, which holds more history."""
        self._followed(symbol, interval)
        return self._store.read(symbol, interval, limit=most, start_ms=start_ms, end_ms=end_ms)

    def forming(self, symbol: Symbol, interval: Interval) -> Candle | None:
        """The candle that is open now, as last told; None where nothing recent was told."""
        series = self._followed(symbol, interval)
        candle = series.forming
        if candle is None:
            return None
        over_ms = interval.next_open_ms(interval.next_open_ms(candle.open_time_ms))
        return candle if self._clock.now_ms() < over_ms else None

    def ticker(self, symbol: Symbol) -> Ticker | None:
        """The last 24 hours; None until the exchange has told."""
        return self._tickers.get(symbol)

    def version(self, symbol: Symbol, interval: Interval) -> str:
        """Changes exactly when the candles, the forming candle or the ticker change; cheap."""
        series = self._followed(symbol, interval)
        self._hot.get(series, self._catch_up)
        return f"{self.run}.{series.changes}.{self._tickers.changes_of(symbol)}.{series.digest[:12]}"

    def changes(self, interval: Interval) -> str:
        """The same for all markets together, and cheaper than each one's: it adds up how often they have changed."""
        of_series = sum([series.changes for pair, series in self._series.items() if pair[1] is interval])
        return f"{self.run}.{of_series}.{self._tickers.all_changes}"

    def freshness(self, symbol: Symbol, interval: Interval) -> Freshness:
        """How old the newest news of this series is."""
        series = self._followed(symbol, interval)
        newest = series.newest_open_ms
        if newest is None:
            return freshness_of(None, 0, closes_missing=True)
        now_ms = self._clock.now_ms()
        as_of_ms = max(series.heard_ms or 0, min(now_ms, interval.close_ms(newest)))
        return freshness_of(as_of_ms, now_ms, closes_missing=newest < self.newest_closed_ms(interval))

    def problems(self) -> dict[str, str]:
        """What keeps single markets from being up to date, in words, by market."""
        return {str(series.symbol): series.problem for series in self._series.values() if series.problem}

    def problem(self, symbol: Symbol, interval: Interval) -> str:
        """Why the exchange has no answer for this series, in words; empty while it has, or was not asked."""
        return self._followed(symbol, interval).problem

    @property
    def unknown(self) -> tuple[Symbol, ...]:
        """Followed markets that the exchange says it does not know."""
        found = {series.symbol for series in self._series.values() if series.unknown}
        return tuple(symbol for symbol in self.symbols if symbol in found)

    @property
    def known(self) -> tuple[Symbol, ...]:
        """The others."""
        unknown = set(self.unknown)
        return tuple(symbol for symbol in self.symbols if symbol not in unknown)

    def status(self) -> MarketStatus:
        return MarketStatus(
            symbols=len(self.symbols),
            series=len(self._series),
            with_candles=sum(1 for series in self._series.values() if series.newest_open_ms is not None),
            with_ticker=len(self._tickers),
            closes=self._closes,
            reader_calls=self._questions.asked,
            problems=MappingProxyType(self.problems()),
        )

    def series(self) -> Iterable[MarketSeries]:
        """Every followed series, to be looked at."""
        return self._series.values()

    def tickers(self) -> list[Ticker]:
        """Those that have been told."""
        return self._tickers.all()

    @property
    def ticker_changes(self) -> dict[Symbol, int]:
        """How often each market's numbers have changed."""
        return self._tickers.changes

    def follow(self, *, following: bool) -> None:
        """While following, another process has the feed: this one asks the exchange nothing and takes what it hears."""
        self._questions.silent = following

    def take_series(self, news: SeriesNews) -> None:
        """What the process with the feed knows of a series; candles that it has beyond ours are in the store."""
        series = self._followed(news.symbol, news.interval)
        if news.digest != series.digest:
            self._hot.warm(series)
        series.take(news)

    def take_ticker_changes(self, counts: Mapping[str, int]) -> None:
        self._tickers.take_changes(counts)

    def listen(self, listener: Listener) -> None:
        """`listener(symbol, interval, candles)` is called, in the writing thread, with newly closed candles."""
        self._listeners.append(listener)

    def on_closed(self, candles: Candles) -> None:
        """Closed candles of one followed series: stored, put into the hot set, told to the listeners."""
        if not len(candles):
            return
        series = self._followed(candles.symbol, candles.interval)
        changed = self._hot.write(series, candles)
        series.heard(min(self._clock.now_ms(), candles.last_close_time_ms))
        if changed:
            self._closes += len(candles)
            self._tell(candles)

    def on_told(self, closes: Sequence[Candles]) -> list[Candles]:
        """Candles that the exchange said are closed, of many followed series at once: in the hot set when this returns.

        At a full minute hundreds of markets close together, and storing them takes longer than a reader should wait.
        Those that are news are answered, to be stored by `keep`.
        """
        return [candles for candles in closes if len(candles) and self._told(candles)]

    def keep(self, closes: Sequence[Candles]) -> None:
        """Stores what `on_told` has answered, in transactions that leave others room, and tells the listeners."""
        for start in range(0, len(closes), _STORED_AT_ONCE):
            some = closes[start : start + _STORED_AT_ONCE]
            self._hot.store([(self._followed(one.symbol, one.interval), one) for one in some])
            for candles in some:
                self._closes += len(candles)
                self._tell(candles)

    def on_forming(self, symbol: Symbol, interval: Interval, candle: Candle, event_ms: int) -> None:
        """The forming candle as the exchange told it at `event_ms`; older words change nothing."""
        series = self._followed(symbol, interval)
        series.form(candle, event_ms)
        series.heard(event_ms)

    def on_ticker(self, ticker: Ticker) -> None:
        """A ticker of a followed market; an older one changes nothing."""
        self._tickers.put(ticker)

    def on_page(self, symbol: Symbol, interval: Interval, page: KlinePage, asked_from_ms: int | None) -> None:
        """An answer about candles from `asked_from_ms` on: what it lacks before its newest row is a hole."""
        series = self._followed(symbol, interval)
        self.on_closed(page.closed)
        known_ms = series.newest_open_ms
        if known_ms is None:
            series.lack()  # of a market of which nothing is known the next reader asks for whatever it has
        else:
            series.answer()
            if known_ms < self.newest_closed_ms(interval):
                series.asked_in_vain(self._clock.monotonic())
        if asked_from_ms is not None and page.answered_to_ms is not None and not page.refused_open_ms:
            self.on_answered(symbol, interval, asked_from_ms, page.answered_to_ms)
        if page.forming is not None:
            self.on_forming(symbol, interval, page.forming, self._clock.now_ms())

    def on_answered(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> None:
        """The exchange has told all it has of [start_ms, end_ms): what is missing there is a hole, not asked again."""
        past_ms = min(end_ms, interval.open_ms(self._clock.now_ms()))
        if self._hot.lacking(self._followed(symbol, interval), start_ms, past_ms) == []:
            return
        for hole_ms, next_ms in self._store.missing(symbol, interval, start_ms, past_ms):
            log.info("%s %s: the exchange has no candles from %d to %d", symbol, interval, hole_ms, next_ms)
            self._store.record_hole(symbol, interval, hole_ms, next_ms)

    def on_refused(self, symbol: Symbol, interval: Interval, error: ExchangeError) -> None:
        """The exchange refuses this series; the others go on. Said once, and of an unknown market once for all."""
        told = symbol in self.unknown
        series = self._followed(symbol, interval)
        if series.refuse(error) and not (told and series.unknown):
            log.warning("%s %s is left out: %s", symbol, interval, series.problem)

    def missing(self, symbol: Symbol, interval: Interval) -> list[tuple[int, int]]:
        """Ranges [a, b) of open times that the hot set should have and that are neither stored nor known holes."""
        now_open_ms = interval.open_ms(self._clock.now_ms())
        start_ms = max(0, interval.shift_ms(now_open_ms, -self.history_candles))
        lacking = self._hot.lacking(self._followed(symbol, interval), start_ms, now_open_ms)
        if lacking is None:
            return self._store.missing(symbol, interval, start_ms, now_open_ms)
        return subtracted(lacking, self._store.holes(symbol, interval)) if lacking else []

    def filling(self, symbol: Symbol, interval: Interval) -> threading.Lock:
        """Held by whoever asks for what this series lacks, so that nobody asks for the same at the same time."""
        return self._followed(symbol, interval).filling

    def newest_known_ms(self, symbol: Symbol, interval: Interval) -> int | None:
        """Open time of the newest closed candle that is known here."""
        return self._followed(symbol, interval).newest_open_ms

    def newest_closed_ms(self, interval: Interval) -> int:
        """Open time of the candle that closed last, by exchange time."""
        return self._hot.newest_closed_ms(interval)

    def prime(self, on_progress: Progress | None = None) -> None:
        """Fills the hot set: from the store first, then only what is missing from the exchange.

        `on_progress(done, total, words)`. Raises the last ExchangeError if the exchange answered for no market at all;
        what the store holds is readable all the same.
        """
        prime(self, self._gateway, self._first, on_progress)

    def ask_first(self) -> None:
        """Asks what a start asks whatever the store holds; returns at once, `prime` waits for the answers."""
        self._first.begin()

    def warm(self) -> None:
        """Reads what the store holds into memory, of every series that is not there, without asking anyone."""
        self._hot.warm_all(list(self._series.values()))

    def trim_idle(self, fraction: float) -> int:
        """Drops the candles of `fraction` of the markets that nobody has looked at for five minutes, the longest idle
        first, from memory alone: the next reader has them from the store. How many series that were."""
        return self._hot.trim_idle(self._series.values(), fraction)

    def _tell(self, candles: Candles) -> None:
        """A listener's fault, whatever it is, must not keep the candles from the others."""
        for listener in self._listeners:
            try:
                listener(candles.symbol, candles.interval, candles)
            except Exception:
                log.exception("a listener failed on new candles of %s %s", candles.symbol, candles.interval)

    def _followed(self, symbol: Symbol, interval: Interval) -> MarketSeries:
        series = self._series.get((symbol, interval))
        if series is None:
            raise NotFound(
                f"{symbol} {interval} is not followed here; followed are {', '.join(self.symbols)} "
                f"at {', '.join(self.intervals)}"
            )
        return series

    def _told(self, candles: Candles) -> bool:
        series = self._followed(candles.symbol, candles.interval)
        if not self._hot.join(series, candles):
            return False
        series.heard(min(self._clock.now_ms(), candles.last_close_time_ms))
        return True

    def _catch_up(self, series: MarketSeries, known: Candles) -> bool:
        """One call on behalf of a reader, if one may be made now."""
        if not self._questions.may_ask(series):
            return False
        found = self._questions.ask(series, known, self.history_candles)
        if found is not None:
            page, start_ms = found
            self.on_page(series.symbol, series.interval, page, start_ms)
        return True

    def _awaited(self, series: MarketSeries) -> str:
        return series.problem or self._questions.trouble or "waiting for the exchange to tell"
