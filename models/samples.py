"""Samples: which windows of which markets can be learned from or forecast, pooled without materialising them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from data.candles import Candles
from data.features import ewma_sigma
from data.symbol import Symbol
from models.baseline import horizon_returns
from models.inputs import input_matrix

_DAY_MS = 86_400_000
Ints = NDArray[np.int64]
Inputs = Callable[[Candles, Sequence[str]], NDArray[np.float32]]
"""A market's named inputs, (n, f); NaN while they warm up."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Markets laid end to end. `ends` index rows: a sample is the window that ends there, and its row of `targets`."""

    symbols: tuple[Symbol, ...]
    features: NDArray[np.float32]
    """(n, f) raw."""
    sigma: NDArray[np.float64]
    """(n,) EWMA volatility per candle."""
    returns: NDArray[np.float64]
    """(n, h) log returns to each horizon; NaN where the outcome is not known."""
    open_time_ms: Ints
    market: NDArray[np.int32]
    """(n,) index into `symbols`."""
    ends: Ints
    """(m,) rows where a forecast can be made."""
    range_variance: NDArray[np.float64] | None = None
    """(n,) variance of each candle by its range (Parkinson 1980)."""

    @property
    def scaled(self) -> NDArray[np.float64]:
        """(n, h) returns in units of sigma."""
        return self.returns / self.sigma[:, None]

    def starting(self, from_ms: int, until_ms: int) -> Ints:
        """The ends whose last candle opens in [from_ms, until_ms)."""
        times = self.open_time_ms[self.ends]
        return self.ends[(times >= from_ms) & (times < until_ms)]


def usable_ends(candles: Candles, features: NDArray[np.float32], window: int, warm_up: int) -> Ints:
    """Rows whose `window` candles, the row the last of them, have no hole and all features, once warm-up is over."""
    count = len(candles)
    steps = np.ones(count, dtype=bool)
    for _, after in candles.holes():
        steps[np.searchsorted(candles.open_time_ms, after)] = False
    good = np.isfinite(features).all(axis=1)
    rows = np.arange(count)
    # a window may begin at a candle after a hole, but not reach across it
    run_start = np.maximum.accumulate(np.where(steps, 0, rows)) if count else rows
    bad_before = np.maximum.accumulate(np.where(good, -1, rows)) if count else rows
    first = rows - window + 1
    ends: Ints = rows[(first >= run_start) & (first > bad_before) & (rows >= window + warm_up - 1)]
    return ends


def known_sigma(candles: Candles, half_life: float) -> NDArray[np.float64]:
    """EWMA volatility per candle, NaN where it is not a positive number (a market that has not moved yet)."""
    sigma = ewma_sigma(candles, half_life)
    return np.where(sigma > 0, sigma, np.nan)


def gather(
    markets: Sequence[Candles],
    names: Sequence[str],
    *,
    window: int,
    warm_up: int,
    horizons: Sequence[int],
    half_life: float,
    inputs: Inputs = input_matrix,
) -> Samples:
    """What a model learns from: its inputs, sigma by `half_life`, and the returns to each horizon."""
    return joined(
        markets,
        window=window,
        warm_up=warm_up,
        inputs=lambda candles: inputs(candles, names),
        sigma=lambda candles: known_sigma(candles, half_life),
        targets=lambda candles: horizon_returns(candles, horizons),
    )


def joined(
    markets: Sequence[Candles],
    *,
    window: int,
    warm_up: int,
    inputs: Callable[[Candles], NDArray[np.float32]],
    sigma: Callable[[Candles], NDArray[np.float64]],
    targets: Callable[[Candles], NDArray[np.float64]],
) -> Samples:
    """Computes each market once: inputs (n, f), sigma (n,), targets (n, h). Windows are cut later, batch by batch."""
    features, sigmas, returns, ends, offset = [], [], [], [], 0
    for candles in markets:
        matrix, own_sigma = inputs(candles), sigma(candles)
        usable = usable_ends(candles, matrix, window, warm_up)
        ends.append(usable[np.isfinite(own_sigma[usable])] + offset)
        features.append(matrix)
        sigmas.append(own_sigma)
        returns.append(targets(candles))
        offset += len(candles)
    return Samples(
        symbols=tuple(candles.symbol for candles in markets),
        features=np.concatenate(features),
        sigma=np.concatenate(sigmas),
        returns=np.concatenate(returns),
        open_time_ms=np.concatenate([candles.open_time_ms for candles in markets]),
        market=np.repeat(np.arange(len(markets), dtype=np.int32), [len(candles) for candles in markets]),
        ends=np.concatenate(ends),
        range_variance=np.concatenate([_range_variance(candles) for candles in markets]),
    )


def decided(samples: Samples, ends: Ints) -> Ints:
    """Those whose outcome is known at every horizon."""
    known: Ints = ends[np.isfinite(samples.returns[ends]).all(axis=1)]
    return known


def _range_variance(candles: Candles) -> NDArray[np.float64]:
    """ln(high / low)² / (4 ln 2)."""
    return np.asarray(np.square(np.log(candles.high / candles.low)) / (4.0 * np.log(2.0)))


def recency(open_time_ms: Ints, half_life_days: float) -> NDArray[np.float64]:
    """(n,) weights, 1 for the newest, halved every `half_life_days`; all 1 where that is 0."""
    if half_life_days <= 0 or not len(open_time_ms):
        return np.ones(len(open_time_ms))
    return np.asarray(np.exp2((open_time_ms - open_time_ms.max()) / (_DAY_MS * half_life_days)))


def cut(features: NDArray[np.float32], ends: Ints, window: int) -> NDArray[np.float32]:
    """(n, f) and (b,) → (b, window, f)."""
    windows: NDArray[np.float32] = features[ends[:, None] + np.arange(1 - window, 1)]
    return windows


def data_hash(markets: Sequence[Candles]) -> str:
    """One hash of all candles, whatever the order of the markets."""
    state = xxhash.xxh3_128()
    for candles in sorted(markets, key=lambda one: one.symbol):
        state.update(candles.digest.encode())
    return state.hexdigest()
