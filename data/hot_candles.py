"""Hot candles: the newest closed candles of each series, a frozen value in memory over the store that has them all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from math import ceil

import numpy as np

from data.candle_rows import WriteCount
from data.candle_store import CandleStore
from data.candles import Candles
from data.interval import Interval
from data.market_series import RETRY_S, MarketSeries, joined
from data.ranges import Range, subtracted
from utils.clock import Clock
from utils.data_cache import DataCache
from utils.errors import StoreError

log = logging.getLogger(__name__)

_CLOSE_GRACE_S = 3.0
"""How long after a candle's close the feed has before a reader asks for it."""
_IDLE_S = 300.0
"""A market whose candles nobody has looked at for so long can do without them in memory."""
_STALE_S = 7 * 24 * 3600.0

Fill = Callable[[MarketSeries, Candles], bool]
"""Asks for what came after these candles and puts it into the series; False where nobody may ask now."""


class HotCandles:
    """Expires shortly after the next candle's close; a close replaces the value as a whole. Safe for many threads.

    `clock` is exchange time. What is read, joined and kept never holds more than `count` candles a series.
    """

    def __init__(self, *, store: CandleStore, cache: DataCache, clock: Clock, count: int) -> None:
        self.count = count
        self._store = store
        self._cache = cache
        self._clock = clock
        self._unstored: set[MarketSeries] = set()
        """Of these memory has had candles that the store could not take."""

    def newest_closed_ms(self, interval: Interval) -> int:
        """Open time of the candle that closed last, by exchange time."""
        return interval.shift_ms(interval.open_ms(self._clock.now_ms()), -1)

    def get(self, series: MarketSeries, fill: Fill) -> Candles:
        """From memory; on a miss from the store, and what that lacks by one call of `fill`, whoever waits for it."""
        series.read_at_s = self._clock.monotonic()
        candles = self._cache.get_or_load(
            series.key, lambda: self._load(series, fill), ttl_s=self._fresh_for_s, stale_if_error_s=_STALE_S
        )
        if candles.digest != series.digest:  # another process has loaded them into the shared cache
            series.settle(candles)
        return candles

    def warm(self, series: MarketSeries) -> int:
        """From the store into memory; how many candles that are."""
        with series.writing:
            candles = self._read(series)
            self._keep(series, candles)
        return len(candles)

    def warm_all(self, several: Sequence[MarketSeries]) -> None:
        """The same for all that are not in memory yet, read in one go: one by one takes half as long again."""
        cold = {(one.symbol, one.interval): one for one in several if one.newest_open_ms is None}
        if not cold:
            return
        before = {interval: self.newest_closed_ms(interval) for _, interval in cold}
        for candles in self._store.read_newest(cold, limit=self.count, end_ms=before):
            series = cold[candles.symbol, candles.interval]
            with series.writing:
                if series.newest_open_ms is None:  # what came meanwhile is newer than what was read
                    self._keep(series, candles)

    def write(self, series: MarketSeries, candles: Candles) -> bool:
        """Closed candles into the store and into memory; whether they were news. Raises StoreError where neither the
        store takes them nor memory has what they belong to."""
        with series.writing:
            return self._write(series, candles)

    def join(self, series: MarketSeries, candles: Candles) -> bool:
        """Closed candles into memory alone, if the series is there, to be stored later; whether they may be news."""
        with series.writing:
            hot: Candles | None = self._cache.get(series.key)
            if hot is None:
                return True
            after = joined(hot, candles, self.count)
            if after.digest == hot.digest:
                return False
            self._keep(series, after)
        return True

    def store(self, several: Sequence[tuple[MarketSeries, Candles]]) -> None:
        """What was joined, in one transaction; a series that is not in memory is read into it."""
        try:
            counts = self._store.write_all([candles for _, candles in several])
        except StoreError as error:
            log.warning("the newest candles of %d series are kept in memory only: %s", len(several), error)
            self._unstored.update(series for series, _ in several)
            return
        for (series, candles), count in zip(several, counts, strict=True):
            if count.replaced:
                _say_replaced(candles, count)
            if not self._take_stored(series, candles):
                self.warm(series)

    def lacking(self, series: MarketSeries, start_ms: int, end_ms: int) -> list[Range] | None:
        """What of [start_ms, end_ms) is not in memory, holes that are known included; None where the store has to be
        asked. What is in memory is in the store too, or will be in a moment, so that nobody need look there."""
        candles: Candles | None = self._cache.peek(series.key)
        if candles is None or not len(candles) or series.interval is Interval.MO1 or series in self._unstored:
            return None
        first_ms, last_ms = int(candles.open_time_ms[0]), candles.last_open_time_ms
        unbroken = last_ms - first_ms == (len(candles) - 1) * series.interval.ms
        if not unbroken or first_ms > start_ms:
            return None
        return subtracted([(start_ms, end_ms)], [(first_ms, series.interval.next_open_ms(last_ms))])

    def trim_idle(self, several: Iterable[MarketSeries], fraction: float) -> int:
        """Drops `fraction` of those that nobody has looked at for five minutes, the longest idle first: the next reader
        has them from the store. How many that were."""
        idle_since_s = self._clock.monotonic() - _IDLE_S
        idle = [one for one in several if one.read_at_s < idle_since_s and one.newest_open_ms is not None]
        kept = [one for one in sorted(idle, key=lambda one: one.read_at_s) if self._cache.get(one.key) is not None]
        dropped = kept[: ceil(len(kept) * min(max(fraction, 0.0), 1.0))]
        for series in dropped:
            self._cache.drop(series.key)
        return len(dropped)

    def _load(self, series: MarketSeries, fill: Fill) -> Candles:
        candles = self._read(series)
        if self._behind(candles, series.interval) and fill(series, candles):
            kept: Candles | None = self._cache.get(series.key)
            candles = self._read(series) if kept is None else kept
        series.settle(candles)
        return candles

    def _read(self, series: MarketSeries) -> Candles:
        """Up to the newest that was told, which our clock may not know to have closed."""
        newest_ms = max(self.newest_closed_ms(series.interval), series.newest_open_ms or 0)
        return self._store.read(series.symbol, series.interval, limit=self.count, end_ms=newest_ms)

    def _write(self, series: MarketSeries, candles: Candles) -> bool:
        hot: Candles | None = self._cache.get(series.key)
        try:
            count = self._store.write(candles)
        except StoreError as error:
            if hot is None:
                raise
            log.warning("%s %s is kept in memory only: %s", series.symbol, series.interval, error)
            self._unstored.add(series)
            self._keep(series, joined(hot, candles, self.count))
            return True
        if count.replaced:
            _say_replaced(candles, count)
        if not count.added and not count.replaced:
            if hot is not None and not _holds(hot, candles):  # read before they were stored
                self._keep(series, joined(hot, candles, self.count))
            return False
        self._keep(series, self._read(series) if hot is None else joined(hot, candles, self.count))
        return True

    def _take_stored(self, series: MarketSeries, candles: Candles) -> bool:
        """False where the series is not in memory. A reader may have read it from the store just before these came
        there: nobody would miss them, since the store has them."""
        with series.writing:
            hot: Candles | None = self._cache.get(series.key)
            if hot is not None and not _holds(hot, candles):
                self._keep(series, joined(hot, candles, self.count))
        return hot is not None

    def _keep(self, series: MarketSeries, candles: Candles) -> None:
        self._cache.set(series.key, candles, ttl_s=self._fresh_for_s(candles), size_bytes=candles.size_bytes)
        series.settle(candles)

    def _fresh_for_s(self, candles: Candles) -> float:
        """Until the next close and a moment more; a short while for candles that should be newer already."""
        if self._behind(candles, candles.interval):
            return RETRY_S / 2
        now_ms = self._clock.now_ms()
        return (candles.interval.next_open_ms(now_ms) - now_ms) / 1000 + _CLOSE_GRACE_S

    def _behind(self, candles: Candles, interval: Interval) -> bool:
        return not len(candles) or candles.last_open_time_ms < self.newest_closed_ms(interval)


def _holds(hot: Candles, candles: Candles) -> bool:
    """Whether memory has what it should of these: all that are newer than its oldest."""
    wanted = candles.open_time_ms[candles.open_time_ms > hot.open_time_ms[0]] if len(hot) else candles.open_time_ms
    return bool(np.isin(wanted, hot.open_time_ms).all())


def _say_replaced(candles: Candles, count: WriteCount) -> None:
    log.warning("%d candles of %s %s were told differently before", count.replaced, candles.symbol, candles.interval)
