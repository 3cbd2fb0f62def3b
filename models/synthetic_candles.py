"""Synthetic candles: the simulated exchange's made-up market as Candles, for checks that need no real ones."""

from __future__ import annotations

import numpy as np

from data.candles import Candles
from data.interval import Interval
from data.simulated_exchange.candle_series import aggregate
from data.simulated_exchange.synthetic import SyntheticSource
from data.symbol import Symbol
from utils.errors import InvalidInput

END_MS = 1_735_689_600_000
"""2025-01-01 UTC."""


def synthetic_candles(interval: Interval, count: int, markets: int = 3, seed: int = 7) -> list[Candles]:
    """About `count` candles of each of the first `markets` made-up coins, up to the end of 2024."""
    if interval.ms < Interval.H1.ms:
        raise InvalidInput(f"the made-up market begins at 1h candles; for {interval} give --data with real ones")
    source = SyntheticSource(seed=seed, symbols=markets)
    start_ms = interval.open_ms(END_MS - count * interval.ms)
    made = []
    for name, listing in source.listings.items():
        series = aggregate(source.recorded(name, Interval.H1, start_ms, END_MS), interval)
        price, volume, quote = (step * 1e-8 for step in listing.units)
        units = np.array([price, price, price, price, volume, quote, 1.0, volume, quote])[:, None]
        made.append(Candles.from_columns(Symbol.parse(name), interval, series.open_time_ms, series.values * units))
    return made
