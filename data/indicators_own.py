"""Indicators of our own, which neither library has or has right; both engines use them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.candles import Candles, Floats
from data.filters import rolling_max, rolling_sum

_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS


def typical_price(candles: Candles) -> Floats:
    return (candles.high + candles.low + candles.close) / 3.0


def vwap_day(candles: Candles) -> Floats:
    """Volume-weighted average of the typical price since 00:00 UTC; the typical price itself while nothing has traded.

    NaN until a day begins within the candles: of a day seen from its middle, the average is not known.
    """
    rows = np.arange(len(candles))
    days = candles.open_time_ms // _DAY_MS
    begins = np.zeros(len(candles), dtype=np.int64)
    np.multiply(rows[1:], days[1:] != days[:-1], out=begins[1:])
    np.maximum.accumulate(begins, out=begins)
    price = typical_price(candles)
    sums = np.zeros((2, len(candles) + 1))
    np.cumsum([candles.volume, price * candles.volume], axis=1, out=sums[:, 1:])
    volume, paid = sums[:, 1:] - sums[:, begins]
    result: Floats = np.divide(paid, volume, out=price, where=volume > 0)
    if candles.open_time_ms[0] % _DAY_MS:
        result[begins == 0] = np.nan
    return result


def volume_zscore(candles: Candles, window: int) -> Floats:
    """Volume less its mean over the window, in standard deviations (of the population); 0 where it does not vary."""
    volume = candles.volume
    mean, mean_square = rolling_sum(np.array([volume, volume * volume]), window) / window
    variance = mean_square - mean * mean
    return zscore(volume, mean, np.sqrt(np.maximum(variance, 0.0)), rolling_max(volume, window))


def zscore(values: Floats, mean: Floats, spread: Floats, largest: Floats) -> Floats:
    """(values - mean) / spread, 0 where the spread is nothing beside the largest value."""
    scores = values - mean
    varies = spread > 1e-6 * largest
    return np.multiply(scores, varies, out=np.divide(scores, spread, out=scores, where=varies))


def per_year(candles: Candles) -> float:
    """How many candles a year of 365 days has."""
    return _YEAR_MS / candles.interval.ms


def realised_volatility(candles: Candles, window: int) -> Floats:
    """Root mean square of the last `window` log returns, scaled to a year of 365 days; 0.6 is 60 % a year."""
    squares = np.square(np.diff(np.log(candles.close)))
    result = np.full(len(candles), np.nan)
    result[1:] = np.sqrt(rolling_sum(squares, window) / window * per_year(candles))
    return result


def money_flow_index(candles: Candles, window: int) -> Floats:
    """Money that flowed at a rising typical price, as a percentage of all that flowed; 50 where none did.

    TA-Lib's MFI calls any flow below 1.0 nothing, which is wrong for small markets quoted in BTC.
    """
    price = typical_price(candles)
    flow, step = (price * candles.volume)[1:], np.diff(price)
    rising, falling = rolling_sum(np.array([flow * (step > 0), flow * (step < 0)]), window)
    total = rising + falling
    result = np.full(len(candles), np.nan)
    result[1:] = np.divide(100.0 * rising, total, out=np.where(np.isnan(total), np.nan, 50.0), where=total > 0)
    return result


FAMILIES: dict[tuple[str, ...], Callable[[Candles], tuple[Floats, ...]]] = {
    ("vwap_day",): lambda c: (vwap_day(c),),
    ("volume_zscore_20",): lambda c: (volume_zscore(c, 20),),
    ("realised_volatility_24",): lambda c: (realised_volatility(c, 24),),
}
