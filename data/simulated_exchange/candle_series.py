"""Candle series: rows of candles in a market's own units, how they add up, and how they are written on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval

Times = NDArray[np.int64]
Values: TypeAlias = NDArray[Any]
"""(9, n), all int64 or all float64."""

OPEN, HIGH, LOW, CLOSE, VOLUME, QUOTE, TRADES, TAKER, TAKER_QUOTE = range(9)
"""Rows of a value matrix."""

_WEEK_ORIGIN_MS = 4 * 86_400_000


class Units(NamedTuple):
    """What one integer step is worth, a power of ten in 1e-8 of the asset; (0, 0, 0): the values are plain numbers."""

    price_e8: int
    volume_e8: int
    quote_e8: int


PLAIN = Units(0, 0, 0)


class Bar(NamedTuple):
    """One candle's values as Python numbers, in a market's units."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    quote: float
    trades: float
    taker: float
    taker_quote: float

    @classmethod
    def flat(cls, price: float) -> Bar:
        """Nothing was traded yet: the price before it, four times."""
        return cls(price, price, price, price, 0, 0, 0, 0, 0)

    def then(self, later: Bar) -> Bar:
        """This stretch and the one right after it as one."""
        return Bar(
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.volume + later.volume,
            self.quote + later.quote,
            self.trades + later.trades,
            self.taker + later.taker,
            self.taker_quote + later.taker_quote,
        )


@dataclass(frozen=True, slots=True)
class Series:
    """Rows oldest first: open times (n,) in UTC milliseconds, values (9, n), all integers or all floats."""

    open_time_ms: Times
    values: Values

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def between(self, start_ms: int, end_ms: int) -> Series:
        """Rows with start <= open time < end, as views."""
        first, last = np.searchsorted(self.open_time_ms, (start_ms, end_ms))
        return Series(self.open_time_ms[first:last], self.values[:, first:last])

    def tail(self, count: int) -> Series:
        skip = max(0, len(self) - count)
        return Series(self.open_time_ms[skip:], self.values[:, skip:])

    def head(self, count: int) -> Series:
        return Series(self.open_time_ms[:count], self.values[:, :count])

    def bar(self, index: int) -> Bar:
        return Bar(*self.values[:, index].tolist())

    def fold(self) -> Bar | None:
        """All rows as one bar; None where there is none."""
        if not len(self):
            return None
        rows = self.values
        sums = rows[VOLUME:].sum(axis=1).tolist()
        return Bar(rows[OPEN, 0].item(), rows[HIGH].max().item(), rows[LOW].min().item(), rows[CLOSE, -1].item(), *sums)


def join(parts: Sequence[Series]) -> Series:
    """Parts in time order as one series."""
    filled = [part for part in parts if len(part)] or list(parts[:1])
    if len(filled) == 1:
        return filled[0]
    times = np.concatenate([part.open_time_ms for part in filled])
    return Series(times, np.concatenate([part.values for part in filled], axis=1))


def aggregate(series: Series, interval: Interval) -> Series:
    """Finer rows added up to `interval`: first open, highest high, lowest low, last close, sums; holes stay holes."""
    if not len(series):
        return series
    opens = open_times(series.open_time_ms, interval)
    starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    ends = np.append(starts[1:], len(opens)) - 1
    rows = series.values
    values = np.empty((9, len(starts)), dtype=rows.dtype)
    values[OPEN] = rows[OPEN, starts]
    values[HIGH] = np.maximum.reduceat(rows[HIGH], starts)
    values[LOW] = np.minimum.reduceat(rows[LOW], starts)
    values[CLOSE] = rows[CLOSE, ends]
    values[VOLUME:] = np.add.reduceat(rows[VOLUME:], starts, axis=1)
    return Series(opens[starts], values)


def open_times(times_ms: Times, interval: Interval) -> Times:
    """Open times of the candles that hold the moments `times_ms`, shape (n,)."""
    if interval is Interval.MO1:
        months = times_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64)
    origin = _WEEK_ORIGIN_MS if interval is Interval.W1 else 0
    return (times_ms - origin) // interval.ms * interval.ms + origin


def aggregate_zoned(series: Series, interval: Interval, zone_ms: int) -> Series:
    """The same on the grid of a zone that is `zone_ms` ahead of UTC; open times stay UTC."""
    local = aggregate(Series(series.open_time_ms + zone_ms, series.values), interval)
    return Series(local.open_time_ms - zone_ms, local.values)


def text(value: float, unit_e8: int) -> str:
    """A number as the exchange writes it: eight decimals, never an exponent."""
    if not unit_e8:
        return f"{value:.8f}"
    whole, part = divmod(int(value) * unit_e8, 100_000_000)
    return f"{whole}.{part:08d}"


def kline_rows(series: Series, interval: Interval, units: Units, zone_ms: int = 0) -> list[list[object]]:
    """The 12-arrays of `/api/v3/klines`; `zone_ms`: on whose grid the candles lie."""
    opens = series.open_time_ms.tolist()
    closes = [interval.close_ms(at + zone_ms) - zone_ms for at in opens]
    prices = (texts(column, units.price_e8) for column in series.values[:VOLUME])
    volume, taker = (texts(series.values[row], units.volume_e8) for row in (VOLUME, TAKER))
    quote, taker_quote = (texts(series.values[row], units.quote_e8) for row in (QUOTE, TAKER_QUOTE))
    trades = series.values[TRADES].astype(np.int64).tolist()
    ignored = ["0"] * len(series)
    columns = (opens, *prices, volume, closes, quote, trades, taker, taker_quote, ignored)
    return [list(row) for row in zip(*columns, strict=True)]


def texts(column: Values, unit_e8: int) -> list[str]:
    """A column (n,) as `text` writes each of its numbers."""
    if not unit_e8:
        return [f"{value:.8f}" for value in column.tolist()]
    whole, steps = np.divmod(column, 100_000_000 // unit_e8)
    return [f"{a}.{b:08d}" for a, b in zip(whole.tolist(), (steps * unit_e8).tolist(), strict=True)]
