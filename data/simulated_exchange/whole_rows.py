"""Whole rows: any candles of a source, at any interval: its own, added up from finer ones, or drawn within coarser."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Protocol

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import (
    PLAIN,
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
_KEPT_PIECES = 4_096


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


class WholeRows:
    """A source seen at every interval. What was drawn is kept by the hour or day that it lies in. Safe for threads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.listings = source.listings
        self._kept: OrderedDict[tuple[str, int], Series] = OrderedDict()
        self._lock = RLock()

    def rows(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Whole candles with start <= open time < end, whatever the time is now."""
        return self._joined(self._source.recorded, symbol, interval, start_ms, end_ms)

    def traded(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """The same with guesses where something was traded but not all of it recorded."""
        return self._joined(self._source.stored, symbol, interval, start_ms, end_ms)

    def fold(self, symbol: str, start_ms: int, end_ms: int) -> Bar | None:
        """Everything traded in [start, end), both on the minute grid, as one bar."""
        first = min(_ceil(start_ms, _HOUR_MS), end_ms)
        last = max(end_ms // _HOUR_MS * _HOUR_MS, first)
        return join([
            self.traded(symbol, Interval.M1, start_ms, first),
            self.traded(symbol, Interval.H1, first, last) if last > first else self.empty(symbol),
            self.traded(symbol, Interval.M1, last, end_ms),
        ]).fold()  # fmt: skip

    def prepare_hours(self, symbols: list[str], hour: int) -> None:
        """Draws the minutes of that hour (its open time) of many markets at once, where they are not drawn yet."""
        with self._lock:
            late = [name for name in symbols if (f"{name} 1m", hour) not in self._kept]
            if len(late) < 2:
                return
            rows = [self._source.stored(name, Interval.H1, hour, hour + _HOUR_MS).values for name in late]
            children = self.children(late, np.concatenate(rows, axis=1), Interval.H1, hour)
            times = hour + np.arange(60, dtype=np.int64) * _MINUTE_MS
            for index, name in enumerate(late):
                self._keep(name, Interval.M1, hour, Series(times, children[:, index]))

    def children(self, symbols: list[str], rows: Values, parent: Interval, open_ms: int) -> Values:
        """(9, k, 60): what lies within one row (9, k) of each of k markets."""
        keys = np.array([self._source.key(name) for name in symbols], dtype=np.uint64)
        return refine(rows, keys_at(keys, parent.ms, open_ms), 60)

    def empty(self, symbol: str) -> Series:
        return Series(np.empty(0, np.int64), np.empty((9, 0), np.int64 if self.exact(symbol) else np.float64))

    def exact(self, symbol: str) -> bool:
        """Whether its numbers are whole ticks, not those of a recording."""
        return self.listings[symbol].units != PLAIN

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
            return self.empty(symbol)
        covered = self._source.coverage(symbol, interval)
        if covered is None:
            return self._derived(symbol, interval, start_ms, end_ms)
        first, end = covered
        return join([
            self._derived(symbol, interval, start_ms, min(end_ms, first)),
            own(symbol, interval, start_ms, end_ms),
            self._derived(symbol, interval, max(start_ms, end), end_ms),
        ])  # fmt: skip

    def _derived(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        if start_ms >= end_ms:
            return self.empty(symbol)
        finer = next(step for step in _LADDER if step.ms < interval.ms) if interval is not Interval.S1 else None
        if finer and (interval not in _LADDER or self._has_finer(symbol, interval, start_ms, end_ms)):
            first, end = open_at_or_after(interval, start_ms), open_at_or_after(interval, end_ms)
            return aggregate(self.traded(symbol, finer, first, end), interval) if first < end else self.empty(symbol)
        return self._drawn(symbol, interval, start_ms, end_ms)

    def _has_finer(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> bool:
        finer = (step for step in _ASCENDING if step.ms < interval.ms)
        covered = (self._source.coverage(symbol, step) for step in finer)
        return any(span and span[0] < end_ms and start_ms < span[1] for span in covered)

    def _drawn(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Rows of a ladder interval drawn inside the nearest coarser rows the source has."""
        if interval is Interval.D1 or start_ms >= end_ms:
            return self.empty(symbol)
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
            kept = self._kept.get((f"{symbol} {interval}", first))
            if kept is None:
                kept = self._split_now(symbol, parent, interval, first, last + parent.ms)
                self._keep(symbol, interval, first, kept)
            return kept.between(start_ms, end_ms)

    def _keep(self, symbol: str, interval: Interval, open_ms: int, series: Series) -> None:
        self._kept[f"{symbol} {interval}", open_ms] = series
        if len(self._kept) > _KEPT_PIECES:
            self._kept.popitem(last=False)

    def _split_now(self, symbol: str, parent: Interval, interval: Interval, start_ms: int, end_ms: int) -> Series:
        covered = self._source.coverage(symbol, parent)
        if covered is None:
            rows = self._drawn(symbol, parent, start_ms, end_ms) if parent in _LADDER else self.empty(symbol)
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
        if self.exact(symbol):
            return refine(np.asarray(values, dtype=np.int64), keys, count)
        steps = steps_of(values)
        return from_steps(refine(to_steps(values, steps), keys, count, steps.quote_factor), steps)


def _ceil(at_ms: int, step_ms: int) -> int:
    return -(-at_ms // step_ms) * step_ms


def open_at_or_after(interval: Interval, at_ms: int) -> int:
    opened = interval.open_ms(at_ms)
    return opened if opened == at_ms else interval.next_open_ms(at_ms)
