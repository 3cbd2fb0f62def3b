"""Filters: moving sums, extremes and exponential averages, whole columns at a time and never ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK_HALF_LIVES = 512
_FORGOTTEN_HALF_LIVES = 56
"""After so many a value weighs less than a double's last bit."""


def ewma(values: Floats, half_life: float) -> Floats:
    """Exponentially weighted mean of `values` (n,): y[t] = a y[t-1] + (1 - a) x[t] with a = 0.5 ** (1 / half_life).

    Seeded with the mean of the first k = ceil(half_life) values at index k - 1; NaN before. The values are finite.
    """
    result = np.full(len(values), np.nan)
    seeded = int(np.ceil(half_life))
    if len(values) < seeded:
        return result
    keep = 0.5 ** (1.0 / half_life)
    result[seeded - 1] = values[:seeded].mean()
    result[seeded:] = _recursion(values[seeded:], keep, result[seeded - 1])
    return result


def ewma_tail(values: Floats, half_life: float, rows: int) -> Floats:
    """The last `rows` of `ewma` of each column, (…, n) → (…, rows); at least ceil(half_life) values must come before
    them. What is further back is one weighted sum, not a matrix product: threads of a BLAS wait for each other for
    seconds where processors are busy."""
    weights = _weights_before(values.shape[-1] - rows, half_life)
    earlier = values[..., values.shape[-1] - rows - len(weights) : values.shape[-1] - rows]
    return _recursion(values[..., -rows:], 0.5 ** (1.0 / half_life), np.einsum("...i,i->...", earlier, weights))


def rolling_sum(values: Floats, window: int) -> Floats:
    """Sum of the last `window` values, NaN before there are as many; each sum sees only its own window. Of several
    columns, (k, n), at once where given so: a third of the cost for three."""
    return _rolling(values, window, np.add)


def rolling_max(values: Floats, window: int) -> Floats:
    """Largest of the last `window` values, NaN before there are as many."""
    return _rolling(values, window, np.maximum)


def rolling_min(values: Floats, window: int) -> Floats:
    """Smallest of the last `window` values, NaN before there are as many."""
    return _rolling(values, window, np.minimum)


def lagged(values: Floats, rows: int) -> Floats:
    """The values `rows` earlier, NaN where there are none; (…, n)."""
    result = np.full(values.shape, np.nan)
    result[..., rows:] = values[..., : max(0, values.shape[-1] - rows)]
    return result


@lru_cache(maxsize=64)
def _weights_before(count: int, half_life: float) -> Floats:
    """(m,): what each of the last m of `count` values weighs in the average after them."""
    seeded, keep = int(np.ceil(half_life)), 0.5 ** (1.0 / half_life)
    if count < seeded:
        raise ValueError(f"{count} values are too few before the rows wanted; the average begins with {seeded}")
    reach = min(count, int(np.ceil(_FORGOTTEN_HALF_LIVES * half_life)))
    at = np.arange(count - reach, count)
    weights: Floats = np.where(
        at < seeded, keep ** (count - float(seeded)) / seeded, (1.0 - keep) * keep ** (count - 1.0 - at)
    )
    weights.flags.writeable = False
    return weights


def decayed_mean(values: Floats, half_life: float, window: int) -> Floats:
    """Mean of the last `window` values, (…, n) along the last axis, each weighing half as much as one `half_life`
    rows later; NaN before there are as many. Unlike `ewma`, nothing outside the window is touched: the same bits,
    whatever lies before it."""
    keep = 0.5 ** (1.0 / half_life)
    result = np.full(values.shape, np.nan)
    if values.shape[-1] >= window:
        total = _joined(values, window, lambda older, newer, newer_rows: older * keep**newer_rows + newer)
        result[..., window - 1 :] = total / decay_weights(half_life, window).sum()
    return result


@lru_cache(maxsize=64)
def decay_weights(half_life: float, window: int) -> Floats:
    """(window,) weights of `decayed_mean` before they are divided by their sum, oldest first, the newest 1."""
    weights = np.asarray(0.5 ** (np.arange(window - 1, -1, -1) / half_life))
    weights.flags.writeable = False
    return weights


def _recursion(values: Floats, keep: float, before: Floats) -> Floats:
    """y[t] = keep y[t-1] + (1 - keep) x[t] from y[-1] = `before`, (…, n) and (…,), block by block: inside one, a
    cumulative sum of values scaled by keep ** -i, which stays below 2 ** 512, half of what a double's exponent can
    hold."""
    count = values.shape[-1]
    block = max(1, round(_BLOCK_HALF_LIVES * np.log(0.5) / np.log(keep)))
    powers = keep ** np.arange(1, min(block, count) + 1)
    result: Floats = np.empty_like(values)
    for start in range(0, count, block):
        part = values[..., start : start + block]
        decay = powers[: part.shape[-1]]
        result[..., start : start + block] = decay * (
            np.asarray(before)[..., None] + (1.0 - keep) * np.cumsum(part / decay, axis=-1)
        )
        before = result[..., start + part.shape[-1] - 1]
    return result


def window_sums(values: Floats, window: int) -> Floats:
    """As `rolling_sum`, but only the sums: (…, n - window + 1), of at least `window` values."""
    return _joined(values, window, lambda older, newer, _: older + newer)


def _rolling(values: Floats, window: int, join: Callable[[Floats, Floats], Floats]) -> Floats:
    result = np.full(values.shape, np.nan)
    if values.shape[-1] >= window:
        result[..., window - 1 :] = _joined(values, window, lambda older, newer, _: join(older, newer))
    return result


def _joined(values: Floats, window: int, join: Callable[[Floats, Floats, int], Floats]) -> Floats:
    """Join each window from spans of doubling length: log2(window) passes, and no value outside it is touched.

    `join` takes an older piece, the newer one beside it, and how many rows the newer one covers.
    """
    ends = values.shape[-1] - window + 1
    span, length, done = values, 1, 0
    total: Floats | None = None
    while True:
        if window & length:
            # Those joined so far are the last `done` of each window; this piece holds the `length` before them.
            start = window - done - length
            piece = span[..., start : start + ends]
            total = piece if total is None else join(piece, total, done)
            done += length
        if total is not None and done == window:
            return total
        span = join(span[..., :-length], span[..., length:], length)
        length *= 2
