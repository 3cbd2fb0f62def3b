"""Scale series: what the inputs of the scale kind are means and lags of, freed from what its hour usually is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.features import SIGMA_FLOOR
from data.filters import decayed_mean
from data.interval import Interval
from models.season import Season, slots
from models.window_readers import LONGEST

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOCAL_HALF_LIFE, _LOCAL_WINDOW = 24.0, 168
"""Of the volatility that single candles of the past are held against."""
HISTORY = LONGEST + _LOCAL_WINDOW + 2
"""Candles that one row needs: the longest window, of values held against the volatility before them."""
_FLUSH = 20.0
"""A candle's range counts for no more than so many local volatilities: single trades far off are no volatility."""
_PARKINSON = 2.0 * np.sqrt(np.log(2.0))
"""Parkinson 1980: the range of a candle over this is its volatility."""
_GK = 2.0 * np.log(2.0) - 1.0
COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


def columns_of(candles: Candles) -> dict[str, Any]:
    return {name: getattr(candles, name) for name in COLUMNS}


def series_of(columns: Mapping[str, Any], season: Season, interval: Interval) -> dict[str, Floats]:
    """What the inputs are means and lags of, (…, n) each. `u`: returns in units of what their hour usually is."""
    logs = {name: np.log(columns[name]) for name in ("open", "high", "low", "close")}
    times = columns["open_time_ms"]
    slot = slots(_alike(times))
    usual = np.broadcast_to(np.array(season.scale)[slot], times.shape)
    returns = np.zeros(logs["close"].shape)
    returns[..., 1:] = np.where(np.diff(times, axis=-1) == interval.ms, np.diff(logs["close"], axis=-1), 0.0)
    local = np.maximum(np.sqrt(decayed_mean(np.square(returns), _LOCAL_HALF_LIFE, _LOCAL_WINDOW)), SIGMA_FLOOR)
    before = np.full(local.shape, np.nan)
    before[..., 1:] = local[..., :-1]
    sizes, path = np.abs(returns), np.cumsum(returns, axis=-1)
    u_size, z = sizes / usual, np.clip(returns / before, -10.0, 10.0)
    z_size, z_square = np.abs(z), np.square(z)
    span, body = logs["high"] - logs["low"], logs["close"] - logs["open"]
    middle = logs["high"] + logs["low"]
    most = _FLUSH * local
    volume = np.log1p(columns["volume"] * columns["close"]) - np.array(season.volume)[slot]
    garman_klass = 0.5 * np.square(np.minimum(span, most)) - _GK * np.square(np.clip(body, -most, most))
    bipower, wild = np.zeros(sizes.shape), np.full(sizes.shape, np.nan)
    bipower[..., 1:] = u_size[..., 1:] * u_size[..., :-1]
    wild[..., 1:] = np.abs(np.diff(np.log(local), axis=-1))
    return {
        "returns": returns,
        "squares": np.square(returns),
        "signed": returns * sizes,
        "sizes": sizes,
        "path": path,
        "high": path + np.minimum(logs["high"] - logs["close"], most),
        "low": path - np.minimum(logs["close"] - logs["low"], most),
        "u_size": u_size,
        "u_square": np.square(u_size),
        "bipower": bipower,
        "range": np.minimum(span / _PARKINSON, most) / usual,
        "garman_klass": garman_klass / np.square(usual),
        "z": z,
        "z_size": z_size,
        "z_square": z_square,
        "z_fourth": np.square(z_square),
        "z_large": np.where(np.isnan(z), np.nan, z_size > 1.8),
        "local_move": wild,
        "wick": (logs["open"] + logs["close"] - middle) / local,
        "place": _shares(2.0 * logs["close"] - middle, span),
        "volume": volume,
        "season": np.log(usual),
    }


def _alike(times: Ints) -> Ints:
    """(m, n) → (1, n) where all markets have the same times, as they nearly always do."""
    return times[:1] if times.ndim > 1 and bool((times == times[0]).all()) else times


def _shares(part: Floats, whole: Floats) -> Floats:
    """part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
