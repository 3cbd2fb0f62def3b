"""Altered candles: a market as it might have been, to try what looks ahead: another future, or one other candle."""

from __future__ import annotations

import numpy as np

from data.candles import FLOAT_COLUMNS, Candles

REPLACEMENTS = ((1, 0.03), (2, 0.0005))
"""(seed, volatility per candle) of the futures that replace the real one: one wild, one nearly still."""


def with_other_future(candles: Candles, row: int, seed: int, volatility: float) -> Candles:
    """The same candles up to and with `row`; every one after it replaced by a walk of that volatility per candle."""
    random = np.random.default_rng(seed)
    count = len(candles) - row - 1
    close = candles.close[row] * np.exp(np.cumsum(random.normal(0.0, volatility, count)))
    opened = np.concatenate([candles.close[row : row + 1], close])[:-1]
    high = np.maximum(opened, close) * np.exp(random.exponential(volatility, count))
    low = np.minimum(opened, close) * np.exp(-random.exponential(volatility, count))
    volume = random.lognormal(3.0, 1.0, count)
    later = [opened, high, low, close, volume, volume * close, np.round(volume), 0.3 * volume, 0.3 * volume * close]
    columns = [
        np.concatenate([getattr(candles, name)[: row + 1], column])
        for name, column in zip(FLOAT_COLUMNS, later, strict=True)
    ]
    return Candles.from_columns(candles.symbol, candles.interval, candles.open_time_ms.copy(), columns)


def with_other_candle(candles: Candles, row: int) -> Candles:
    """The same candles but for one, whose prices are 1 % higher and whose volumes are doubled."""
    columns = [getattr(candles, name).copy() for name in FLOAT_COLUMNS]
    for place, column in enumerate(columns):
        column[row] *= 1.01 if place < FLOAT_COLUMNS.index("volume") else 2.0
    return Candles.from_columns(candles.symbol, candles.interval, candles.open_time_ms.copy(), columns)
