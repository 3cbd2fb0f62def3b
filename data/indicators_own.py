"""Indicators of our own, which neither library has or has right; both engines use them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles, Floats
from data.filters import rolling_max, rolling_sum, window_sums

_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS


def typical_price(candles: Candles) -> Floats:
    price = candles.high + candles.low
    price += candles.close
    price /= 3.0
    return price


def vwap_day(candles: Candles) -> Floats:
    """Volume-weighted average of the typical price since 00:00 UTC; the typical price itself while nothing has traded.

    NaN until a day begins within the candles: of a day seen from its middle, the average is not known.
    """
    price = typical_price(candles)
    if candles.interval.ms >= _DAY_MS:
        return price
    day, place = _places_in_days(candles)
    sums = np.zeros((2, day * _DAY_MS // candles.interval.ms))
    np.multiply(price, candles.volume, out=price)
    sums[0, place], sums[1, place] = price, candles.volume
    by_day = sums.reshape(2, day, -1)
    np.cumsum(by_day, axis=2, out=by_day)
    paid, volume = sums[0, place], sums[1, place]
    traded = volume > 0
    if traded.all():
        np.divide(paid, volume, out=price)
    else:
        price = np.divide(paid, volume, out=typical_price(candles), where=traded)
    into_day_ms = int(candles.open_time_ms[0]) % _DAY_MS
    if into_day_ms:
        price[: int(candles.open_time_ms.searchsorted(candles.open_time_ms[0] - into_day_ms + _DAY_MS))] = np.nan
    return price


def _places_in_days(candles: Candles) -> tuple[int, slice | NDArray[np.int64]]:
    """How many UTC days the candles lie in, and where each candle has its place in a table of those days' candles.

    A place without a candle stays empty, which adds nothing to a sum: with a hole or without, the same sums.
    """
    times, ms = candles.open_time_ms, candles.interval.ms
    first, last, count = int(times[0]), int(times[-1]), len(times)
    into_day_ms = first % _DAY_MS
    if last - first == (count - 1) * ms:
        start = into_day_ms // ms
        return (into_day_ms + last - first) // _DAY_MS + 1, slice(start, start + count)
    days, into_days_ms = np.divmod(times, _DAY_MS)
    number = np.zeros(count, dtype=np.int64)
    np.cumsum(days[1:] != days[:-1], out=number[1:])
    return int(number[-1]) + 1, (number * _DAY_MS + into_days_ms) // ms


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
    result = np.empty(len(candles))
    result[:window] = np.nan
    if len(candles) <= window:
        return result
    price = typical_price(candles)
    step = price[1:] - price[:-1]
    price *= candles.volume
    flows = np.empty((2, len(step)))
    np.multiply(price[1:], step > 0, out=flows[0])
    np.multiply(price[1:], step < 0, out=flows[1])
    rising, falling = window_sums(flows, window)
    falling += rising
    rising *= 100.0
    if falling.all():
        np.divide(rising, falling, out=result[window:])
    else:
        result[window:] = 50.0
        np.divide(rising, falling, out=result[window:], where=falling > 0)
    return result


FAMILIES: dict[tuple[str, ...], Callable[[Candles], tuple[Floats, ...]]] = {
    ("vwap_day",): lambda c: (vwap_day(c),),
    ("volume_zscore_20",): lambda c: (volume_zscore(c, 20),),
    ("realised_volatility_24",): lambda c: (realised_volatility(c, 24),),
}
