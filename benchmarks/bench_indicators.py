"""Indicators: all columns by TA-Lib against `ta` on the same candles, a read through the cache, and features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import (
    Row,
    at_least,
    at_most,
    faster,
    interleaved,
    print_rows,
    reading,
    result,
    saves,
    seconds_per_call,
)
from data.candles import Candles
from data.data_processor import compute_indicators, compute_with, engine_name, indicators
from data.features import feature_matrix
from data.indicator_catalogue import NAMES
from data.interval import Interval
from data.symbol import Symbol

_HOUR_MS = 3_600_000


def walk(count: int, seed: int = 1) -> Candles:
    """A random walk with the manners of an hourly market; no file is needed."""
    rng = np.random.default_rng(seed)
    close = 40_000.0 * np.exp(np.cumsum(rng.standard_t(4, count) * 0.006))
    opened = np.append(40_000.0, close[:-1])
    high = np.maximum(opened, close) * np.exp(rng.exponential(0.003, count))
    low = np.minimum(opened, close) * np.exp(-rng.exponential(0.003, count))
    volume = rng.lognormal(3.0, 0.7, count)
    times = 473_352 * _HOUR_MS + _HOUR_MS * np.arange(count)
    columns = [opened, high, low, close, volume, volume * close, volume * 40, volume / 2, volume * close / 2]
    return Candles.from_columns(Symbol("BTCUSDT"), Interval.H1, times, columns)


def run(*, short: bool = False) -> dict[str, Any]:
    rounds, calls = (5, 20) if short else (15, 50)
    rows = [row for count in (500, 1000) for row in _against_ta(walk(count), rounds, calls)]
    rows += _warm(walk(1000), rounds, calls)
    print_rows(f"Indicators, {len(NAMES)} columns by {engine_name()}", rows)
    return result("indicators", rows, columns=len(NAMES), engine=engine_name())


def _against_ta(candles: Candles, rounds: int, calls: int) -> list[Row]:
    works: dict[str, Callable[[], float]] = {
        "ta": lambda: 1e3 * seconds_per_call(lambda: compute_with("ta", candles, NAMES), 1),
        "ours": lambda: 1e3 * seconds_per_call(lambda: compute_indicators(candles), calls),
    }
    for work in works.values():
        work()
    seen = {name: reading(values, "ms") for name, values in interleaved(works, rounds).items()}
    ratio = seen["ta"].median / seen["ours"].median
    return [at_least(f"indicators of {len(candles)} candles, against ta", seen["ours"], seen["ta"], ratio, 300)]


def _warm(candles: Candles, rounds: int, calls: int) -> list[Row]:
    indicators(candles)
    works = {
        "warm": lambda: 1e6 * seconds_per_call(lambda: indicators(candles), calls * 200),
        "cold": lambda: 1e6 * seconds_per_call(lambda: compute_indicators(candles), calls),
        "ta": lambda: 1e6 * seconds_per_call(lambda: compute_with("ta", candles, NAMES), 1),
        "features": lambda: 1e3 * seconds_per_call(lambda: feature_matrix(candles), calls),
    }
    seen = interleaved(works, rounds)
    warm, cold = reading(seen["warm"], "µs"), reading(seen["cold"], "µs")
    return [
        at_most("indicators of candles seen before", warm, 10),
        saves("indicators seen before, against computing them with ta", warm, reading(seen["ta"], "µs"), 0.999),
        faster("indicators seen before, against computing them with our engine", warm, cold, 100),
        at_most("forecast features of 1000 candles", reading(seen["features"], "ms"), 10),
    ]


if __name__ == "__main__":
    run()
