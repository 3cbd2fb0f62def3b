"""Parts: what features are made of: one market's whole history, or the last rows of many markets at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles, Floats
from data.filters import ewma, ewma_tail, lagged, rolling_max, rolling_min, rolling_sum
from data.interval import Interval
from data.volatility import SIGMA_FLOOR, Columns, log_returns, sigma_of

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Stack:
    """Candles of k markets at the same n times, without a hole: columns (k, n) where `Candles` has (n,)."""

    interval: Interval
    open_time_ms: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    trades: Floats
    taker_buy_base: Floats

    @classmethod
    def of(cls, markets: Sequence[Candles]) -> Stack:
        """Of markets of one interval and the same times: the caller has looked."""
        names = ("open", "high", "low", "close", "volume", "trades", "taker_buy_base")
        columns = [np.stack([getattr(one, name) for one in markets]) for name in names]
        return cls(markets[0].interval, markets[0].open_time_ms, *columns)


class Parts:
    """Columns that several features share, each computed at most once.

    Columns from here and arguments of filters are as long as the history. What a filter or `now` answers is too, or,
    where `rows` are given, has just the last so many: a feature that takes every column through one of them can be
    computed either way. With `rows` the candles have no hole, and more of them than any filter's window before those.
    """

    def __init__(self, candles: Columns, rows: int | None = None) -> None:
        self.candles = candles
        self.rows = rows
        self.returns, self.present = log_returns(candles)
        self.squares = np.square(self.returns)

    def now(self, column: NDArray[T]) -> NDArray[T]:
        return column if self.rows is None else column[..., -self.rows :]

    def lagged(self, column: Floats, by: int) -> Floats:
        if self.rows is None:
            return lagged(column, by)
        count = column.shape[-1] - by
        return column[..., count - self.rows : count]

    def ewma(self, column: Floats, half_life: float) -> Floats:
        return ewma(column, half_life) if self.rows is None else ewma_tail(column, half_life, self.rows)

    def rolling_sum(self, column: Floats, window: int) -> Floats:
        return self.now(rolling_sum(self._reached(column, window), window))

    def rolling_max(self, column: Floats, window: int) -> Floats:
        return self.now(rolling_max(self._reached(column, window), window))

    def rolling_min(self, column: Floats, window: int) -> Floats:
        return self.now(rolling_min(self._reached(column, window), window))

    def sigma_of(self, half_life: float) -> Floats:
        """`data.volatility.ewma_sigma`."""
        if self.rows is None:
            return sigma_of(self.squares, self.present, half_life)
        return np.maximum(np.sqrt(self.ewma(self.squares[..., 1:], half_life)), SIGMA_FLOOR)

    def rolling_sigma(self, window: int) -> Floats:
        return np.maximum(np.sqrt(self.rolling_sum(self.squares, window) / window), SIGMA_FLOOR)

    @cached_property
    def sigma(self) -> Floats:
        return self.sigma_of(24.0)

    @cached_property
    def path(self) -> Floats:
        """Log price with the moves across holes left out."""
        return np.cumsum(self.returns, axis=-1)

    @cached_property
    def high(self) -> Floats:
        return self.path + np.log(self.candles.high / self.candles.close)

    @cached_property
    def low(self) -> Floats:
        return self.path + np.log(self.candles.low / self.candles.close)

    @cached_property
    def body(self) -> Floats:
        return np.log(self.candles.close / self.candles.open)

    @cached_property
    def span(self) -> Floats:
        return np.log(self.candles.high / self.candles.low)

    @cached_property
    def imbalance(self) -> Floats:
        """Taker buys less taker sells, as a part of the volume: -1…1, 0 where nothing traded or nothing is known."""
        bought, volume = self.candles.taker_buy_base, self.candles.volume
        known = (volume > 0) & np.isfinite(bought)
        return np.where(known, 2.0 * np.nan_to_num(bought) / np.where(known, volume, 1.0) - 1.0, 0.0)

    def _reached(self, column: Floats, window: int) -> Floats:
        """As much of it as windows that end in the wanted rows can see."""
        return column if self.rows is None else column[..., -(self.rows + window - 1) :]
