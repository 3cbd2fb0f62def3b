"""Histogram: durations counted in logarithmic buckets, so that percentiles cost no memory per observation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LOWEST_S = 1e-7
_GROWTH = 1.08
BUCKETS = 300
"""From 0.1 µs to about 1000 s; shorter and longer ones fall into the first and the last bucket."""
_HIGHEST_S = _LOWEST_S * _GROWTH**BUCKETS
_SCALE = 1.0 / math.log(_GROWTH)
_OFFSET = -math.log(_LOWEST_S) * _SCALE

EDGES_S = _LOWEST_S * _GROWTH ** np.arange(1, BUCKETS + 1)
"""Upper ends of the buckets, seconds (300,)."""

RELATIVE_ERROR = math.sqrt(_GROWTH) - 1.0
"""A percentile is off by at most this fraction (3.9 %) of the true one, inside the range above."""


def middle_s(bucket: int) -> float:
    """The geometric middle of that bucket (0 … 299), seconds."""
    middle: float = _LOWEST_S * _GROWTH ** (bucket + 0.5)
    return middle


def percentile_s(buckets: NDArray[np.int64], fraction: float) -> float | None:
    """Seconds below which that fraction (0 … 1) of the durations lies, by nearest rank; None where there are none.

    The geometric middle of the bucket. `buckets` (300,) may be the difference of two copies: what came between them.
    """
    count = int(buckets.sum())
    if not count:
        return None
    rank = max(1, math.ceil(fraction * count))
    return middle_s(int(np.searchsorted(np.cumsum(buckets), rank)))


class Histogram:
    """Durations in seconds. Not locked: one writer at a time."""

    __slots__ = ("_buckets", "count", "max_s", "min_s", "total_s")

    def __init__(self) -> None:
        self._buckets = np.zeros(BUCKETS, dtype=np.int64)
        self.count = 0
        self.total_s = 0.0
        self.min_s = math.inf
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration; shorter than 0.1 µs counts as that, what is not finite not at all."""
        self.add_all((seconds,))

    def add_all(self, durations: Sequence[float]) -> None:
        """Counts each; two hundred at once cost a tenth of two hundred calls."""
        values = np.asarray(durations, dtype=np.float64)
        values = np.maximum(values[np.isfinite(values)], _LOWEST_S)
        if not values.size:
            return
        places = (np.log(np.minimum(values, _HIGHEST_S)) * _SCALE + _OFFSET).astype(np.int64)
        self._buckets += np.bincount(np.clip(places, 0, BUCKETS - 1), minlength=BUCKETS)
        self.count += values.size
        self.total_s += float(values.sum())
        self.max_s = max(self.max_s, float(values.max()))
        self.min_s = min(self.min_s, float(values.min()))

    @property
    def buckets(self) -> NDArray[np.int64]:
        """A copy of the counts (300,)."""
        return self._buckets.copy()

    @property
    def mean_s(self) -> float | None:
        """None before the first observation."""
        return self.total_s / self.count if self.count else None

    def percentile(self, fraction: float) -> float | None:
        """`percentile_s` of what was counted, kept within what was seen: wrong by RELATIVE_ERROR at most."""
        middle = percentile_s(self._buckets, fraction)
        return None if middle is None else min(max(middle, self.min_s), self.max_s)
