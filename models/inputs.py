"""Inputs: the features of `data.features`, and beside them volatility at slower scales and finer waves of day and week.

Volatility returns to its long mean over days, and its day has more than one hump: these carried a third of the
default model's skill at 24 candles (docs/experiments.md). Each sees a bounded number of candles, none after its row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.feature_parts import Parts
from data.features import FEATURES, LIMIT, SIGMA_FLOOR, feature_columns
from data.features import WARM_UP as FEATURES_WARM_UP
from utils.errors import SchemaMismatch

Floats = NDArray[np.float64]
_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
_PARKINSON = 4.0 * np.log(2.0)
WARM_UP = 720
"""Candles before the window: the longest average here; and thirty half-lives of the slowest feature, so that what lies
further back changes nothing that single precision can hold."""


def input_matrix(candles: Candles, names: Sequence[str]) -> NDArray[np.float32]:
    """The named inputs, float32 (n, f), in the order asked; NaN while one warms up. SchemaMismatch for unknown ones."""
    _check(names)
    if len(candles) <= FEATURES_WARM_UP:
        return np.full((len(candles), len(names)), np.nan, dtype=np.float32)
    columns = _columns(Parts(candles), names)
    columns[[name in FEATURES for name in names], :FEATURES_WARM_UP] = np.nan
    return np.ascontiguousarray(columns.T, dtype=np.float32)


def newest_inputs(parts: Parts, names: Sequence[str]) -> NDArray[np.float32]:
    """The same of the last rows of k markets, float32 (k, rows, f), for `parts` of a Stack that has WARM_UP more.

    Exponential averages are summed in another order, so that the two agree to single precision, not to the last bit.
    """
    _check(names)
    return np.ascontiguousarray(np.moveaxis(_columns(parts, names), 0, -1), dtype=np.float32)


def _columns(parts: Parts, names: Sequence[str]) -> Floats:
    """(f, …, rows)."""
    columns = np.empty((len(names), *parts.sigma.shape))
    common = np.array([name in FEATURES for name in names], dtype=bool)
    columns[common] = feature_columns(parts, [name for name in names if name in FEATURES])
    for place, name in enumerate(names):
        if name in _SLOW:
            columns[place] = np.clip(_SLOW[name](parts), -LIMIT, LIMIT)
    return columns


def _check(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in INPUTS]
    if unknown:
        raise SchemaMismatch(f"this version computes no input {', '.join(unknown)}; train the model again")


Input = Callable[[Parts], Floats]


def _rolling_volatility(window: int) -> Input:
    """Log of the root mean square return of `window` candles, beside sigma."""
    return lambda p: _log_root(p.rolling_sum(p.squares, window) / window, p.sigma)


def _rolling_range(window: int) -> Input:
    """Parkinson's estimator (1980) over `window` candles, beside sigma."""
    return lambda p: _log_root(p.rolling_sum(np.square(p.span) / _PARKINSON, window) / window, p.sigma)


def _wave(function: Callable[[Floats], Floats], period_ms: int, humps: int) -> Input:
    turn = 2.0 * np.pi * humps / period_ms
    return lambda p: function((p.now(p.candles.open_time_ms) % period_ms).astype(np.float64) * turn)


def _log_root(variance: Floats, sigma: Floats) -> Floats:
    # a running sum of squares can end a rounding error below zero
    logs: Floats = np.log(np.maximum(np.sqrt(np.maximum(variance, 0.0)), SIGMA_FLOOR) / sigma)
    return logs


_SLOW: dict[str, Input] = {
    "log_sigma": lambda p: np.log(p.sigma),
    "rolling_volatility_72": _rolling_volatility(72),
    "rolling_volatility_336": _rolling_volatility(336),
    "rolling_volatility_720": _rolling_volatility(WARM_UP),
    "rolling_range_48": _rolling_range(48),
    "rolling_range_168": _rolling_range(168),
    "day_sin_2": _wave(np.sin, _DAY_MS, 2),
    "day_cos_2": _wave(np.cos, _DAY_MS, 2),
    "day_sin_3": _wave(np.sin, _DAY_MS, 3),
    "day_cos_3": _wave(np.cos, _DAY_MS, 3),
    "week_sin_1": _wave(np.sin, _WEEK_MS, 1),
    "week_cos_1": _wave(np.cos, _WEEK_MS, 1),
    "week_sin_2": _wave(np.sin, _WEEK_MS, 2),
    "week_cos_2": _wave(np.cos, _WEEK_MS, 2),
}

INPUTS: tuple[str, ...] = (*FEATURES, *_SLOW)
"""Every input this version computes. A name never changes its meaning."""
