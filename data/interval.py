"""Interval: how long a candle lasts, and where on the UTC grid it begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from utils.errors import InvalidInput

_SECOND_MS = 1_000
_MINUTE_MS = 60 * _SECOND_MS
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
_WEEK_ORIGIN_MS = 4 * _DAY_MS
"""1970-01-05, the first Monday: Binance's weeks begin on Mondays."""


class Interval(StrEnum):
    """A kline interval, spelled as Binance spells it."""

    S1 = "1s"
    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D3 = "3d"
    W1 = "1w"
    MO1 = "1M"

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Case matters: `1m` is a minute, `1M` a month."""
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(cls)
            raise InvalidInput(f"interval {text!r} is unknown; use one of {known}") from None

    @property
    def ms(self) -> int:
        """Length in milliseconds; of a month, 30 days: use `open_ms` and `next_open_ms` for the real grid."""
        return _LENGTH_MS[self]

    def open_ms(self, at_ms: int) -> int:
        """Open time of the candle that holds the moment `at_ms`."""
        if self is Interval.MO1:
            day = datetime.fromtimestamp(at_ms // 1000, UTC)
            return _month_ms(day.year, day.month)
        origin = _WEEK_ORIGIN_MS if self is Interval.W1 else 0
        return (at_ms - origin) // self.ms * self.ms + origin

    def next_open_ms(self, at_ms: int) -> int:
        """Open time of the candle after the one that holds `at_ms`."""
        if self is Interval.MO1:
            day = datetime.fromtimestamp(at_ms // 1000, UTC)
            return _month_ms(day.year + day.month // 12, day.month % 12 + 1)
        return self.open_ms(at_ms) + self.ms

    def close_ms(self, open_ms: int) -> int:
        """Last millisecond of the candle that opens at `open_ms`, as Binance writes it."""
        return self.next_open_ms(open_ms) - 1

    def shift_ms(self, open_ms: int, candles: int) -> int:
        """Open time `candles` later (or earlier, when negative) on the grid."""
        if self is not Interval.MO1:
            return open_ms + candles * self.ms
        day = datetime.fromtimestamp(open_ms // 1000, UTC)
        months = day.year * 12 + day.month - 1 + candles
        return _month_ms(months // 12, months % 12 + 1)


def _month_ms(year: int, month: int) -> int:
    return round(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)


_LENGTH_MS: dict[Interval, int] = {
    Interval.S1: _SECOND_MS,
    Interval.M1: _MINUTE_MS,
    Interval.M3: 3 * _MINUTE_MS,
    Interval.M5: 5 * _MINUTE_MS,
    Interval.M15: 15 * _MINUTE_MS,
    Interval.M30: 30 * _MINUTE_MS,
    Interval.H1: _HOUR_MS,
    Interval.H2: 2 * _HOUR_MS,
    Interval.H4: 4 * _HOUR_MS,
    Interval.H6: 6 * _HOUR_MS,
    Interval.H8: 8 * _HOUR_MS,
    Interval.H12: 12 * _HOUR_MS,
    Interval.D1: _DAY_MS,
    Interval.D3: 3 * _DAY_MS,
    Interval.W1: 7 * _DAY_MS,
    Interval.MO1: 30 * _DAY_MS,
}
