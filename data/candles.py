"""Candles: closed candles of one market as frozen numpy columns, and the one candle that is still forming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xxhash
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol

Times = NDArray[np.int64]
Floats = NDArray[np.float64]

FLOAT_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_base",
    "taker_buy_quote",
)
"""The float columns in their one order: prices and quote volumes in the quote asset, volumes in the base asset."""

_COLUMN_BYTES = 8 * (1 + len(FLOAT_COLUMNS))
_AROUND_BYTES = 2600


@dataclass(frozen=True, slots=True)
class Candle:
    """One candle. `closed` only by the exchange's word or clock. The last four are NaN where the source has none."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: float
    taker_buy_base: float
    taker_buy_quote: float
    closed: bool

    def floats(self) -> tuple[float, ...]:
        """The values in the order of FLOAT_COLUMNS."""
        return tuple(getattr(self, name) for name in FLOAT_COLUMNS)


@dataclass(frozen=True)
class Candles:
    """Closed candles, oldest first, on the interval's grid, strictly increasing; holes stay holes.

    Every column has shape (n,) and is read-only. `open_time_ms` is UTC milliseconds.
    """

    symbol: Symbol
    interval: Interval
    open_time_ms: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quote_volume: Floats = field(repr=False)
    trades: Floats = field(repr=False)
    taker_buy_base: Floats = field(repr=False)
    taker_buy_quote: Floats = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("open_time_ms", *FLOAT_COLUMNS):
            getattr(self, name).flags.writeable = False

    @classmethod
    def from_columns(
        cls, symbol: Symbol, interval: Interval, open_time_ms: Times, columns: Floats | Sequence[Floats]
    ) -> Candles:
        """`columns`: nine arrays of shape (n,), or one of shape (9, n), in the order of FLOAT_COLUMNS."""
        times = np.ascontiguousarray(open_time_ms, dtype=np.int64)
        floats = [np.ascontiguousarray(column, dtype=np.float64) for column in columns]
        return cls(symbol, interval, times, *floats)

    @classmethod
    def from_candles(cls, symbol: Symbol, interval: Interval, candles: Sequence[Candle]) -> Candles:
        times = np.array([candle.open_time_ms for candle in candles], dtype=np.int64)
        rows = np.array([candle.floats() for candle in candles], dtype=np.float64).reshape(-1, len(FLOAT_COLUMNS))
        return cls.from_columns(symbol, interval, times, list(rows.T))

    @classmethod
    def empty(cls, symbol: Symbol, interval: Interval) -> Candles:
        return cls.from_candles(symbol, interval, [])

    def __len__(self) -> int:
        return len(self.open_time_ms)

    @property
    def size_bytes(self) -> int:
        """About how much memory they hold: the columns, and the arrays and objects around them."""
        return _AROUND_BYTES + _COLUMN_BYTES * len(self)

    @cached_property
    def digest(self) -> str:
        """Content hash (xxh3, 32 hex digits) of market, interval, times and values: equal digests, equal candles."""
        state = xxhash.xxh3_128(f"{self.symbol}|{self.interval}|{len(self)}".encode())
        state.update(self.open_time_ms.data)
        for name in FLOAT_COLUMNS:
            state.update(getattr(self, name).data)
        return state.hexdigest()

    @property
    def last_open_time_ms(self) -> int:
        return int(self.open_time_ms[-1])

    @property
    def last_close_time_ms(self) -> int:
        """Last millisecond of the newest candle."""
        return self.interval.close_ms(self.last_open_time_ms)

    @property
    def last_close(self) -> float:
        return float(self.close[-1])

    def slice(self, start: int | None, stop: int | None) -> Candles:
        """Rows [start:stop] as views, nothing copied."""
        if (start in (None, 0)) and (stop is None or stop >= len(self)):
            return self
        columns = [getattr(self, name)[start:stop] for name in FLOAT_COLUMNS]
        return Candles.from_columns(self.symbol, self.interval, self.open_time_ms[start:stop], columns)

    def tail(self, count: int) -> Candles:
        """The newest `count` candles (all, if there are fewer)."""
        return self.slice(max(0, len(self) - count), None)

    def row(self, index: int) -> Candle:
        floats = {name: float(getattr(self, name)[index]) for name in FLOAT_COLUMNS}
        return Candle(open_time_ms=int(self.open_time_ms[index]), **floats, closed=True)

    def holes(self) -> list[tuple[int, int]]:
        """Missing ranges inside, as (first missing open time, next present open time), UTC milliseconds."""
        times = self.open_time_ms
        if self.interval is Interval.MO1:
            pairs = zip(times[:-1].tolist(), times[1:].tolist(), strict=True)
            return [(self.interval.next_open_ms(a), b) for a, b in pairs if self.interval.next_open_ms(a) != b]
        gaps = np.flatnonzero(np.diff(times) != self.interval.ms)
        return [(int(times[i]) + self.interval.ms, int(times[i + 1])) for i in gaps]
