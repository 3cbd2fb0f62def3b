"""Significance: how sure a score is. Bootstrap bounds of skill, Diebold–Mariano p-values, bounds of a coverage.

Everything here is numpy and the standard library. Losses come as sums per point in time over all markets, in time
order: markets move together, so one moment is one observation, however many markets it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.scoring import estimate_from_sums
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
LEVEL = 0.95
DRAWS = 2000
SURE_P = 0.05
"""Beyond doubt is less than this, of both sides, as bounds of 95 % are of both sides."""
_EPSILON = 1e-15
_MAX_TERMS = 500


@dataclass(frozen=True, slots=True)
class Bounds:
    """A confidence interval: `low` to `high` at confidence `level` (0.95 is 95 %)."""

    low: float
    high: float
    level: float = LEVEL


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """A negative `statistic`: the model has the lower loss. `p_better` is one-sided (against: it is no better)."""

    statistic: float
    p_value: float
    p_better: float
    lags: int
    count: int


def skill_bounds(
    losses: ArrayLike,
    baseline_losses: ArrayLike,
    block: int,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Bounds | None:
    """Percentile bounds of 1 − Σ loss / Σ baseline loss by the circular block bootstrap (Politis & Romano 1992).

    `losses`, `baseline_losses` (t,): sums per moment, in time order. Blocks of `block` consecutive moments, which wrap
    around at the end, are drawn with replacement until t moments are covered; loss and baseline loss of a moment stay
    together. None where fewer than two blocks fit, or the baseline has no loss.
    """
    ours, theirs = _paired(losses, baseline_losses)
    count = len(ours)
    if count < 2 * block or theirs.sum() <= 0:
        return None
    pieces = math.ceil(count / block)
    starts = np.random.default_rng(seed).integers(0, count, (draws, pieces))
    drawn, drawn_theirs = (_circular_sums(column, block)[starts].sum(axis=1) for column in (ours, theirs))
    skills = 1.0 - drawn / drawn_theirs
    low, high = np.quantile(skills, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Bounds(float(low), float(high), level)


def diebold_mariano(losses: ArrayLike, baseline_losses: ArrayLike, horizon: int) -> DieboldMariano | None:
    """Whether two forecasts are equally good (Diebold & Mariano 1995), from losses per moment (t,) in time order.

    d = loss − baseline loss; statistic = mean(d) / √(V / t), V the long-run variance by Bartlett weights (Newey & West
    1987) over L = max(3h, ⌊1.3 √t⌋) lags (Lazarus, Lewis, Stock & Watson 2018; overlapping outcomes depend on each
    other over h moments, and weights that end there would see two thirds of it), at most t/3. It is multiplied by
    √((t + 1 − 2h + h(h − 1)/t) / t) (Harvey, Leybourne & Newbold 1997) and by 1.96 / (1.96 + 2.9694 b + 0.416 b² −
    0.5324 b³), b = L/t, for what V itself does not know (fixed-b: Kiefer & Vogelsang 2005), and read off Student's t
    with t − 1 degrees of freedom. None where t < 2h + 8 or nothing differs.
    """
    ours, theirs = _paired(losses, baseline_losses)
    difference = ours - theirs
    count = len(difference)
    if count < 2 * horizon + 8:
        return None
    lags = min(count // 3, max(3 * horizon, int(1.3 * math.sqrt(count))))
    variance = long_run_variance(difference, lags)
    if not variance > 0:
        return None
    fraction = lags / count
    correction = math.sqrt((count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count)
    correction *= 1.96 / (1.96 + 2.9694 * fraction + 0.416 * fraction**2 - 0.5324 * fraction**3)
    statistic = correction * float(difference.mean()) / math.sqrt(variance / count)
    upper = student_tail(abs(statistic), count - 1)
    return DieboldMariano(statistic, min(1.0, 2.0 * upper), upper if statistic < 0 else 1.0 - upper, lags, count)


def p_words(p_value: float | None) -> str:
    """`p = 0.031`, `p < 0.001`, `p unknown`"""
    if p_value is None:
        return "p unknown"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def long_run_variance(values: ArrayLike, lags: int) -> float:
    """γ₀ + 2 Σₖ (1 − k/(lags + 1)) γₖ with autocovariances γ over n: never negative (Newey & West 1987)."""
    sample = np.asarray(values, dtype=np.float64)
    centred = sample - sample.mean()
    count = len(centred)
    total = float(centred @ centred) / count
    for lag in range(1, min(lags, count - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(centred[lag:] @ centred[:-lag]) / count
    return total


def wilson(hits: float, count: float, level: float = LEVEL) -> Bounds:
    """Bounds of a share of `hits` in `count` independent trials (Wilson 1927); `count` may be an effective one.

    (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)
    """
    if not 0 <= hits <= count or count <= 0:
        raise InvalidInput(f"{hits:g} hits of {count:g} trials are impossible; give 0 ≤ hits ≤ trials and trials > 0")
    share, z = hits / count, NormalDist().inv_cdf((1.0 + level) / 2.0)
    shrink = 1.0 + z * z / count
    centre = (share + z * z / (2.0 * count)) / shrink
    half = z / shrink * math.sqrt(share * (1.0 - share) / count + z * z / (4.0 * count * count))
    low, high = (0.0 if hits == 0 else centre - half), (1.0 if hits == count else centre + half)
    return Bounds(max(0.0, low), min(1.0, high), level)


def share_bounds(hits: ArrayLike, counts: ArrayLike, level: float = LEVEL) -> Bounds | None:
    """Bounds of a share from hits and counts per block of dependent forecasts: Wilson at the effective count.

    effective n = p(1 − p) / SE², SE clustered by block (Liang & Zeger 1986), at most n (Korn & Graubard 1998). Where
    all or none hit, or one block was seen, each block counts as one trial. None of nothing.
    """
    found = estimate_from_sums(hits, counts)
    if found is None:
        return None
    spread = found.mean * (1.0 - found.mean)
    error = found.standard_error
    effective = min(float(found.count), spread / error**2) if spread > 0 and error else float(found.blocks)
    return wilson(found.mean * effective, effective, level)


def student_tail(statistic: float, freedom: float) -> float:
    """P(T > statistic) of Student's t, statistic ≥ 0: ½ I_x(ν/2, ½), x = ν/(ν + t²) (Abramowitz & Stegun 26.7.1)."""
    if statistic < 1.0:  # from the other side, where x is too near 1 to tell apart
        return 0.5 - 0.5 * incomplete_beta(statistic**2 / (freedom + statistic**2), 0.5, freedom / 2.0)
    return 0.5 * incomplete_beta(freedom / (freedom + statistic * statistic), freedom / 2.0, 0.5)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz & Stegun 26.5.8)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz' evaluation (1976) of the fraction; converges in O(√max(a, b)) terms on its side."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        step = 1.0
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            step = c * d
            value *= step
        if abs(step - 1.0) < _EPSILON:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


def _paired(losses: ArrayLike, baseline_losses: ArrayLike) -> tuple[Floats, Floats]:
    ours, theirs = np.asarray(losses, dtype=np.float64), np.asarray(baseline_losses, dtype=np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape:
        raise InvalidInput(f"losses of shape {ours.shape} and {theirs.shape} do not pair; give two of shape (t,)")
    return ours, theirs


def _circular_sums(values: Floats, block: int) -> Floats:
    """(t,) the sum of `block` values from each place on, wrapping around."""
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: block - 1]]))])
    sums: Floats = total[block:] - total[:-block]
    return sums
