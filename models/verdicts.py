"""Verdicts: how good a set of forecasts is, against several naive ones, with every number's uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics import (
    PitBin,
    brier,
    crps,
    pit_histogram,
    probability_up,
    rank_correlation,
    rank_ic_by_time,
)
from models.samples import Ints
from models.scoring import (
    BLOCK_CANDLES,
    Estimate,
    block_labels,
    directional_accuracy,
    pinball_loss,
    skill,
)
from models.significance import SURE_P, Bounds, diebold_mariano, p_words, share_bounds, skill_bounds

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Forecasts at one horizon with known outcomes, log returns; any order, any number of markets and folds."""

    horizon: int
    candle_ms: int
    quantiles: tuple[float, ...]
    open_time_ms: Ints
    """(n,)"""
    market: NDArray[np.int64]
    """(n,) which market, by number."""
    sigma: Floats
    """(n,)"""
    forecast: Floats
    """(n, q)"""
    naive: Mapping[str, Floats]
    """By name, the first the one to beat: (n, q) each."""
    realised: Floats
    """(n,)"""

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Those rows alone."""
        return Rows(
            self.horizon,
            self.candle_ms,
            self.quantiles,
            self.open_time_ms[mask],
            self.market[mask],
            self.sigma[mask],
            self.forecast[mask],
            {name: one[mask] for name, one in self.naive.items()},
            self.realised[mask],
        )

    def __len__(self) -> int:
        return len(self.realised)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Against one naive forecast. `p_better`: one-sided, that the model is no better; None where data are too few."""

    baseline: str
    loss: float
    baseline_loss: float
    skill_fraction: float | None
    skill_bounds: Bounds | None
    p_value: float | None
    p_better: float | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of a central band: nominal and realised share inside, with bounds that know of dependence."""

    nominal: float
    realised: float
    bounds: Bounds | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything about one horizon of one set of forecasts. Losses and CRPS in log returns."""

    horizon: int
    count: int
    blocks: int
    comparisons: tuple[Comparison, ...]
    scaled_skill_fraction: float | None
    crps: float
    crps_skill_fraction: float | None
    coverage: tuple[Coverage, ...]
    pit: tuple[PitBin, ...]
    directional_accuracy: Estimate | None
    brier: float | None
    baseline_brier: float | None
    rank_ic_by_time: Estimate | None
    rank_ic_by_market: Mapping[int, float | None]

    @property
    def words(self) -> str:
        """One sentence against the first naive forecast."""
        first = self.comparisons[0]
        if first.skill_fraction is None or first.skill_bounds is None or first.p_value is None:
            return f"too few to say: {self.count} forecasts in {self.blocks} blocks"
        low, high = 100 * first.skill_bounds.low, 100 * first.skill_bounds.high
        told = f"{100 * first.skill_fraction:.2f} % (95 % interval {low:.2f} … {high:.2f} %, {p_words(first.p_value)})"
        better = "better than" if low > 0 and first.p_value < SURE_P else "not better than"
        return f"over {self.count} forecasts {self.horizon} ahead, {better} {first.baseline}: skill {told}"


def verdict(rows: Rows, *, seed: int = 0) -> Verdict:
    """Judges at least one row."""
    blocks = block_labels(rows.open_time_ms, rows.candle_ms, rows.horizon)
    middle = rows.quantiles.index(0.5)
    loss = pinball_loss(rows.realised, rows.forecast, rows.quantiles)
    losses = {name: pinball_loss(rows.realised, one, rows.quantiles) for name, one in rows.naive.items()}
    first = next(iter(rows.naive))
    unit = rows.sigma * math.sqrt(rows.horizon)
    score, naive_score = (crps(rows.realised, one, rows.quantiles) for one in (rows.forecast, rows.naive[first]))
    return Verdict(
        horizon=rows.horizon,
        count=len(rows),
        blocks=len(np.unique(blocks)),
        comparisons=tuple(_compared(rows, name, loss, other, seed) for name, other in losses.items()),
        scaled_skill_fraction=skill(float((loss / unit).sum()), float((losses[first] / unit).sum())),
        crps=float(score.mean()),
        crps_skill_fraction=skill(float(score.sum()), float(naive_score.sum())),
        coverage=covered(rows),
        pit=tuple(pit_histogram(rows.realised, rows.forecast, rows.quantiles)),
        directional_accuracy=directional_accuracy(rows.realised, rows.forecast[:, middle], blocks),
        brier=brier(rows.realised, probability_up(rows.forecast, rows.quantiles)),
        baseline_brier=brier(rows.realised, probability_up(rows.naive[first], rows.quantiles)),
        rank_ic_by_time=rank_ic_by_time(rows.forecast[:, middle], rows.realised, rows.open_time_ms, rows.horizon),
        rank_ic_by_market=_by_market(rows, middle),
    )


def compared(rows: Rows, baseline: str | None = None, *, seed: int = 0) -> Comparison:
    """Against one naive forecast alone (the first, if none is named): what a table of many groups needs."""
    name = baseline or next(iter(rows.naive))
    loss, other = (pinball_loss(rows.realised, one, rows.quantiles) for one in (rows.forecast, rows.naive[name]))
    return _compared(rows, name, loss, other, seed)


def covered(rows: Rows) -> tuple[Coverage, ...]:
    """Of each central band, the inner one first."""
    blocks = block_labels(rows.open_time_ms, rows.candle_ms, rows.horizon)
    return tuple(_covered(rows, blocks, band) for band in range(1, rows.quantiles.index(0.5) + 1))


def summed(open_time_ms: Ints, values: Sequence[Floats]) -> list[Floats]:
    """Each (n,) summed per moment, in time order: what bounds and p-values are made from."""
    moments, labels = np.unique(open_time_ms, return_inverse=True)
    return [np.bincount(labels, weights=one, minlength=len(moments)).astype(np.float64) for one in values]


def _compared(rows: Rows, name: str, loss: Floats, other: Floats, seed: int) -> Comparison:
    ours, theirs = summed(rows.open_time_ms, (loss, other))
    found = diebold_mariano(ours, theirs, rows.horizon)
    return Comparison(
        baseline=name,
        loss=float(loss.mean()),
        baseline_loss=float(other.mean()),
        skill_fraction=skill(float(loss.sum()), float(other.sum())),
        skill_bounds=skill_bounds(ours, theirs, max(BLOCK_CANDLES, rows.horizon), draws=1000, seed=seed),
        p_value=found.p_value if found else None,
        p_better=found.p_better if found else None,
    )


def _covered(rows: Rows, blocks: Ints, band: int) -> Coverage:
    middle = rows.quantiles.index(0.5)
    low, high = rows.forecast[:, middle - band], rows.forecast[:, middle + band]
    inside = ((rows.realised >= low) & (rows.realised <= high)).astype(np.float64)
    _, labels = np.unique(blocks, return_inverse=True)
    nominal = rows.quantiles[middle + band] - rows.quantiles[middle - band]
    bounds = share_bounds(np.bincount(labels, weights=inside), np.bincount(labels))
    return Coverage(round(nominal, 9), float(inside.mean()), bounds)


def _by_market(rows: Rows, middle: int) -> dict[int, float | None]:
    """Over time, in each market, between forecast and outcome in units of sigma."""
    scaled = (rows.forecast[:, middle] / rows.sigma, rows.realised / rows.sigma)
    return {
        int(market): rank_correlation(*(one[rows.market == market] for one in scaled))
        for market in np.unique(rows.market)
    }
