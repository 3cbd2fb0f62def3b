"""Made-up candles with the manners of real ones, for tests that need many, odd, or reproducible ones."""

from __future__ import annotations

import numpy as np

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol

START_MS = 1_704_067_200_000
"""2024-01-01 00:00 UTC, a Monday."""


def made_candles(
    count: int,
    *,
    seed: int = 1,
    symbol: str = "BTCUSDT",
    interval: str = "1h",
    price: float = 40_000.0,
    start_ms: int = START_MS,
    without: tuple[int, ...] = (),
) -> Candles:
    """`count` rows of a random walk on the grid from `start_ms`, less the rows numbered in `without` (holes)."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.standard_t(4, count) * 0.006))
    opened = np.concatenate([[price], close[:-1]])
    high = np.maximum(opened, close) * np.exp(rng.exponential(0.003, count))
    low = np.minimum(opened, close) * np.exp(-rng.exponential(0.003, count))
    volume = rng.lognormal(3.0, 0.7, count)
    trades = np.round(volume * 40)
    bought = volume * rng.uniform(0.3, 0.7, count)
    step = Interval.parse(interval).ms
    times = start_ms + step * np.arange(count)
    kept = np.setdiff1d(np.arange(count), np.array(without, dtype=int))
    columns = [opened, high, low, close, volume, volume * close, trades, bought, bought * close]
    return Candles.from_columns(
        Symbol.parse(symbol), Interval.parse(interval), times[kept], [column[kept] for column in columns]
    )


def changed_after(candles: Candles, row: int, seed: int = 9) -> Candles:
    """The same candles up to and with `row`, others after it."""
    other = made_candles(len(candles), seed=seed, price=float(candles.close[row]) * 1.3)
    names = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
    columns = []
    for name in names:
        column = getattr(candles, name).copy()
        column[row + 1 :] = getattr(other, name)[row + 1 :]
        columns.append(column)
    return Candles.from_columns(candles.symbol, candles.interval, candles.open_time_ms.copy(), columns)
