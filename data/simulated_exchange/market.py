"""Market: what one sees of a simulated market at any moment: its whole candles, and the one that is still forming."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTE,
    VOLUME,
    Bar,
    Series,
    Values,
    join,
)
from data.simulated_exchange.whole_rows import Source, WholeRows, open_at_or_after

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
_KEPT_HEADS = 4_096


class Market:
    """A source at any moment, with a living last candle. All moments are given; it has no clock of its own."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._whole = WholeRows(source)
        self.listings = source.listings
        self.end_ms = source.end_ms()
        self._seconds: dict[str, tuple[int, Values | None]] = {}
        self._heads: dict[tuple[str, int], tuple[int, int, Bar | None]] = {}
        self._lock = RLock()

    def klines(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int
    ) -> Series:
        """As `/api/v3/klines` counts them: the last row is the forming candle where the range reaches `now_ms`."""
        listed = self.listings[symbol].listed_ms
        last_open = interval.open_ms(now_ms)
        stop = last_open if end_ms is None else min(end_ms, last_open)
        if start_ms is None:
            return self._newest(symbol, interval, interval.open_ms(listed), stop, limit, now_ms)
        first = open_at_or_after(interval, max(start_ms, interval.open_ms(listed)))
        return self._oldest(symbol, interval, first, stop, limit, now_ms)

    def rows(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Whole candles with start <= open time < end, whatever the time is now."""
        return self._whole.rows(symbol, interval, start_ms, end_ms)

    def traded(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """The same with guesses where something was traded but not all of it recorded."""
        return self._whole.traded(symbol, interval, start_ms, end_ms)

    def fold(self, symbol: str, start_ms: int, end_ms: int) -> Bar | None:
        """Everything traded in [start, end), both on the minute grid, as one bar."""
        return self._whole.fold(symbol, start_ms, end_ms)

    def forming(self, symbol: str, interval: Interval, now_ms: int) -> Bar | None:
        """The candle that is open at `now_ms`, made of every whole second so far; None: not listed, or an outage."""
        if interval is Interval.S1:
            last = self.running(symbol, now_ms)
            return Bar.flat(last.close) if last else None
        opened = interval.open_ms(now_ms)
        bar = self.since(symbol, opened, now_ms)
        if bar is None or self._source.coverage(symbol, interval) is None:
            return bar
        own = self._source.recorded(symbol, interval, opened, opened + 1)
        if not len(own):
            return bar
        unrecorded = (own.values[QUOTE:, 0] == 0).tolist()
        return Bar(*bar[:QUOTE], *(0 if none else value for none, value in zip(unrecorded, bar[QUOTE:], strict=True)))

    def since(self, symbol: str, start_ms: int, now_ms: int) -> Bar | None:
        """Everything traded from `start_ms` (on the minute grid) to the last whole second before `now_ms`."""
        minute = now_ms // _MINUTE_MS * _MINUTE_MS
        head = self._head(symbol, max(start_ms, self.listings[symbol].listed_ms), minute)
        tail = self.running(symbol, now_ms)
        if head is None or tail is None:
            return head or tail
        return head.then(tail)

    def running(self, symbol: str, now_ms: int) -> Bar | None:
        """What the current minute has traded so far; flat at its first price while that is nothing."""
        minute, into = now_ms // _MINUTE_MS * _MINUTE_MS, now_ms % _MINUTE_MS // 1000
        with self._lock:
            kept = self._seconds.get(symbol)
            if kept is None or kept[0] != minute:
                seconds = self.traded(symbol, Interval.S1, minute, minute + _MINUTE_MS)
                kept = minute, _run(seconds.values) if len(seconds) else None
                self._seconds[symbol] = kept
        run = kept[1]
        if run is None:
            return None
        return Bar(*run[:, into - 1].tolist()) if into else Bar.flat(run[OPEN, 0].item())

    def prepare(self, symbols: Iterable[str], now_ms: int) -> None:
        """Draws the current minute of many markets at once; without it each is drawn when it is first asked for.

        Only for sources whose finest rows are hours of whole ticks; for others it does nothing.
        """
        minute, hour = now_ms // _MINUTE_MS * _MINUTE_MS, now_ms // _HOUR_MS * _HOUR_MS
        with self._lock:
            able = [name for name in symbols if self._batches(name, hour)]
            self._source.warm(able, minute - _DAY_MS, hour + _HOUR_MS)
            self._whole.prepare_hours(able, hour)
            self._whole.prepare_hours(able, (minute - _DAY_MS) // _HOUR_MS * _HOUR_MS)
            late = [name for name in able if self._seconds.get(name, (-1, None))[0] != minute]
            if len(late) < 2:
                return
            place = (minute - hour) // _MINUTE_MS
            hours = [self.traded(name, Interval.M1, hour, hour + _HOUR_MS) for name in late]
            rows = np.stack([one.values[:, place] for one in hours], axis=1)
            runs = _run(self._whole.children(late, rows, Interval.M1, minute))
            self._seconds.update({name: (minute, runs[:, index]) for index, name in enumerate(late)})

    def _batches(self, symbol: str, hour: int) -> bool:
        covered = self._source.coverage(symbol, Interval.H1)
        return self._whole.exact(symbol) and covered is not None and covered[0] <= hour - _DAY_MS and hour < covered[1]

    def _newest(self, symbol: str, interval: Interval, first: int, stop: int, limit: int, now_ms: int) -> Series:
        ended = self.listings[symbol].ended_ms
        cursor = interval.next_open_ms(stop if ended is None else min(stop, ended))
        parts: list[Series] = []
        found, count = 0, limit
        while found < limit and cursor > first:
            start = max(first, interval.shift_ms(cursor, -count))
            parts.insert(0, self._visible(symbol, interval, start, cursor, now_ms))
            found += len(parts[0])
            cursor, count = start, count * 2
        return join(parts).tail(limit) if parts else self._whole.empty(symbol)

    def _oldest(self, symbol: str, interval: Interval, first: int, stop: int, limit: int, now_ms: int) -> Series:
        parts: list[Series] = []
        found, count, cursor, end = 0, limit, first, stop + 1
        while found < limit and cursor < end:
            until = interval.shift_ms(cursor, count)
            parts.append(self._visible(symbol, interval, cursor, min(until, end), now_ms))
            found += len(parts[-1])
            cursor, count = until, count * 2
        return join(parts).head(limit) if parts else self._whole.empty(symbol)

    def _visible(self, symbol: str, interval: Interval, start_ms: int, end_ms: int, now_ms: int) -> Series:
        """Rows in [start, end) as one sees them at `now_ms`."""
        last_open = interval.open_ms(now_ms)
        whole = self.rows(symbol, interval, start_ms, min(end_ms, last_open))
        if not start_ms <= last_open < end_ms:
            return whole
        bar = self.forming(symbol, interval, now_ms)
        if bar is None:
            return whole
        column = np.array(bar, dtype=whole.values.dtype).reshape(9, 1)
        return join([whole, Series(np.array([last_open], dtype=np.int64), column)])

    def _head(self, symbol: str, start_ms: int, minute: int) -> Bar | None:
        with self._lock:
            kept = self._heads.get((symbol, start_ms))
            if kept is not None and kept[1] == minute:
                return kept[2]
            head = self.fold(symbol, start_ms, minute) if start_ms < minute else None
            if len(self._heads) > _KEPT_HEADS:
                self._heads.clear()
            self._heads[symbol, start_ms] = start_ms, minute, head
            return head


def _run(seconds: Values) -> Values:
    """From each second's values (9, ..., n) those of everything up to its end, same shape."""
    run = np.empty_like(seconds)
    run[OPEN], run[CLOSE] = seconds[OPEN, ..., :1], seconds[CLOSE]
    run[HIGH] = np.maximum.accumulate(seconds[HIGH], axis=-1)
    run[LOW] = np.minimum.accumulate(seconds[LOW], axis=-1)
    run[VOLUME:] = np.cumsum(seconds[VOLUME:], axis=-1)
    return run
