"""The naive forecast every model is measured against: a random walk as volatile as the market lately was.

Its quantiles are those of log return / sigma on the training window, per horizon, times today's sigma, the EWMA
volatility per candle (RiskMetrics 1996, with half-life instead of lambda).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles

Floats = NDArray[np.float64]


def horizon_returns(candles: Candles, horizons: Sequence[int]) -> Floats:
    """(n, h) log returns from close[t] to the candle exactly `horizon` later; NaN where it is absent."""
    times, logs = candles.open_time_ms, np.log(candles.close)
    returns = np.full((len(times), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        targets = _shifted(candles, horizon)
        places = np.searchsorted(times, targets)
        there = places < len(times)
        there[there] = times[places[there]] == targets[there]
        returns[there, column] = logs[places[there]] - logs[there]
    return returns


def scaled_quantiles(scaled: Floats, quantiles: Sequence[float]) -> Floats:
    """(n, h) returns in units of sigma, NaN where unknown → (h, q)."""
    return np.array([np.quantile(column[np.isfinite(column)], quantiles) for column in scaled.T])


def naive_log_returns(baseline: Floats, sigma: float | Floats) -> Floats:
    """(h, q) in units of sigma, and sigma as a number or (n,) → (h, q) or (n, h, q) log returns."""
    return np.multiply.outer(np.asarray(sigma, dtype=np.float64), baseline)


def _shifted(candles: Candles, horizon: int) -> NDArray[np.int64]:
    interval, times = candles.interval, candles.open_time_ms
    if interval.shift_ms(0, 1) == interval.ms:
        return times + horizon * interval.ms
    return np.array([interval.shift_ms(int(time), horizon) for time in times], dtype=np.int64)
