"""Window readers: means, extremes and lags of series, for every row of one market or for the newest of many at once.

The formulas of `models.scale_catalogue` are written once over these: training reads every row, serving the last alone,
where a decayed mean of 720 candles is one dot product instead of ten passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.filters import decay_weights, decayed_mean, lagged, rolling_max, rolling_min, rolling_sum

Floats = NDArray[np.float64]
LONGEST = 720
"""Rows that any mean, extreme or lag here may reach back."""
_HALF_LIVES = 30


def window_of(half_life: float) -> int:
    """Rows of a decayed mean: thirty half-lives, beyond which nothing counts, but no more than LONGEST."""
    return min(LONGEST, max(2, round(_HALF_LIVES * half_life)))


class Reader(Protocol):
    """Reads named series; answers have the shape of what is read: (n,) rows of a market, or (m,) markets."""

    def now(self, name: str) -> Floats: ...

    def lag(self, name: str, rows: int) -> Floats: ...

    def decayed(self, name: str, half_life: float) -> Floats:
        """Mean with weights that halve every `half_life` rows."""
        ...

    def mean(self, name: str, window: int) -> Floats: ...

    def largest(self, name: str, window: int) -> Floats: ...

    def smallest(self, name: str, window: int) -> Floats: ...

    def taps(self, name: str, lags: Sequence[int], weights: Sequence[float]) -> Floats:
        """Weighted mean of the values at these lags."""
        ...


class EveryRow:
    """Of series (n,): each row's own past, NaN where it is too short."""

    def __init__(self, series: Mapping[str, Floats]) -> None:
        self._series = series
        self._decayed: dict[tuple[str, float], Floats] = {}

    def now(self, name: str) -> Floats:
        return self._series[name]

    def lag(self, name: str, rows: int) -> Floats:
        return lagged(self._series[name], rows)

    def decayed(self, name: str, half_life: float) -> Floats:
        key = (name, half_life)
        if key not in self._decayed:
            self._decayed[key] = decayed_mean(self._series[name], half_life, window_of(half_life))
        return self._decayed[key]

    def mean(self, name: str, window: int) -> Floats:
        return rolling_sum(self._series[name], window) / window

    def largest(self, name: str, window: int) -> Floats:
        return rolling_max(self._series[name], window)

    def smallest(self, name: str, window: int) -> Floats:
        return rolling_min(self._series[name], window)

    def taps(self, name: str, lags: Sequence[int], weights: Sequence[float]) -> Floats:
        total = sum(weight * self.lag(name, rows) for rows, weight in zip(lags, weights, strict=True))
        return np.asarray(total / sum(weights))


class NewestRow:
    """Of series (m, n), markets under each other: what `EveryRow` says in the last row of each."""

    def __init__(self, series: Mapping[str, Floats]) -> None:
        self._series = series
        self._decayed: dict[tuple[str, float], Floats] = {}

    def now(self, name: str) -> Floats:
        return np.asarray(self._series[name][:, -1])

    def lag(self, name: str, rows: int) -> Floats:
        return np.asarray(self._series[name][:, -1 - rows])

    def decayed(self, name: str, half_life: float) -> Floats:
        key = (name, half_life)
        if key not in self._decayed:
            window = window_of(half_life)
            weights = decay_weights(half_life, window)
            self._decayed[key] = (
                # no matrix product: see data.filters.ewma_tail
                np.einsum("ki,i->k", self._series[name][:, -window:], weights) / weights.sum()
            )
        return self._decayed[key]

    def mean(self, name: str, window: int) -> Floats:
        return np.asarray(self._series[name][:, -window:].mean(axis=1))

    def largest(self, name: str, window: int) -> Floats:
        return np.asarray(self._series[name][:, -window:].max(axis=1))

    def smallest(self, name: str, window: int) -> Floats:
        return np.asarray(self._series[name][:, -window:].min(axis=1))

    def taps(self, name: str, lags: Sequence[int], weights: Sequence[float]) -> Floats:
        values = self._series[name][:, [-1 - rows for rows in lags]]
        return np.asarray(np.einsum("ki,i->k", values, np.array(weights)) / sum(weights))
