"""Volatility: log returns of consecutive candles, and how large they lately were; for one market or for many."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles, Floats
from data.filters import ewma
from data.interval import Interval

SIGMA_FLOOR = 1e-6
"""No volatility is taken to be smaller: a hundredth of a basis point per candle, as of a market that stands still."""


class Columns(Protocol):
    """What features are computed from: one market's candles, columns (n,); or those of k markets, columns (k, n)."""

    @property
    def interval(self) -> Interval: ...
    @property
    def open_time_ms(self) -> NDArray[np.int64]: ...
    @property
    def open(self) -> Floats: ...
    @property
    def high(self) -> Floats: ...
    @property
    def low(self) -> Floats: ...
    @property
    def close(self) -> Floats: ...
    @property
    def volume(self) -> Floats: ...
    @property
    def trades(self) -> Floats: ...
    @property
    def taker_buy_base(self) -> Floats: ...


def ewma_sigma(candles: Candles, half_life: float = 24.0) -> Floats:
    """Volatility per candle, (n,): the root of the exponentially weighted mean of squared log returns.

    With r[i] = ln(close[i] / close[i-1]) of consecutive candles only, in order, and k = ceil(half_life):

        var after the k-th return = mean of the first k squared returns
        var after each later one  = a * var before + (1 - a) * r ** 2,    a = 0.5 ** (1 / half_life)
        sigma[t] = max(sqrt(var after the last return up to candle t), 1e-6)

    The first candle and a candle after a hole have no return and keep the value before them. NaN until k returns are
    known. (The RiskMetrics estimator, J.P. Morgan/Reuters 1996, with a = 0.9715 at the default half-life.)
    """
    returns, present = log_returns(candles)
    return sigma_of(np.square(returns), present, half_life)


def log_returns(candles: Columns) -> tuple[Floats, NDArray[np.bool_]]:
    """ln(close[i] / close[i-1]), (…, n), and whether there is one: not at first nor after a hole, where it is 0."""
    present = np.zeros(len(candles.open_time_ms), dtype=bool)
    present[1:] = follows(candles)
    logs = np.log(candles.close)
    returns = np.zeros(logs.shape)
    returns[..., 1:] = np.where(present[1:], np.diff(logs), 0.0)
    return returns, present


def follows(candles: Columns) -> NDArray[np.bool_]:
    """(n - 1,): whether candle i + 1 comes right after candle i."""
    if candles.interval is Interval.MO1:
        expected = [candles.interval.next_open_ms(time) for time in candles.open_time_ms[:-1].tolist()]
        return np.equal(candles.open_time_ms[1:], np.array(expected, dtype=np.int64))
    return np.equal(np.diff(candles.open_time_ms), candles.interval.ms)


def sigma_of(squares: Floats, present: NDArray[np.bool_], half_life: float) -> Floats:
    """`ewma_sigma` from squared returns (n,) and which of them there are."""
    variances = ewma(squares[present], half_life)
    known: Floats = np.concatenate([[np.nan], variances])[np.cumsum(present)]
    result: Floats = np.maximum(np.sqrt(known), SIGMA_FLOOR)
    return result
