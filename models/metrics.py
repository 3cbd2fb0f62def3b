"""Metrics of quantile forecasts beyond those of models.scoring: CRPS, calibration, P(up) and its Brier score, rank IC.

Numpy alone. Forecasts are quantiles (…, q) at levels τ (q,), outcomes (…,), both in the same unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.scoring import BLOCK_CANDLES, Estimate, estimate

Floats = NDArray[np.float64]
_PAIRS_AT_ONCE = 4_000_000
MIN_RANKED = 5
"""Fewer pairs than this have no rank correlation worth a number."""


def quadrature(quantiles: ArrayLike) -> Floats:
    """The part of (0, 1) that each level stands for: cells between midpoints of neighbours; they sum to 1."""
    levels = np.asarray(quantiles, dtype=np.float64)
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2.0, [1.0]])
    return np.diff(edges)


def crps(realised: ArrayLike, forecast: ArrayLike, quantiles: ArrayLike) -> Floats:
    """The continuous ranked probability score, (…,), approximated from few quantiles.

    CRPS = 2 ∫₀¹ pinball_τ dτ (Laio & Tamea 2007; Gneiting & Ranjan 2011), the integral taken as Σ wᵢ pinball at the
    given levels with the weights of `quadrature`: a sum of proper scores with positive weights, so proper itself. With
    five levels the tails beyond them count as their outermost quantile.
    """
    levels = np.asarray(quantiles, dtype=np.float64)
    error = np.asarray(realised, dtype=np.float64)[..., None] - np.asarray(forecast, dtype=np.float64)
    pinball = np.maximum(levels * error, (levels - 1.0) * error)
    score: Floats = 2.0 * (pinball * quadrature(levels)).sum(axis=-1)
    return score


@dataclass(frozen=True, slots=True)
class PitBin:
    """Outcomes whose probability integral transform lies in [low, high): their share beside what it should be."""

    low: float
    high: float
    share: float
    expected: float


def pit_histogram(realised: ArrayLike, forecast: ArrayLike, quantiles: Sequence[float]) -> list[PitBin]:
    """How often outcomes fell between neighbouring quantiles (Dawid 1984; Diebold, Gunther & Tay 1998).

    A calibrated forecast fills each bin with its width. The bins are the quantiles' own, so nothing is interpolated.
    """
    outcome, given = np.asarray(realised, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    edges = [0.0, *quantiles, 1.0]
    counts = np.bincount((outcome[..., None] >= given).sum(axis=-1).ravel(), minlength=len(edges) - 1)
    total = max(1, int(counts.sum()))
    return [
        PitBin(low, high, float(count) / total, high - low)
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    ]


def probability_up(forecast: ArrayLike, quantiles: Sequence[float]) -> Floats:
    """P(outcome > 0), (…,), from the quantiles.

    Between two quantiles the outcome's normal score Φ⁻¹(τ) is taken to be linear in the outcome, and beyond the
    outermost ones to go on with their slope: exact for a normal distribution, monotone for any.
    """
    given = np.asarray(forecast, dtype=np.float64)
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(level) for level in quantiles])
    place = np.clip((given < 0.0).sum(axis=-1), 1, len(quantiles) - 1)
    low, high = (np.take_along_axis(given, (place + step)[..., None], axis=-1)[..., 0] for step in (-1, 0))
    gap = np.maximum(high - low, 1e-300)
    at_zero = scores[place - 1] + np.clip(-low / gap, -1e6, 1e6) * (scores[place] - scores[place - 1])
    return 1.0 - normal_cdf(at_zero)


def normal_cdf(values: ArrayLike) -> Floats:
    """Φ(x), within 7.5e-8 (Abramowitz & Stegun 26.2.17)."""
    x = np.asarray(values, dtype=np.float64)
    t = 1.0 / (1.0 + 0.2316419 * np.abs(x))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-0.5 * np.minimum(np.square(x), 1400.0)) / math.sqrt(2.0 * math.pi) * series
    return np.where(x >= 0, 1.0 - tail, tail)


def brier(realised: ArrayLike, probability: ArrayLike) -> float | None:
    """Mean of (P(up) − [outcome > 0])² (Brier 1950) where the outcome is not zero; ¼ is a coin. None of nothing."""
    outcome = np.asarray(realised, dtype=np.float64)
    moved = outcome != 0
    if not moved.any():
        return None
    return float(np.square(np.asarray(probability)[moved] - (outcome[moved] > 0)).mean())


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float | None:
    """Spearman's ρ (1904): the correlation of ranks, ties share their mean. None for fewer than 5, or constant."""
    first, second = ranks(one), ranks(other)
    if len(first) < MIN_RANKED:
        return None
    first, second = first - first.mean(), second - second.mean()
    spread = float(first @ first) * float(second @ second)
    return float(first @ second) / math.sqrt(spread) if spread > 0 else None


def ranks(values: ArrayLike) -> Floats:
    """(n,) from 1, equal values sharing the mean of their places."""
    sample = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(sample, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (last - (counts - 1) / 2.0)[inverse]
    return shared


def rank_ic_by_time(median: ArrayLike, realised: ArrayLike, moments: ArrayLike, horizon: int) -> Estimate | None:
    """The mean over moments of the rank correlation across markets between forecast and outcome: the information
    coefficient (Grinold & Kahn 1999), ranks by Spearman. Its standard error takes moments within one horizon as one.

    `median`, `realised`, `moments` (n,): forecasts of all markets; moments with fewer than 5 markets do not count.
    """
    times = np.asarray(moments)
    order = np.argsort(times, kind="stable")
    _, starts, counts = np.unique(times[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(starts, counts)
    row = np.repeat(np.arange(len(counts)), counts)
    tables = []
    for column in (median, realised):
        table = np.full((len(counts), int(counts.max(initial=0))), np.nan)
        table[row, place] = np.asarray(column, dtype=np.float64)[order]
        tables.append(_ranked_rows(table[counts >= MIN_RANKED]))
    found = _row_correlations(*tables)
    blocks = np.flatnonzero(counts >= MIN_RANKED) // max(BLOCK_CANDLES, horizon)
    known = np.isfinite(found)
    return estimate(found[known], blocks[known])


def _ranked_rows(table: Floats) -> Floats:
    """(t, m) → ranks within each row less their mean, 0 where there is no value; ties share their mean."""
    ranked = np.zeros_like(table)
    step = max(1, _PAIRS_AT_ONCE // max(1, table.shape[1] ** 2))
    for start in range(0, len(table), step):
        part = table[start : start + step]
        above = (part[:, :, None] > part[:, None, :]).sum(axis=2)
        equal = (part[:, :, None] == part[:, None, :]).sum(axis=2)
        ranked[start : start + step] = above + (equal + 1) / 2.0
    present = np.isfinite(table)
    means = np.where(present, ranked, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    centred: Floats = np.where(present, ranked - means[:, None], 0.0)
    return centred


def _row_correlations(one: Floats, other: Floats) -> Floats:
    """(t,) of centred rows; NaN where one of them is constant."""
    spread = np.square(one).sum(axis=1) * np.square(other).sum(axis=1)
    together = (one * other).sum(axis=1)
    found: Floats = np.divide(together, np.sqrt(spread), out=np.full(len(spread), np.nan), where=spread > 0)
    return found
