"""Market: any candle at any moment: stored, added up from finer rows, or drawn within coarser ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from typing import Protocol

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    PLAIN,
    QUOTE,
    VOLUME,
    Bar,
    Series,
    Values,
    aggregate,
    join,
)
from data.simulated_exchange.hashing import Keys, keys_at
from data.simulated_exchange.listings import Listing
from data.simulated_exchange.refinement import refine
from data.simulated_exchange.steps import from_steps, steps_of, to_steps

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
_LADDER = (Interval.D1, Interval.H1, Interval.M1, Interval.S1)
_ASCENDING = tuple(sorted(Interval, key=lambda interval: interval.ms))
_KEPT_MINUTES = 4_096


class Source(Protocol):
    """Where a market's rows come from."""

    listings: dict[str, Listing]

    def key(self, symbol: str) -> int:
        """Decides the noise of what is drawn inside the rows."""
        ...

    def end_ms(self) -> int | None:
        """The moment at which the data end; None: never."""
        ...

    def coverage(self, symbol: str, interval: Interval) -> tuple[int, int] | None:
        """[first open time, end) of the rows the source itself has at this interval."""
        ...

    def recorded(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """The source's own rows with start <= open time < end; zeros where a value was not recorded."""
        ...

    def stored(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """The same with every value, a plausible one where it was not recorded: what is drawn or added up from."""
        ...

    def warm(self, symbols: Sequence[str], start_ms: int, end_ms: int) -> None:
        """Makes ready what will be asked of many markets."""
        ...


class Market:
    """A source seen at every interval, with a living last candle. All moments are given; it has no clock of its own."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.listings = source.listings
        self.end_ms = source.end_ms()
        self._minutes: OrderedDict[tuple[str, int], Series] = OrderedDict()
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
        first = _open_at_or_after(interval, max(start_ms, interval.open_ms(listed)))
        return self._oldest(symbol, interval, first, stop, limit, now_ms)

    def rows(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Whole candles with start <= open time < end, whatever the time is now."""
        return self._joined(self._source.recorded, symbol, interval, start_ms, end_ms)

    def traded(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """The same with guesses where something was traded but not all of it recorded."""
        return self._joined(self._source.stored, symbol, interval, start_ms, end_ms)

    def _joined(
        self,
        own: Callable[[str, Interval, int, int], Series],
        symbol: str,
        interval: Interval,
        start_ms: int,
        end_ms: int,
    ) -> Series:
        """The source's own rows, and before and after them what is made from other intervals."""
        if start_ms >= end_ms:
            return self._empty(symbol)
        covered = self._source.coverage(symbol, interval)
        if covered is None:
            return self._derived(symbol, interval, start_ms, end_ms)
        first, end = covered
        return join([
            self._derived(symbol, interval, start_ms, min(end_ms, first)),
            own(symbol, interval, start_ms, end_ms),
            self._derived(symbol, interval, max(start_ms, end), end_ms),
        ])  # fmt: skip

    def fold(self, symbol: str, start_ms: int, end_ms: int) -> Bar | None:
        """Everything traded in [start, end), both on the minute grid, as one bar."""
        first = min(_ceil(start_ms, _HOUR_MS), end_ms)
        last = max(end_ms // _HOUR_MS * _HOUR_MS, first)
        return join([
            self.traded(symbol, Interval.M1, start_ms, first),
            self.traded(symbol, Interval.H1, first, last) if last > first else self._empty(symbol),
            self.traded(symbol, Interval.M1, last, end_ms),
        ]).fold()  # fmt: skip

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
            self._prepare_hours(able, hour)
            self._prepare_hours(able, (minute - _DAY_MS) // _HOUR_MS * _HOUR_MS)
            late = [name for name in able if self._seconds.get(name, (-1, None))[0] != minute]
            if len(late) < 2:
                return
            place = (minute - hour) // _MINUTE_MS
            rows = np.stack([self._minutes[f"{name} 1m", hour].values[:, place] for name in late], axis=1)
            runs = _run(self._children(late, rows, Interval.M1, minute))
            self._seconds.update({name: (minute, runs[:, index]) for index, name in enumerate(late)})

    def _batches(self, symbol: str, hour: int) -> bool:
        covered = self._source.coverage(symbol, Interval.H1)
        return self._exact(symbol) and covered is not None and covered[0] <= hour - _DAY_MS and hour < covered[1]

    def _prepare_hours(self, symbols: list[str], hour: int) -> None:
        late = [name for name in symbols if (f"{name} 1m", hour) not in self._minutes]
        if len(late) < 2:
            return
        rows = [self._source.stored(name, Interval.H1, hour, hour + _HOUR_MS).values for name in late]
        children = self._children(late, np.concatenate(rows, axis=1), Interval.H1, hour)
        times = hour + np.arange(60, dtype=np.int64) * _MINUTE_MS
        for index, name in enumerate(late):
            self._keep(name, Interval.M1, hour, Series(times, children[:, index]))

    def _children(self, symbols: list[str], rows: Values, parent: Interval, open_ms: int) -> Values:
        keys = np.array([self._source.key(name) for name in symbols], dtype=np.uint64)
        return refine(rows, keys_at(keys, parent.ms, open_ms), 60)

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
        return join(parts).tail(limit) if parts else self._empty(symbol)

    def _oldest(self, symbol: str, interval: Interval, first: int, stop: int, limit: int, now_ms: int) -> Series:
        parts: list[Series] = []
        found, count, cursor, end = 0, limit, first, stop + 1
        while found < limit and cursor < end:
            until = interval.shift_ms(cursor, count)
            parts.append(self._visible(symbol, interval, cursor, min(until, end), now_ms))
            found += len(parts[-1])
            cursor, count = until, count * 2
        return join(parts).head(limit) if parts else self._empty(symbol)

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
            if len(self._heads) > _KEPT_MINUTES:
                self._heads.clear()
            self._heads[symbol, start_ms] = start_ms, minute, head
            return head

    def _derived(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        if start_ms >= end_ms:
            return self._empty(symbol)
        finer = next(step for step in _LADDER if step.ms < interval.ms) if interval is not Interval.S1 else None
        if finer and (interval not in _LADDER or self._has_finer(symbol, interval, start_ms, end_ms)):
            first, end = _open_at_or_after(interval, start_ms), _open_at_or_after(interval, end_ms)
            return aggregate(self.traded(symbol, finer, first, end), interval) if first < end else self._empty(symbol)
        return self._drawn(symbol, interval, start_ms, end_ms)

    def _has_finer(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> bool:
        finer = (step for step in _ASCENDING if step.ms < interval.ms)
        covered = (self._source.coverage(symbol, step) for step in finer)
        return any(span and span[0] < end_ms and start_ms < span[1] for span in covered)

    def _drawn(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Rows of a ladder interval drawn inside the nearest coarser rows the source has."""
        if interval is Interval.D1 or start_ms >= end_ms:
            return self._empty(symbol)
        above = _LADDER[_LADDER.index(interval) - 1]
        for parent in (step for step in _ASCENDING if interval.ms < step.ms <= above.ms):
            covered = self._source.coverage(symbol, parent)
            if covered is None or covered[0] >= end_ms or covered[1] <= start_ms:
                continue
            first, end = max(start_ms, covered[0]), min(end_ms, covered[1])
            return join([
                self._drawn(symbol, interval, start_ms, first),
                self._split(symbol, parent, interval, first, end),
                self._drawn(symbol, interval, end, end_ms),
            ])  # fmt: skip
        return self._split(symbol, above, interval, start_ms, end_ms)

    def _split(self, symbol: str, parent: Interval, interval: Interval, start_ms: int, end_ms: int) -> Series:
        first, last = parent.open_ms(start_ms), parent.open_ms(end_ms - 1)
        if first != last or interval is Interval.S1:
            return self._split_now(symbol, parent, interval, first, last + parent.ms).between(start_ms, end_ms)
        with self._lock:
            kept = self._minutes.get((f"{symbol} {interval}", first))
            if kept is None:
                kept = self._split_now(symbol, parent, interval, first, last + parent.ms)
                self._keep(symbol, interval, first, kept)
            return kept.between(start_ms, end_ms)

    def _keep(self, symbol: str, interval: Interval, open_ms: int, series: Series) -> None:
        self._minutes[f"{symbol} {interval}", open_ms] = series
        if len(self._minutes) > _KEPT_MINUTES:
            self._minutes.popitem(last=False)

    def _split_now(self, symbol: str, parent: Interval, interval: Interval, start_ms: int, end_ms: int) -> Series:
        covered = self._source.coverage(symbol, parent)
        if covered is None:
            rows = self._drawn(symbol, parent, start_ms, end_ms) if parent in _LADDER else self._empty(symbol)
        else:
            rows = self.traded(symbol, parent, start_ms, end_ms)
        if not len(rows):
            return rows
        count = parent.ms // interval.ms
        keys = keys_at(self._source.key(symbol), parent.ms, rows.open_time_ms)
        children = self._refined(symbol, rows.values, keys, count)
        times = rows.open_time_ms[:, None] + np.arange(count) * interval.ms
        return Series(times.ravel(), children.reshape(9, -1))

    def _refined(self, symbol: str, values: Values, keys: Keys, count: int) -> Values:
        """Children (9, n, count) in the source's own kind of numbers."""
        if self._exact(symbol):
            return refine(np.asarray(values, dtype=np.int64), keys, count)
        steps = steps_of(values)
        return from_steps(refine(to_steps(values, steps), keys, count, steps.quote_factor), steps)

    def _exact(self, symbol: str) -> bool:
        return self.listings[symbol].units != PLAIN

    def _empty(self, symbol: str) -> Series:
        return Series(np.empty(0, np.int64), np.empty((9, 0), np.int64 if self._exact(symbol) else np.float64))


def _run(seconds: Values) -> Values:
    """From each second's values (9, ..., n) those of everything up to its end, same shape."""
    run = np.empty_like(seconds)
    run[OPEN], run[CLOSE] = seconds[OPEN, ..., :1], seconds[CLOSE]
    run[HIGH] = np.maximum.accumulate(seconds[HIGH], axis=-1)
    run[LOW] = np.minimum.accumulate(seconds[LOW], axis=-1)
    run[VOLUME:] = np.cumsum(seconds[VOLUME:], axis=-1)
    return run


def _ceil(at_ms: int, step_ms: int) -> int:
    return -(-at_ms // step_ms) * step_ms


def _open_at_or_after(interval: Interval, at_ms: int) -> int:
    opened = interval.open_ms(at_ms)
    return opened if opened == at_ms else interval.next_open_ms(at_ms)
