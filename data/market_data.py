"""Market data: the one face of candles, forming candles and tickers, answered from memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from types import MappingProxyType

from data.binance_gateway import PAGE_LIMIT, BinanceGateway
from data.candle_store import CandleStore, WriteCount
from data.candles import Candle, Candles
from data.freshness import Freshness, freshness_of
from data.interval import Interval
from data.kline_page import KlinePage
from data.market_primer import Progress, prime
from data.market_series import MarketSeries, SeriesNews, joined
from data.symbol import Symbol
from data.ticker import Ticker
from utils.clock import Clock
from utils.data_cache import DataCache
from utils.errors import ExchangeError, NotFound, NotReady, Rejected, StoreError

log = logging.getLogger(__name__)

Listener = Callable[[Symbol, Interval, Candles], None]

_CLOSE_GRACE_S = 3.0
"""How long after a candle's close the feed has before a reader asks for it."""
_RETRY_S = 5.0
_LONGEST_PAUSE_S = 60.0
"""A reader asks the exchange at most this often for one series; after failures nobody asks for 5, 10, 20… 60 s."""
_READER_DEADLINE_S = 1.5
_STORED_AT_ONCE = 50
"""Series in one transaction: it saves the commits, and another writer waits a few hundredths of a second."""
_IDLE_S = 300.0
"""A market whose candles nobody has looked at for so long can do without them in memory."""
_STALE_S = 7 * 24 * 3600.0


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

    The newest `history_candles` closed candles of each series are one frozen value in the cache, which expires shortly
    after the next candle's close; a close replaces it as a whole. `clock` is exchange time.
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
        self._cache = cache
        self._clock = clock
        self._series = {pair: MarketSeries(*pair) for pair in product(self.symbols, self.intervals)}
        self._tickers: dict[Symbol, Ticker] = {}
        self._ticker_changes = dict.fromkeys(self.symbols, 0)
        self._ticker_lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._exchange_silent_until_s = float("-inf")
        self._pause_s = _RETRY_S
        self._exchange_trouble = ""
        self._closes = 0
        self._reader_calls = 0
        self._following = False
        self.run = f"{clock.now_ms():x}"
        """Beside counts of changes, so that they name a state over restarts too."""

    def candles(self, symbol: Symbol, interval: Interval, limit: int | None = None) -> Candles:
        """The newest `limit` closed candles (all that are kept in memory by default), oldest first.

        Raises NotFound for a series that is not followed, NotReady while nothing is known of it.
        """
        series = self._followed(symbol, interval)
        candles = self._hot(series)
        if not len(candles):
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
        self._hot(series)
        return f"{self.run}.{series.changes}.{self._ticker_changes[symbol]}.{series.digest[:12]}"

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

    def status(self) -> MarketStatus:
        return MarketStatus(
            symbols=len(self.symbols),
            series=len(self._series),
            with_candles=sum(1 for series in self._series.values() if series.newest_open_ms is not None),
            with_ticker=len(self._tickers),
            closes=self._closes,
            reader_calls=self._reader_calls,
            problems=MappingProxyType(self.problems()),
        )

    def series(self) -> Iterable[MarketSeries]:
        """Every followed series, to be looked at."""
        return self._series.values()

    def tickers(self) -> list[Ticker]:
        """Those that have been told."""
        return list(self._tickers.values())

    @property
    def ticker_changes(self) -> dict[Symbol, int]:
        """How often each market's numbers have changed."""
        with self._ticker_lock:
            return dict(self._ticker_changes)

    def follow(self, *, following: bool) -> None:
        """While following, another process has the feed: this one asks the exchange nothing and takes what it hears."""
        self._following = following

    def take_series(self, news: SeriesNews) -> None:
        """What the process with the feed knows of a series; candles that it has beyond ours are in the store."""
        series = self._followed(news.symbol, news.interval)
        if news.digest != series.digest:
            self.warm(news.symbol, news.interval)
        series.take(news)

    def take_ticker_changes(self, counts: Mapping[str, int]) -> None:
        with self._ticker_lock:
            self._ticker_changes |= {Symbol(name): count for name, count in counts.items()}

    def listen(self, listener: Listener) -> None:
        """`listener(symbol, interval, candles)` is called, in the writing thread, with newly closed candles."""
        self._listeners.append(listener)

    def on_closed(self, candles: Candles) -> None:
        """Closed candles of one followed series: stored, put into the hot set, told to the listeners."""
        if not len(candles):
            return
        series = self._followed(candles.symbol, candles.interval)
        with series.writing:
            changed = self._write(series, candles)
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
            self._store_told(some)
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
        with self._ticker_lock:
            known = self._tickers.get(ticker.symbol)
            if ticker.symbol not in self._ticker_changes or (known is not None and ticker.at_ms < known.at_ms):
                return
            self._tickers[ticker.symbol] = ticker
            if known is None or _numbers(known) != _numbers(ticker):
                self._ticker_changes[ticker.symbol] += 1

    def on_page(self, symbol: Symbol, interval: Interval, page: KlinePage, asked_from_ms: int | None) -> None:
        """An answer about candles from `asked_from_ms` on: what it lacks before its newest row is a hole."""
        series = self._followed(symbol, interval)
        series.problem = ""
        self.on_closed(page.closed)
        if asked_from_ms is not None and page.answered_to_ms is not None and not page.refused_open_ms:
            self.on_answered(symbol, interval, asked_from_ms, page.answered_to_ms)
        if page.forming is not None:
            self.on_forming(symbol, interval, page.forming, self._clock.now_ms())

    def on_answered(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> None:
        """The exchange has told all it has of [start_ms, end_ms): what is missing there is a hole, not asked again."""
        past_ms = min(end_ms, interval.open_ms(self._clock.now_ms()))
        for hole_ms, next_ms in self._store.missing(symbol, interval, start_ms, past_ms):
            log.info("%s %s: the exchange has no candles from %d to %d", symbol, interval, hole_ms, next_ms)
            self._store.record_hole(symbol, interval, hole_ms, next_ms)

    def on_refused(self, symbol: Symbol, interval: Interval, error: ExchangeError) -> None:
        """The exchange refuses this series; the others go on."""
        self._followed(symbol, interval).problem = str(error)

    def missing(self, symbol: Symbol, interval: Interval) -> list[tuple[int, int]]:
        """Ranges [a, b) of open times that the hot set should have and that are neither stored nor known holes."""
        now_open_ms = interval.open_ms(self._clock.now_ms())
        start_ms = max(0, interval.shift_ms(now_open_ms, -self.history_candles))
        return self._store.missing(symbol, interval, start_ms, now_open_ms)

    def filling(self, symbol: Symbol, interval: Interval) -> threading.Lock:
        """Held by whoever asks for what this series lacks, so that nobody asks for the same at the same time."""
        return self._followed(symbol, interval).filling

    def newest_known_ms(self, symbol: Symbol, interval: Interval) -> int | None:
        """Open time of the newest closed candle that is known here."""
        return self._followed(symbol, interval).newest_open_ms

    def newest_closed_ms(self, interval: Interval) -> int:
        """Open time of the candle that closed last, by exchange time."""
        return interval.shift_ms(interval.open_ms(self._clock.now_ms()), -1)

    def prime(self, on_progress: Progress | None = None) -> None:
        """Fills the hot set: from the store first, then only what is missing from the exchange.

        `on_progress(done, total, words)`. Raises the last ExchangeError if the exchange answered for no market at all;
        what the store holds is readable all the same.
        """
        prime(self, self._gateway, on_progress)

    def warm(self, symbol: Symbol, interval: Interval) -> int:
        """Reads one series from the store into memory without asking anyone; how many candles it holds."""
        series = self._followed(symbol, interval)
        with series.writing:
            candles = self._read(series)
            self._keep(series, candles)
        return len(candles)

    def trim_idle(self, fraction: float) -> int:
        """Drops the candles of `fraction` of the markets that nobody has looked at for five minutes, the longest idle
        first, from memory alone: the next reader has them from the store. How many series that were."""
        idle_since_s = self._clock.monotonic() - _IDLE_S
        idle = [one for one in self._series.values() if one.read_at_s < idle_since_s and one.newest_open_ms is not None]
        kept = [one for one in sorted(idle, key=lambda one: one.read_at_s) if self._cache.get(one.key) is not None]
        dropped = kept[: ceil(len(kept) * min(max(fraction, 0.0), 1.0))]
        for series in dropped:
            self._cache.drop(series.key)
        return len(dropped)

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

    def _hot(self, series: MarketSeries) -> Candles:
        series.read_at_s = self._clock.monotonic()
        candles = self._cache.get_or_load(
            series.key, lambda: self._load(series), ttl_s=self._fresh_for_s, stale_if_error_s=_STALE_S
        )
        if candles.digest != series.digest:  # another process has loaded them into the shared cache
            series.settle(candles)
        return candles

    def _load(self, series: MarketSeries) -> Candles:
        candles = self._read(series)
        if self._behind(candles, series.interval) and self._may_ask(series):
            self._catch_up(series, candles)
            kept: Candles | None = self._cache.get(series.key)
            candles = self._read(series) if kept is None else kept
        series.settle(candles)
        return candles

    def _read(self, series: MarketSeries) -> Candles:
        return self._store.read(
            series.symbol,
            series.interval,
            limit=self.history_candles,
            end_ms=self.newest_closed_ms(series.interval),
        )

    def _write(self, series: MarketSeries, candles: Candles) -> bool:
        hot: Candles | None = self._cache.get(series.key)
        try:
            count = self._store.write(candles)
        except StoreError as error:
            if hot is None:
                raise
            log.warning("%s %s is kept in memory only: %s", series.symbol, series.interval, error)
            self._keep(series, joined(hot, candles, self.history_candles))
            return True
        if count.replaced:
            _say_replaced(candles, count)
        if not count.added and not count.replaced:
            return False
        self._keep(series, self._read(series) if hot is None else joined(hot, candles, self.history_candles))
        return True

    def _told(self, candles: Candles) -> bool:
        series = self._followed(candles.symbol, candles.interval)
        with series.writing:
            hot: Candles | None = self._cache.get(series.key)
            if hot is not None:
                after = joined(hot, candles, self.history_candles)
                if after.digest == hot.digest:
                    return False
                self._keep(series, after)
        series.heard(min(self._clock.now_ms(), candles.last_close_time_ms))
        return True

    def _store_told(self, closes: Sequence[Candles]) -> None:
        try:
            counts = self._store.write_all(closes)
        except StoreError as error:
            log.warning("the newest candles of %d series are kept in memory only: %s", len(closes), error)
            return
        for candles, count in zip(closes, counts, strict=True):
            if count.replaced:
                _say_replaced(candles, count)
            series = self._followed(candles.symbol, candles.interval)
            if self._cache.get(series.key) is None:
                self.warm(candles.symbol, candles.interval)

    def _keep(self, series: MarketSeries, candles: Candles) -> None:
        self._cache.set(series.key, candles, ttl_s=self._fresh_for_s(candles))
        series.settle(candles)

    def _fresh_for_s(self, candles: Candles) -> float:
        """Until the next close and a moment more; a short while for candles that should be newer already."""
        if self._behind(candles, candles.interval):
            return _RETRY_S / 2
        now_ms = self._clock.now_ms()
        return (candles.interval.next_open_ms(now_ms) - now_ms) / 1000 + _CLOSE_GRACE_S

    def _behind(self, candles: Candles, interval: Interval) -> bool:
        return not len(candles) or candles.last_open_time_ms < self.newest_closed_ms(interval)

    def _may_ask(self, series: MarketSeries) -> bool:
        if self._following:
            return False
        now_s = self._clock.monotonic()
        return now_s >= self._exchange_silent_until_s and series.may_ask(now_s, _RETRY_S)

    def _catch_up(self, series: MarketSeries, known: Candles) -> None:
        """One call on behalf of a reader; a failure is remembered, so that the next readers do not wait for it too."""
        symbol, interval = series.symbol, series.interval
        start_ms = interval.next_open_ms(known.last_open_time_ms) if len(known) else None
        self._reader_calls += 1
        try:
            page = self._gateway.klines(
                symbol,
                interval,
                start_ms=start_ms,
                limit=min(PAGE_LIMIT, self.history_candles + 1),
                deadline_s=_READER_DEADLINE_S,
            )
        except Rejected as error:
            series.problem = str(error)
        except ExchangeError as error:
            self._exchange_silent_until_s = self._clock.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._exchange_trouble = str(error)
        else:
            self._exchange_trouble, self._pause_s = "", _RETRY_S
            self.on_page(symbol, interval, page, start_ms)

    def _awaited(self, series: MarketSeries) -> str:
        return series.problem or self._exchange_trouble or "waiting for the exchange to tell"


def _say_replaced(candles: Candles, count: WriteCount) -> None:
    log.warning("%d candles of %s %s were told differently before", count.replaced, candles.symbol, candles.interval)


def _numbers(ticker: Ticker) -> tuple[float, ...]:
    return (
        ticker.last_price,
        ticker.open_24h,
        ticker.high_24h,
        ticker.low_24h,
        ticker.volume_24h,
        ticker.quote_volume_24h,
    )
