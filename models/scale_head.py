"""Scale head: a few numbers per knot of the horizon bend the naive forecast, in TensorFlow; zeros are the naive one.

Five numbers per knot: a shift of the median by so many sigma·√h, how much wider all gaps between quantiles are, how
much of the inner band lies above the median, and how long each tail is. Between knots they follow log horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Floats = NDArray[np.float32]
PER_KNOT = 5
SPREAD = 1.5
"""No gap between quantiles is made wider or narrower than by e^±1.5."""
_MOST_KNOTS = 6


def knots_of(horizons: Sequence[int]) -> tuple[int, ...]:
    """At most six of the horizons, spread evenly by their logarithm, the first and the last among them."""
    if len(horizons) <= _MOST_KNOTS:
        return tuple(horizons)
    wanted = np.geomspace(horizons[0], horizons[-1], _MOST_KNOTS)
    logs = np.log(np.array(horizons, dtype=np.float64))
    return tuple(sorted({horizons[int(np.argmin(np.abs(logs - np.log(one))))] for one in wanted}))


def interpolation(knots: Sequence[int], horizons: Sequence[int]) -> Floats:
    """(knots, horizons): how much each knot counts at each horizon."""
    places = np.log(np.array(horizons, dtype=np.float64))
    at = np.log(np.array(knots, dtype=np.float64))
    return np.stack([np.interp(places, at, row) for row in np.eye(len(knots))]).astype(np.float32)


def signs(levels: int, median: int) -> tuple[Floats, Floats]:
    """(numbers, gaps), (gaps, quantiles): which of common, inner, lower tail and upper tail bend each gap, and which
    gaps lie between the median and each quantile, signed by their side."""
    bends = np.zeros((PER_KNOT - 1, levels - 1), dtype=np.float32)
    placed = np.zeros((levels - 1, levels), dtype=np.float32)
    bends[0] = 1.0
    for gap in range(levels - 1):
        below = gap < median
        inner = gap in (median - 1, median)
        bends[1 if inner else 2 if below else 3, gap] = -1.0 if inner and below else 1.0
    for column in range(levels):
        low, high = sorted((median, column))
        placed[low:high, column] = 1.0 if column > median else -1.0
    return bends, placed


def bent(raw: Any, naive: Floats, horizons: Sequence[int], weights: Floats, median: int) -> Any:
    """(b, knots · 5) → (b, h, q) in units of sigma. `naive` (h, q), `weights` (knots, h) of `interpolation`."""
    bends, placed = signs(naive.shape[1], median)
    numbers = tf.reshape(raw, (-1, weights.shape[0], PER_KNOT))
    at = tf.einsum("bkp,kh->bhp", numbers, weights)
    root = np.sqrt(np.array(horizons, dtype=np.float32))[:, None]
    centre = naive[:, median : median + 1] + root * at[:, :, :1]
    gaps = np.diff(naive, axis=1) * tf.exp(SPREAD * tf.tanh(tf.matmul(at[:, :, 1:], bends) / SPREAD))
    return centre + tf.matmul(gaps, placed)
