"""What the ledger says: rows, scores of decided horizons, and the skill summed from them. No SQL here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.scoring import direction, pinball_loss, skill

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SUMS = ("scored", "unscorable", "loss", "baseline_loss", "inside_50", "inside_90", "directional", "hits")
"""What is summed per model, market, horizon and day."""
RATIOS = (
    ("loss", "baseline_loss"),
    ("hits", "directional"),
    ("inside_50", "scored"),
    ("inside_90", "scored"),
)
"""Sums of which one is divided by the other; their squares and products per block give the standard error."""

_FEWEST_BLOCKS = 3


class State(IntEnum):
    """Of one forecast at one horizon."""

    OPEN = 0
    SCORED = 1
    HOLE = 2
    """The candle of its outcome does not exist: unscorable."""
    LATE = 3
    """It was made after its outcome was out: unscorable."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One forecast at one horizon, with its outcome once decided. All returns are log returns from the last close."""

    model_id: str
    model_digest: str
    symbol: Symbol
    interval: Interval
    last_open_time_ms: int
    made_at_ms: int
    horizon: int
    target_open_time_ms: int
    last_close: float
    sigma: float
    quantiles: tuple[float, ...]
    log_returns: tuple[float, ...]
    baseline_log_returns: tuple[float, ...]
    state: State
    realised: float | None
    loss: float | None
    baseline_loss: float | None


@dataclass(frozen=True, slots=True)
class Skill:
    """How a model did over its scored forecasts; numbers that nothing supports are None. Fractions, log returns.

    Standard errors take all forecasts of a day (or of 24 candles, if that is longer) as one observation.
    """

    count: int
    unscorable: int
    loss: float | None
    baseline_loss: float | None
    skill_fraction: float | None
    skill_standard_error: float | None
    coverage_50: float | None
    coverage_90: float | None
    coverage_50_standard_error: float | None
    coverage_90_standard_error: float | None
    directional_accuracy: float | None
    directional_standard_error: float | None
    directional_count: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Decided:
    """Scores of some forecasts (n) of one model and market at its horizons (h); `state` is OPEN where undecided."""

    state: NDArray[np.int8]
    realised: Floats
    loss: Floats
    baseline_loss: Floats
    inside_50: NDArray[np.bool_]
    inside_90: NDArray[np.bool_]
    direction: NDArray[np.int8]
    rank: NDArray[np.int8]
    """How many quantiles lie below the outcome: 0 … q."""


@dataclass(frozen=True, slots=True)
class LedgerModel:
    """A model as the ledger knows it, in one venue. `baseline` (h, q) is its naive forecast in sigma."""

    key: int
    id: str
    digest: str
    interval: Interval
    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    baseline: Floats
    record: str = ""
    """Under which its scores are added up: its digest, or of an ensemble what all its versions have in common."""
    keys: tuple[int, ...] = ()
    """Of all versions of that record."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.horizons), len(self.quantiles)


@dataclass(frozen=True, slots=True)
class Latest:
    """A model's newest forecast of a market; `log_returns` (h, q) from the last close."""

    symbol: Symbol
    last_open_time_ms: int
    made_at_ms: int
    last_close: float
    sigma: float
    log_returns: Floats


def decide(
    *,
    candles: Candles,
    starts_ms: Ints,
    made_at_ms: Ints,
    closes: Floats,
    log_returns: Floats,
    naive: Floats,
    horizons: tuple[int, ...],
    quantiles: tuple[float, ...],
    is_open: NDArray[np.bool_],
    patience: int,
) -> Decided:
    """Scores n forecasts: `starts_ms`, `made_at_ms`, `closes` (n,), `log_returns`, `naive` (n, h, q), `is_open` (n, h).

    A target that is absent among the candles is a hole once `patience` later candles are there; one before the first
    candle cannot be decided here.
    """
    targets = target_times(candles.interval, starts_ms, horizons)
    times = candles.open_time_ms
    places = np.searchsorted(times, targets)
    inside = np.minimum(places, len(times) - 1)
    found = times[inside] == targets
    hole = ~found & (targets > times[0]) & (len(times) - places >= patience)
    ends = target_times(candles.interval, targets, (1,))[..., 0]
    late = made_at_ms[:, None] >= ends
    state = np.select([~is_open, found & late, found, hole], [State.OPEN, State.LATE, State.SCORED, State.HOLE], 0)
    realised = np.where(state == State.SCORED, np.log(candles.close[inside] / closes[:, None]), np.nan)
    return judge(state.astype(np.int8), realised, log_returns, naive, quantiles)


def judge(
    state: NDArray[np.int8], realised: Floats, log_returns: Floats, naive: Floats, quantiles: tuple[float, ...]
) -> Decided:
    """Scores of outcomes (n, h), NaN where there is none."""
    middle = quantiles.index(0.5)
    return Decided(
        state=state,
        realised=realised,
        loss=pinball_loss(realised, log_returns, quantiles),
        baseline_loss=pinball_loss(realised, naive, quantiles),
        inside_50=_inside(realised, log_returns, quantiles, 0.25),
        inside_90=_inside(realised, log_returns, quantiles, 0.05),
        direction=direction(np.nan_to_num(realised), log_returns[..., middle]),
        rank=(realised[..., None] > log_returns).sum(axis=-1).astype(np.int8),
    )


def target_times(interval: Interval, starts_ms: Ints, horizons: tuple[int, ...]) -> Ints:
    """(…,) → (…, h) open times of the candles that end each horizon."""
    if interval is not Interval.MO1:
        return np.asarray(starts_ms)[..., None] + np.array(horizons, dtype=np.int64) * interval.ms
    flat = [[interval.shift_ms(int(start), horizon) for horizon in horizons] for start in np.ravel(starts_ms)]
    return np.array(flat, dtype=np.int64).reshape(*np.shape(starts_ms), len(horizons))


def skill_of(sums: Mapping[str, float], products: Sequence[tuple[float, float, float]], blocks: int) -> Skill:
    """From sums over everything, and for each of RATIOS the sums over the blocks of a², a·b and b²."""
    count = int(sums["scored"])
    errors = [_ratio_error(sums[a], sums[b], *three, blocks) for (a, b), three in zip(RATIOS, products, strict=True)]
    return Skill(
        count=count,
        unscorable=int(sums["unscorable"]),
        loss=sums["loss"] / count if count else None,
        baseline_loss=sums["baseline_loss"] / count if count else None,
        skill_fraction=skill(sums["loss"], sums["baseline_loss"]),
        skill_standard_error=errors[0],
        coverage_50=sums["inside_50"] / count if count else None,
        coverage_90=sums["inside_90"] / count if count else None,
        coverage_50_standard_error=errors[2],
        coverage_90_standard_error=errors[3],
        directional_accuracy=sums["hits"] / sums["directional"] if sums["directional"] else None,
        directional_standard_error=errors[1],
        directional_count=int(sums["directional"]),
        blocks=blocks,
    )


def interval_95(value: float | None, standard_error: float | None, blocks: int) -> tuple[float, float] | None:
    """The 95 % interval around a mean over that many independent blocks; None below three.

    Student's quantile by its expansion in 1/ν about the normal one (Abramowitz & Stegun 1964, 26.7.5).
    """
    if value is None or standard_error is None or blocks < _FEWEST_BLOCKS:
        return None
    z, freedom = 1.959964, blocks - 1
    g1, g2 = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    t = z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3
    return value - t * standard_error, value + t * standard_error


def _ratio_error(a: float, b: float, aa: float, ab: float, bb: float, blocks: int) -> float | None:
    """Standard error of Σa / Σb, one observation per block (ratio estimator, Cochran 1977, §6.3)."""
    if blocks < 2 or b <= 0:
        return None
    ratio = a / b
    squares = max(0.0, aa - 2 * ratio * ab + ratio**2 * bb)
    return math.sqrt(squares * blocks / (blocks - 1)) / b


def skill_error(losses: Floats, baseline_losses: Floats) -> float | None:
    """Standard error of 1 − Σ loss / Σ baseline loss from its sums per block (ratio estimator, Cochran 1977, §6.3)."""
    total = float(baseline_losses.sum())
    groups = int(np.count_nonzero(baseline_losses))
    if groups < 2 or total <= 0:
        return None
    residual = losses - losses.sum() / total * baseline_losses
    return float(np.sqrt((residual**2).sum() * groups / (groups - 1)) / total)


def _inside(realised: Floats, forecast: Floats, quantiles: tuple[float, ...], low: float) -> NDArray[np.bool_]:
    """Inside the central band from `low` to 1 − low; False where the model has no such band."""
    levels = np.array(quantiles)
    lower, upper = np.flatnonzero(np.isclose(levels, low)), np.flatnonzero(np.isclose(levels, 1 - low))
    if not len(lower) or not len(upper):
        return np.zeros(realised.shape, dtype=bool)
    inside: NDArray[np.bool_] = (realised >= forecast[..., lower[0]]) & (realised <= forecast[..., upper[0]])
    return inside


NOTHING_SCORED = skill_of(dict.fromkeys(SUMS, 0.0), [(0.0, 0.0, 0.0)] * len(RATIOS), 0)
