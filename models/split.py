"""Split: train, validation and test periods in time order, with gaps that no outcome can bridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from data.candles import Candles
from data.interval import Interval
from utils.errors import InvalidInput

EMBARGO_CANDLES = 24
"""Kept free on top of the longest horizon, so that what the last outcome stirs up is over."""
_PART = 0.1
_NEWEST_PART = 0.04
"""What validates where nothing is kept for a test: the newest 25th."""


@dataclass(frozen=True, slots=True)
class Period:
    """Candles that open in [from_ms, until_ms), UTC milliseconds."""

    from_ms: int
    until_ms: int

    def __str__(self) -> str:
        return f"{_day(self.from_ms)} … {_day(self.until_ms - 1)}"


@dataclass(frozen=True, slots=True)
class Split:
    """Each sample's last candle lies in one period; every outcome does too, but for the purged gap after it."""

    train: Period
    validation: Period
    test: Period
    gap_ms: int

    @property
    def fit_until_ms(self) -> int:
        """Nothing that opens from here on is seen before the test."""
        return self.test.from_ms


def newest(parts: Split, markets: Sequence[Candles]) -> Split:
    """The same markets with nothing left to test on: all but the newest stretch trains, that one validates."""
    interval = markets[0].interval
    last = max(candles.last_open_time_ms for candles in markets) + interval.ms
    middle = _grid(interval, last - (last - parts.train.from_ms) * _NEWEST_PART)
    train = Period(parts.train.from_ms, middle - parts.gap_ms)
    return Split(train, Period(middle, last), Period(last, last), parts.gap_ms)


def parse_date(text: str, *, end: bool = False) -> int:
    """`2024-12-31` or `2024-12-31T12:00` (UTC) in milliseconds; with `end`, a bare date means the end of that day."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no date; use for instance 2024-12-31 (UTC)") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if end and len(text) == len("2024-12-31"):
        moment += timedelta(days=1)
    return round(moment.timestamp() * 1000)


def split(markets: Sequence[Candles], horizon: int, until_ms: int | None) -> Split:
    """Fits on what opens before `until_ms`, and tests on what follows it (or on the last tenth where nothing does).

    Validation is the last tenth of the fitting span. Gap between periods: the longest horizon plus an embargo.
    """
    interval = markets[0].interval
    gap = (horizon + EMBARGO_CANDLES) * interval.ms
    first = min(int(candles.open_time_ms[0]) for candles in markets)
    last = max(candles.last_open_time_ms for candles in markets) + interval.ms
    fit_until = last if until_ms is None else min(until_ms, last)
    if fit_until + 2 * gap >= last:
        fit_until = _grid(interval, first + (fit_until - first) * (1 - _PART))
        last = min(last, until_ms) if until_ms is not None else last
    middle = _grid(interval, first + (fit_until - first) * (1 - _PART))
    parts = Split(Period(first, middle - gap), Period(middle, fit_until - gap), Period(fit_until, last), gap)
    if not parts.train.from_ms < parts.train.until_ms or not parts.validation.from_ms < parts.validation.until_ms:
        candles = (last - first) // interval.ms
        raise InvalidInput(
            f"{candles} candles from {_day(first)} are too few to split; with horizon {horizon} give at least "
            f"{30 * (horizon + EMBARGO_CANDLES)}"
        )
    return parts


def _grid(interval: Interval, at_ms: float) -> int:
    return interval.open_ms(int(np.floor(at_ms)))


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
