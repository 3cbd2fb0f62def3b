"""Inputs: the features of `data.features`, and beside them volatility at slower scales and finer waves of day and week.

Volatility returns to its long mean over days, and its day has more than one hump: these carried a third of the
default model's skill at 24 candles (docs/experiments.md). Each sees a bounded number of candles, none after its row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.features import FEATURES, LIMIT, SIGMA_FLOOR, ewma_sigma, feature_matrix, log_returns
from data.filters import rolling_sum
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
    unknown = [name for name in names if name not in INPUTS]
    if unknown:
        raise SchemaMismatch(f"this version computes no input {', '.join(unknown)}; train the model again")
    common = [name for name in names if name in FEATURES]
    columns = dict(zip(common, feature_matrix(candles, common).T, strict=True))
    sigma = ewma_sigma(candles)
    for name in names:
        if name in _SLOW:
            columns[name] = np.clip(_SLOW[name](candles, sigma), -LIMIT, LIMIT).astype(np.float32)
    return np.stack([columns[name] for name in names], axis=1)


Input = Callable[[Candles, Floats], Floats]


def _rolling_volatility(window: int) -> Input:
    """Log of the root mean square return of `window` candles, beside sigma."""
    return lambda candles, sigma: _log_root(rolling_sum(np.square(log_returns(candles)[0]), window) / window, sigma)


def _rolling_range(window: int) -> Input:
    """Parkinson's estimator (1980) over `window` candles, beside sigma."""

    def compute(candles: Candles, sigma: Floats) -> Floats:
        spans = np.square(np.log(candles.high / candles.low)) / _PARKINSON
        return _log_root(rolling_sum(spans, window) / window, sigma)

    return compute


def _wave(function: Callable[[Floats], Floats], period_ms: int, humps: int) -> Input:
    turn = 2.0 * np.pi * humps / period_ms
    return lambda candles, _: function((candles.open_time_ms % period_ms).astype(np.float64) * turn)


def _log_root(variance: Floats, sigma: Floats) -> Floats:
    # a running sum of squares can end a rounding error below zero
    logs: Floats = np.log(np.maximum(np.sqrt(np.maximum(variance, 0.0)), SIGMA_FLOOR) / sigma)
    return logs


_SLOW: dict[str, Input] = {
    "log_sigma": lambda _, sigma: np.log(sigma),
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
