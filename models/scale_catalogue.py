"""Scale catalogue: a market's own inputs of the scale kind, by name, each from the readers of its series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.features import SIGMA_FLOOR
from data.interval import Interval
from models.season import Season, slots
from models.window_readers import LONGEST, Reader

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
_SMALL = 1e-6
_HORIZONS = (1, 2, 3, 6, 12, 24)
_STEPS_AHEAD = range(1, max(_HORIZONS) + 1)


@dataclass(frozen=True)
class Market:
    """One market's every row, or the newest of several."""

    reader: Reader
    open_time_ms: Ints
    season: Season
    interval: Interval

    @property
    def day(self) -> int:
        """Candles of a day, at least one."""
        return max(1, _DAY_MS // self.interval.ms)

    @cached_property
    def ahead(self) -> Floats:
        """(candles, …) squares of what the next candles usually have."""
        scale = np.square(np.array(self.season.scale))
        return np.array([scale[slots(self.open_time_ms + step * self.interval.ms)] for step in _STEPS_AHEAD])


Input = Callable[[Market, Floats], Floats]
"""From a market and the log of its sigma."""


def log_sigma_of(reader: Reader) -> Floats:
    return np.log(np.maximum(np.sqrt(reader.decayed("squares", 24.0)), SIGMA_FLOOR))


def _log(values: Floats, small: float = _SMALL) -> Floats:
    return np.log(np.maximum(values, 0.0) + small)


def _volatility(half_life: float) -> Input:
    """Root mean square of returns freed from their hours, beside sigma."""
    return lambda m, ls: 0.5 * _log(m.reader.decayed("u_square", half_life), 1e-12) - ls


def _mean_size(series: str, half_life: float) -> Input:
    return lambda m, ls: _log(m.reader.decayed(series, half_life)) - ls


def _slow_size(series: str, window: int) -> Input:
    return lambda m, ls: _log(m.reader.mean(series, window)) - ls


def _garman_klass(half_life: float) -> Input:
    """Garman & Klass 1980."""
    return lambda m, ls: 0.5 * _log(m.reader.decayed("garman_klass", half_life), 1e-12) - ls


def _jumps(half_life: float) -> Input:
    """Bipower variation beside variance (Barndorff-Nielsen & Shephard 2004): how little of it came in jumps."""

    def compute(m: Market, _: Floats) -> Floats:
        return _log(m.reader.decayed("bipower", half_life), 1e-12) - _log(
            m.reader.decayed("u_square", half_life), 1e-12
        )

    return compute


def _size_before(rows: int) -> Input:
    return lambda m, ls: np.log(m.reader.lag("u_size", rows) / np.exp(ls) + 0.05)


def _range_before(rows: int) -> Input:
    return lambda m, ls: np.log(m.reader.lag("range", rows) / np.exp(ls) + 0.05)


def _season_ahead(candles: int) -> Input:
    """Log of the root mean square that the next hours usually have: the calendar, not the market."""

    return lambda m, _: 0.5 * np.log(m.ahead[:candles].mean(axis=0))


def _wave(function: Callable[[Floats], Floats], period_ms: int, humps: int) -> Input:
    turn = 2.0 * np.pi * humps / period_ms
    return lambda m, _: function((m.open_time_ms % period_ms).astype(np.float64) * turn)


def _same_hour(ahead: int) -> Input:
    """Sizes at the hour `ahead` candles from now on the last days, as many as fit, beside all hours'."""

    def compute(m: Market, _: Floats) -> Floats:
        days = [day for day in range(1, 15) if 0 <= day * m.day - ahead < LONGEST]
        weights = [0.9**day for day in days]
        there = m.reader.taps("z_size", [day * m.day - ahead for day in days], weights)
        return np.log((there + 0.05) / (m.reader.decayed("z_size", 240.0) + 0.05))

    return compute


def _same_hour_of_week(m: Market, _: Floats) -> Floats:
    lags = [lag for week in range(1, 5) if 0 <= (lag := 7 * week * m.day - 1) < LONGEST] or [0]
    there = m.reader.taps("z_size", lags, [1.0] * len(lags))
    return np.log((there + 0.05) / (m.reader.decayed("z_size", 240.0) + 0.05))


def _move(rows: int) -> Input:
    return lambda m, ls: (m.reader.now("path") - m.reader.lag("path", rows)) / (np.exp(ls) * np.sqrt(rows))


def _skew(half_life: float) -> Input:
    """How much of the variance came from rises rather than falls: -1…1."""
    return lambda m, _: m.reader.decayed("signed", half_life) / (m.reader.decayed("squares", half_life) + 1e-12)


def _variance_ratio(rows: int, window: int) -> Input:
    """Lo & MacKinlay 1988: above 0 where moves over `rows` candles are larger than single ones explain."""

    def compute(m: Market, _: Floats) -> Floats:
        ends = range(0, window - rows + 1, rows)
        squares = [np.square(m.reader.lag("path", end) - m.reader.lag("path", end + rows)) for end in ends]
        return _log(np.mean(squares, axis=0), 1e-10) - _log(rows * m.reader.mean("squares", window), 1e-10)

    return compute


def _below_high(rows: int) -> Input:
    return lambda m, ls: (m.reader.now("path") - m.reader.largest("high", rows)) / (np.exp(ls) * np.sqrt(rows))


def _above_low(rows: int) -> Input:
    return lambda m, ls: (m.reader.now("path") - m.reader.smallest("low", rows)) / (np.exp(ls) * np.sqrt(rows))


def _channel(rows: int) -> Input:
    """Highest high above lowest low, beside sigma."""
    return lambda m, ls: _log(m.reader.largest("high", rows) - m.reader.smallest("low", rows)) - ls - 0.5 * np.log(rows)


def _surprise(half_life: float) -> Input:
    """How large returns were beside what was expected of them."""
    return lambda m, _: _log(m.reader.decayed("z_square", half_life), 0.05)


def _largest(rows: int) -> Input:
    return lambda m, ls: _log(m.reader.largest("sizes", rows)) - ls


def _volume_trend(fast: float, slow: float) -> Input:
    return lambda m, _: m.reader.decayed("volume", fast) - m.reader.decayed("volume", slow)


OWN: dict[str, Input] = {
    **{f"volatility_{k}": _volatility(k) for k in (3, 6, 12, 24, 48, 96, 240)},
    **{f"size_{k}": _mean_size("u_size", k) for k in (3, 6, 12, 24, 48, 96, 240)},
    "size_720": _slow_size("u_size", LONGEST),
    **{f"range_{k:g}": _mean_size("range", k) for k in (0.5, 1, 2, 4, 8, 16, 24, 48, 96, 240)},
    "range_720": _slow_size("range", LONGEST),
    **{f"garman_klass_{k}": _garman_klass(k) for k in (3, 24, 96)},
    **{f"jumps_{k}": _jumps(k) for k in (24, 96)},
    **{f"size_before_{k}": _size_before(k) for k in (0, 1, 2, 3)},
    **{f"range_before_{k}": _range_before(k) for k in (0, 1, 2)},
    **{f"season_ahead_{k}": _season_ahead(k) for k in _HORIZONS},
    "season_now": lambda m, _: m.reader.now("season"),
    **{f"day_{f.__name__}_{k}": _wave(f, _DAY_MS, k) for k in (1, 2, 3) for f in (np.sin, np.cos)},
    **{f"week_{f.__name__}_{k}": _wave(f, _WEEK_MS, k) for k in (1, 2) for f in (np.sin, np.cos)},
    **{f"same_hour_{k}": _same_hour(k) for k in (1, 2, 3)},
    "same_hour_of_week": _same_hour_of_week,
    "z": lambda m, _: m.reader.now("z"),
    **{f"z_square_{k}": _surprise(k) for k in (24, 240)},
    "z_fourth": lambda m, _: _log(m.reader.decayed("z_fourth", 240), 0.1),
    "z_large": lambda m, _: m.reader.mean("z_large", 480),
    **{f"largest_{k}": _largest(k) for k in (24, 168)},
    "local_move": lambda m, _: _log(m.reader.decayed("local_move", 48), 1e-3),
    "variance_ratio_6": _variance_ratio(6, 24),
    "variance_ratio_24": _variance_ratio(24, 336),
    "volume_now": lambda m, _: m.reader.now("volume") - m.reader.decayed("volume", 24),
    "volume_3": _volume_trend(3, 168),
    "volume_24": _volume_trend(24, 168),
    "volume_168": lambda m, _: m.reader.decayed("volume", 168) - m.reader.mean("volume", LONGEST),
    "return": lambda m, ls: m.reader.now("returns") / np.exp(ls),
    **{f"move_{k}": _move(k) for k in (2, 3, 6, 12, 24, 48, 96, 168, 336, 719)},
    "place": lambda m, _: m.reader.now("place"),
    "wick": lambda m, _: m.reader.now("wick"),
    "wick_24": lambda m, _: m.reader.decayed("wick", 24),
    **{f"skew_{k}": _skew(k) for k in (12, 48, 240)},
    **{f"below_high_{k}": _below_high(k) for k in (24, 168, 720)},
    **{f"above_low_{k}": _above_low(k) for k in (24, 168, 720)},
    **{f"channel_{k}": _channel(k) for k in (24, 168, 720)},
    "log_sigma": lambda _, ls: ls,
    "log_slow": lambda m, _: _log(m.reader.mean("sizes", LONGEST)),
}
"""Every input of a market's own. A name never changes its meaning."""
