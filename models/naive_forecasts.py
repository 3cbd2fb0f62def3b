"""Naive forecasts that a model has to beat: no change, drift, and the same hours of yesterday, each with honest bands.

All three have the bands of their own errors: quantiles, per horizon, of (outcome − centre) / sigma over the training
windows, times today's sigma. Their centres differ: 0; h times the mean return of the last 168 candles; the return of
the same h candles a day (or as many whole days as h needs) before, where those candles exist, else 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.features import log_returns
from data.filters import rolling_sum
from models.baseline import horizon_returns, scaled_quantiles
from models.samples import Ints, Samples

Floats = NDArray[np.float64]
NO_CHANGE, DRIFT, YESTERDAY = "no change", "drift", "same hour yesterday"
DRIFT_CANDLES = 168
_DAY_MS = 86_400_000


def centres(candles: Candles, horizons: Sequence[int]) -> dict[str, Floats]:
    """(n, h) each, log returns; nothing in row t was unknown when candle t closed."""
    returns, _ = log_returns(candles)
    mean = np.nan_to_num(rolling_sum(returns, DRIFT_CANDLES) / DRIFT_CANDLES)
    drift = mean[:, None] * np.array(horizons, dtype=np.float64)
    return {NO_CHANGE: np.zeros_like(drift), DRIFT: drift, YESTERDAY: _yesterday(candles, horizons)}


def naive_quantiles(samples: Samples, centre: Floats, train: Ints, wanted: Ints, quantiles: Sequence[float]) -> Floats:
    """(n, h, q) log returns of the `wanted` rows: `centre` (all rows, h) with the bands of its errors on `train`."""
    errors = (samples.returns[train] - centre[train]) / samples.sigma[train, None]
    shape = scaled_quantiles(errors, quantiles)
    laid: Floats = centre[wanted][..., None] + samples.sigma[wanted, None, None] * shape
    return laid


def _yesterday(candles: Candles, horizons: Sequence[int]) -> Floats:
    times, day = candles.open_time_ms, max(1, _DAY_MS // candles.interval.ms)
    past = horizon_returns(candles, horizons)
    result = np.zeros_like(past)
    for column, horizon in enumerate(horizons):
        wanted = times - day * math.ceil(horizon / day) * candles.interval.ms
        places = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
        there = times[places] == wanted
        result[there, column] = np.nan_to_num(past[places[there], column])
    return result
