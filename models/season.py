"""Season: how large returns and volumes usually are in each hour of the week, learned from training candles alone.

Two tables of 168 hours (UTC, Sunday first): one for while New York keeps summer time and one for while it does not,
since much of a day's rhythm follows its exchanges, whose opening moves by an hour in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.features import SIGMA_FLOOR, log_returns
from data.filters import decayed_mean, lagged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOURS = 168
SLOTS = 2 * HOURS
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_THURSDAY = 4
"""1970-01-01 was a Thursday; weeks here begin on Sunday, which is 0."""
_HALF_LIFE, _WINDOW = 168.0, 720
_LARGEST = 6.0
"""No single return counts for more than so many standard deviations."""
_PRIOR = 50.0
"""A slot seen in few candles is drawn to its hour of the week all year round, as if that had been seen so often."""


@dataclass(frozen=True, slots=True)
class Season:
    """`scale` (336,): usual size of a return in the slot, root mean square 1. `volume` (336,): log of its volume
    beside its mean."""

    scale: tuple[float, ...]
    volume: tuple[float, ...]

    def check(self) -> None:
        """ValueError where the tables cannot be used."""
        if {len(self.scale), len(self.volume)} != {SLOTS}:
            raise ValueError(f"its tables must hold {SLOTS} numbers each")
        if not (np.all(np.isfinite([self.scale, self.volume])) and min(self.scale) > 0):
            raise ValueError("its scales must be above 0, all of it finite")

    @classmethod
    def flat(cls) -> Season:
        """One that knows nothing: every hour alike."""
        return cls((1.0,) * SLOTS, (0.0,) * SLOTS)


def slots(open_time_ms: Ints) -> Ints:
    """Which of the 336 slots a candle belongs to, by its opening."""
    times = np.asarray(open_time_ms, dtype=np.int64)
    hours = (times // _HOUR_MS + _THURSDAY * 24) % HOURS
    changes = _changes()
    summer = np.searchsorted(changes, times, side="right") % 2
    return np.asarray(hours + HOURS * summer, dtype=np.int64)


def fit_season(markets: Sequence[Candles], from_ms: int, until_ms: int) -> Season:
    """Of the candles that open in [from_ms, until_ms); each is compared with the weeks before it."""
    scale_sum, volume_sum, counts = np.zeros(SLOTS), np.zeros(SLOTS), np.zeros(SLOTS)
    for candles in markets:
        sizes, volumes = _sizes(candles), _volumes(candles)
        times = candles.open_time_ms
        use = np.isfinite(sizes) & np.isfinite(volumes) & (times >= from_ms) & (times < until_ms)
        slot = slots(times[use])
        counts += np.bincount(slot, minlength=SLOTS)
        scale_sum += np.bincount(slot, weights=sizes[use], minlength=SLOTS)
        volume_sum += np.bincount(slot, weights=volumes[use], minlength=SLOTS)
    if not counts.sum():
        return Season.flat()
    scale, volume = _drawn(scale_sum, counts), _drawn(volume_sum, counts)
    scale = np.where(counts > 0, scale, scale[counts > 0].mean())
    weight = counts / counts.sum()
    scale = np.maximum(scale / np.sqrt(np.sum(weight * np.square(scale))), 0.05)
    volume = np.where(counts > 0, volume - np.sum(weight * volume), 0.0)
    return Season(tuple(np.round(scale, 6).tolist()), tuple(np.round(volume, 6).tolist()))


def _sizes(candles: Candles) -> Floats:
    """(n,) size of each return beside those before it; NaN where there is none."""
    returns, present = log_returns(candles)
    before = lagged(np.sqrt(decayed_mean(np.square(returns), _HALF_LIFE, _WINDOW)), 1)
    sizes = np.minimum(np.abs(returns) / np.maximum(before, SIGMA_FLOOR), _LARGEST)
    return np.where(present, sizes, np.nan)


def _volumes(candles: Candles) -> Floats:
    logs = np.log1p(candles.volume * candles.close)
    return np.asarray(logs - lagged(decayed_mean(logs, _HALF_LIFE, _WINDOW), 1))


def _drawn(sums: Floats, counts: Floats) -> Floats:
    """(336,) means per slot, drawn to those of the hour over both halves of the year."""
    both_sums, both_counts = (one.reshape(2, HOURS).sum(axis=0) for one in (sums, counts))
    overall = sums.sum() / counts.sum()
    by_hour = (both_sums + _PRIOR * overall) / (both_counts + _PRIOR)
    return np.asarray((sums + _PRIOR * np.tile(by_hour, 2)) / (counts + _PRIOR))


@lru_cache(maxsize=1)
def _changes() -> Ints:
    """When New York's summer time begins and ends, in turn, 2007 … 2099: 07:00 and 06:00 UTC (2 o'clock there)."""
    found = []
    for year in range(2007, 2100):
        found.append(_sunday(year, 3, 2) + 7 * _HOUR_MS)
        found.append(_sunday(year, 11, 1) + 6 * _HOUR_MS)
    return np.array(found, dtype=np.int64)


def _sunday(year: int, month: int, number: int) -> int:
    """The n-th Sunday of a month, at 00:00 UTC."""
    first = datetime(year, month, 1, tzinfo=UTC)
    days = (6 - first.weekday()) % 7 + 7 * (number - 1)
    return round(first.timestamp() * 1000) + days * _DAY_MS
