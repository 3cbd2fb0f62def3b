"""Scores of quantile forecasts: one function per number, used by page, JSON and export alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
BLOCK_CANDLES = 24
"""Forecasts this near in time share their outcomes' weather; standard errors treat such a block as one observation."""


def pinball_loss(realised: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike) -> Floats:
    """Mean over the quantiles of max(τ·u, (τ−1)·u), u = realised − forecast (Koenker & Bassett 1978).

    realised (…,), forecast (…, q), quantiles (q,) → (…,), in the unit of `realised`. Proper: lowest for the truth.
    """
    levels = np.asarray(quantiles, dtype=np.float64)
    error = np.asarray(realised, dtype=np.float64)[..., None] - np.asarray(forecast, dtype=np.float64)
    loss: Floats = np.maximum(levels * error, (levels - 1.0) * error).mean(axis=-1)
    return loss


def skill(loss: float, baseline_loss: float) -> float | None:
    """1 − loss / baseline loss: the fraction by which the baseline is beaten; None where the baseline has no loss."""
    return 1.0 - loss / baseline_loss if baseline_loss > 0 else None


def coverage(realised: ArrayLike, low: ArrayLike, high: ArrayLike) -> float | None:
    """The fraction of outcomes inside [low, high]; None of nothing."""
    outcome = np.asarray(realised)
    if not outcome.size:
        return None
    return float(np.mean((outcome >= low) & (outcome <= high)))


def direction(realised: ArrayLike, median: ArrayLike) -> NDArray[np.int8]:
    """1 where the median's sign was right, −1 where wrong, 0 where either is zero and nothing was said or happened."""
    return (np.sign(realised) * np.sign(median)).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its standard error; `standard_error` is None where fewer than two blocks were seen."""

    mean: float
    standard_error: float | None
    count: int
    blocks: int


def directional_accuracy(realised: ArrayLike, median: ArrayLike, blocks: ArrayLike) -> Estimate | None:
    """Right signs of all where both median and outcome are not zero; None where there is no such forecast."""
    signs = direction(realised, median)
    decided = signs != 0
    return estimate((signs[decided] > 0).astype(np.float64), np.asarray(blocks)[decided])


def estimate(values: ArrayLike, blocks: ArrayLike) -> Estimate | None:
    """The mean of `values` with a standard error robust to dependence inside equal `blocks` labels."""
    sample = np.asarray(values, dtype=np.float64)
    if not sample.size:
        return None
    _, labels = np.unique(np.asarray(blocks), return_inverse=True)
    return estimate_from_sums(np.bincount(labels, weights=sample), np.bincount(labels))


def estimate_from_sums(sums: ArrayLike, counts: ArrayLike) -> Estimate | None:
    """The same from each block's sum and count: SE² = G/(G−1) · Σ(sum − count·mean)² / n² (Liang & Zeger 1986)."""
    totals, sizes = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    count = int(sizes.sum())
    if not count:
        return None
    mean = float(totals.sum() / count)
    groups = len(totals)
    if groups < 2:
        return Estimate(mean, None, count, groups)
    spread = float(((totals - sizes * mean) ** 2).sum()) * groups / (groups - 1)
    return Estimate(mean, math.sqrt(spread) / count, count, groups)


def block_labels(open_time_ms: ArrayLike, candle_ms: int, horizon: int) -> NDArray[np.int64]:
    """Which block a forecast belongs to: as long as its horizon, and never shorter than BLOCK_CANDLES."""
    length = candle_ms * max(horizon, BLOCK_CANDLES)
    labels: NDArray[np.int64] = np.asarray(open_time_ms, dtype=np.int64) // length
    return labels
