"""Features: what a forecasting model sees of candles. Scale-free and stationary, so that one model serves all symbols.

Nothing at row t depends on a candle after t. Prices enter as log returns of consecutive candles, divided by
`ewma_sigma`; the move across a hole is left out (a return of zero), never spread over the candles beside it. Where the
source has no trade counts or taker volumes, or fewer than 24 returns are known, those features are 0. Rows before
`WARM_UP` are NaN; from there on every value is finite and within ±`LIMIT`. The longest memory is an average of
half-life 24, so 1000 candles give the same as all history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles, Floats
from data.feature_parts import Parts
from data.filters import lagged
from data.volatility import SIGMA_FLOOR as SIGMA_FLOOR
from data.volatility import ewma_sigma as ewma_sigma
from data.volatility import log_returns as log_returns
from utils.errors import SchemaMismatch

WARM_UP = 192
"""Rows at the beginning for which no feature is given."""
LIMIT = 10.0
"""Features are cut to ±LIMIT: in units of sigma, or of log ratio, nothing beyond it says more."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_THURSDAY = 4
"""1970-01-01 was a Thursday; weeks here begin on Sunday, which is 0."""
_SMALL_RATIO = 0.01


def feature_matrix(candles: Candles, names: Sequence[str] | None = None) -> NDArray[np.float32]:
    """The named features (all by default), float32 (n, f), in the order asked. SchemaMismatch if one is unknown."""
    chosen = FEATURES if names is None else names
    matrix = np.full((len(candles), len(chosen)), np.nan, dtype=np.float32)
    if len(candles) > WARM_UP and len(chosen):
        matrix[WARM_UP:] = feature_columns(Parts(candles), chosen)[:, WARM_UP:].T
    elif chosen:
        _check(chosen)
    return matrix


def feature_columns(parts: Parts, names: Sequence[str]) -> Floats:
    """The named features of `parts`, (f, …, rows), finite and cut to ±LIMIT. SchemaMismatch if one is unknown.

    The first WARM_UP rows of a history mean nothing; parts that give the last rows only must have so many before them.
    """
    _check(names)
    columns = np.empty((len(names), *parts.sigma.shape))
    for place, name in enumerate(names):
        columns[place] = _COMPUTE[name](parts)
    np.clip(columns, -LIMIT, LIMIT, out=columns)
    columns[np.isnan(columns)] = 0.0
    return columns


def _check(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in _COMPUTE]
    if unknown:
        raise SchemaMismatch(f"this version computes no feature {', '.join(unknown)}; it has {', '.join(FEATURES)}")


Feature = Callable[[Parts], Floats]


def _move(rows: int) -> Feature:
    """The return over `rows` candles, in its own standard deviations."""
    return lambda p: (p.now(p.path) - p.lagged(p.path, rows)) / (p.sigma * np.sqrt(rows))


def _distance(half_life: float) -> Feature:
    """From the exponential average of the log price: the same as an average of returns, which needs no start."""
    keep = 0.5 ** (1.0 / half_life)
    return lambda p: keep / (1.0 - keep) * p.ewma(p.returns, half_life) / (p.sigma * np.sqrt(half_life))


def _mean_distance(window: int) -> Feature:
    return lambda p: (p.now(p.path) - p.rolling_sum(p.path, window) / window) / (p.sigma * np.sqrt(window))


def _drawdown(window: int) -> Feature:
    return lambda p: (p.now(p.path) - p.rolling_max(p.high, window)) / (p.sigma * np.sqrt(window))


def _position(window: int) -> Feature:
    """Where the close stands between the lowest low (-1) and the highest high (1) of the window."""

    def compute(p: Parts) -> Floats:
        high, low = p.rolling_max(p.high, window), p.rolling_min(p.low, window)
        return _share(2.0 * p.now(p.path) - high - low, high - low)

    return compute


def _strength(half_life: float) -> Feature:
    """Average rise less average fall, over their sum: the relative strength index on a scale of -1…1."""
    return lambda p: _share(p.ewma(p.returns, half_life), p.ewma(np.abs(p.returns), half_life))


def _volatility_ratio(half_life: float) -> Feature:
    return lambda p: np.log(p.sigma_of(half_life) / p.sigma)


def _volatility_level(window: int) -> Feature:
    return lambda p: np.log(p.sigma / p.rolling_sigma(window))


def _parkinson(half_life: float) -> Feature:
    """Parkinson's estimator (1980), ln(high / low)² / (4 ln 2), beside that of closes."""
    return lambda p: _log_root(p.ewma(np.square(p.span) / (4.0 * np.log(2.0)), half_life), p.sigma)


def _garman_klass(half_life: float) -> Feature:
    """Garman and Klass' estimator (1980), ½ ln(high / low)² − (2 ln 2 − 1) ln(close / open)², beside that of closes."""
    weight = 2.0 * np.log(2.0) - 1.0
    return lambda p: _log_root(p.ewma(0.5 * np.square(p.span) - weight * np.square(p.body), half_life), p.sigma)


def _autocorrelation(half_life: float) -> Feature:
    def compute(p: Parts) -> Floats:
        before = np.nan_to_num(lagged(p.returns, 1))
        return p.ewma(p.returns * before, half_life) / np.square(p.sigma_of(half_life))

    return compute


def _asymmetry(half_life: float) -> Feature:
    """How much of the variance came from rises rather than falls: -1…1."""
    return lambda p: _share(p.ewma(p.squares * np.sign(p.returns), half_life), p.ewma(p.squares, half_life))


def _upper_wick(p: Parts) -> Floats:
    high, opened, close = (p.now(one) for one in (p.candles.high, p.candles.open, p.candles.close))
    return np.log(high / np.maximum(opened, close)) / p.sigma


def _lower_wick(p: Parts) -> Floats:
    low, opened, close = (p.now(one) for one in (p.candles.low, p.candles.open, p.candles.close))
    return np.log(np.minimum(opened, close) / low) / p.sigma


def _close_position(p: Parts) -> Floats:
    high, low, close = (p.now(one) for one in (p.candles.high, p.candles.low, p.candles.close))
    return _share(np.log(np.square(close) / (high * low)), p.now(p.span))


def _activity(column: str, half_life: float) -> Feature:
    """Log of a volume or count against its own average; 0 where it is not known."""

    def compute(p: Parts) -> Floats:
        values = getattr(p.candles, column)
        known = np.nan_to_num(values)
        average = p.ewma(known, half_life)
        return np.where(np.isnan(p.now(values)), 0.0, np.log(_share(p.now(known), average) + _SMALL_RATIO))

    return compute


def _activity_trend(column: str, fast: float, slow: float) -> Feature:
    def compute(p: Parts) -> Floats:
        known = np.nan_to_num(getattr(p.candles, column))
        quick, average = p.ewma(known, fast), p.ewma(known, slow)
        ratio: Floats = _share(quick, average)
        return np.where(average > 0, np.log(ratio + _SMALL_RATIO), 0.0)

    return compute


def _volume_z(window: int) -> Feature:
    """Volume against the mean and standard deviation of its window."""

    def compute(p: Parts) -> Floats:
        volume = p.candles.volume
        scale = p.rolling_max(volume, window)
        mean = p.rolling_sum(volume, window) / window
        spread = np.sqrt(np.maximum(p.rolling_sum(np.square(volume), window) / window - np.square(mean), 0.0))
        return np.where(spread > 1e-6 * scale, _share(p.now(volume) - mean, spread), 0.0)

    return compute


def _of_day(wave: Callable[[Floats], Floats]) -> Feature:
    return lambda p: wave((p.now(p.candles.open_time_ms) % _DAY_MS).astype(np.float64) * (2.0 * np.pi / _DAY_MS))


def _of_week(wave: Callable[[Floats], Floats]) -> Feature:
    turn = np.pi / 3.5
    return lambda p: wave(((p.now(p.candles.open_time_ms) // _DAY_MS + _THURSDAY) % 7).astype(np.float64) * turn)


def _share(part: Floats, whole: Floats) -> Floats:
    """part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.where(np.isnan(whole), np.nan, 0.0), where=whole > 0)


def _log_root(variance: Floats, sigma: Floats) -> Floats:
    return np.log(np.maximum(np.sqrt(np.maximum(variance, 0.0)), SIGMA_FLOOR) / sigma)


_COMPUTE: dict[str, Feature] = {
    "return_1": _move(1),
    "return_4": _move(4),
    "return_12": _move(12),
    "return_24": _move(24),
    "return_72": _move(72),
    "return_168": _move(168),
    "body": lambda p: p.now(p.body) / p.sigma,
    "upper_wick": _upper_wick,
    "lower_wick": _lower_wick,
    "range": lambda p: p.now(p.span) / p.sigma,
    "close_position": _close_position,
    "distance_ema_6": _distance(6.0),
    "distance_ema_24": _distance(24.0),
    "distance_mean_72": _mean_distance(72),
    "distance_mean_168": _mean_distance(168),
    "drawdown_168": _drawdown(168),
    "position_24": _position(24),
    "position_72": _position(72),
    "position_168": _position(168),
    "strength_6": _strength(6.0),
    "strength_14": _strength(14.0),
    "volatility_ratio_3": _volatility_ratio(3.0),
    "volatility_ratio_8": _volatility_ratio(8.0),
    "volatility_level_168": _volatility_level(168),
    "parkinson_12": _parkinson(12.0),
    "garman_klass_4": _garman_klass(4.0),
    "autocorrelation_24": _autocorrelation(24.0),
    "asymmetry_24": _asymmetry(24.0),
    "volume_24": _activity("volume", 24.0),
    "volume_trend_6": _activity_trend("volume", 6.0, 24.0),
    "volume_z_168": _volume_z(168),
    "trades_24": _activity("trades", 24.0),
    "imbalance": lambda p: p.now(p.imbalance),
    "imbalance_12": lambda p: p.ewma(p.imbalance, 12.0),
    "hour_sin": _of_day(np.sin),
    "hour_cos": _of_day(np.cos),
    "weekday_sin": _of_week(np.sin),
    "weekday_cos": _of_week(np.cos),
}

FEATURES: tuple[str, ...] = tuple(_COMPUTE)
"""Every feature this version computes. Never change what a name means: give a new meaning a new name."""
