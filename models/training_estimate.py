"""Training estimate: how many windows a request has, and how long they take by what earlier trainings took here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.candle_store import SeriesStats
from models.inputs import WARM_UP
from models.kinds import steps
from models.recipe import Recipe, preset
from models.spec import HORIZONS
from models.split import EMBARGO_CANDLES, parse_date
from models.training_request import TrainingRequest
from models.traits import TRAITS

MIN_WINDOWS = 500
"""The trainer refuses fewer."""
START_S = 15.0
"""Imports, reading, export and judging of a small training."""
_FIT_PART, _TRAIN_PART = 0.9, 0.9


@dataclass(frozen=True, slots=True)
class Speed:
    """Windows per second of one earlier training, and which it was (0: the stated default)."""

    recipe: Recipe
    windows_per_s: float
    job: int = 0
    other_s: float = START_S
    """What its process took beside its epochs."""
    windows: int = 0
    """Of an epoch of it; 0: not known."""

    def other_s_of(self, recipe: Recipe, windows: int) -> float:
        """What another one of that size takes beside its epochs: it starts as fast, and reads, prepares and judges as
        many candles more as it has windows more."""
        still_s = min(START_S, self.other_s)
        seen = self.windows * self.recipe.stride
        return still_s + (self.other_s - still_s) * (windows * recipe.stride / seen if seen else 1.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """`windows` per epoch, validation included; `seconds` if no epoch is spared by early stopping."""

    candles: int
    markets: int
    train_windows: int
    windows: int
    seconds: float
    windows_per_s: float
    measured_by: int
    """The number of the training whose speed this rests on; 0: none yet, a stated default."""


def estimate(request: TrainingRequest, stored: Sequence[SeriesStats], speeds: Sequence[Speed]) -> Estimate:
    """From counts alone: holes make it a little less. `speeds` newest first; one of the same kind is preferred."""
    counts = [_candles(one, request) for one in stored if _wanted(one, request)]
    counts = [count for count in counts if count > 0]
    before = WARM_UP + request.recipe.window + max(HORIZONS) + EMBARGO_CANDLES
    gap = max(HORIZONS) + EMBARGO_CANDLES
    fitted = [count if request.until_date else count * _FIT_PART for count in counts]
    train = round(sum(max(0.0, count * _TRAIN_PART - before) for count in fitted))
    validation = round(sum(max(0.0, count * (1 - _TRAIN_PART) - gap) for count in fitted))
    windows = train // request.recipe.stride + validation
    rate, job, other_s = _rate(request.recipe, speeds, windows)
    seconds = other_s + windows * steps(request.recipe) / rate
    return Estimate(round(sum(counts)), len(counts), train, windows, seconds, rate, job)


def _rate(recipe: Recipe, speeds: Sequence[Speed], windows: int) -> tuple[float, int, float]:
    """An earlier training's windows per second, scaled by what the kind costs by, which it was, and its other time."""
    same = next((one for one in speeds if one.recipe.kind is recipe.kind), None)
    if same is None:
        return TRAITS[recipe.kind].speed * _cost(preset("standard", recipe.kind)) / _cost(recipe), 0, START_S
    return same.windows_per_s * _cost(same.recipe) / _cost(recipe), same.job, same.other_s_of(recipe, windows)


def _cost(recipe: Recipe) -> float:
    return float(math.prod(getattr(recipe, name) for name in TRAITS[recipe.kind].cost))


def _wanted(series: SeriesStats, request: TrainingRequest) -> bool:
    return series.interval is request.interval and series.symbol in request.symbols


def _candles(series: SeriesStats, request: TrainingRequest) -> float:
    """Those within the dates, if they are spread evenly."""
    if not series.candles or series.first_open_ms is None or series.last_open_ms is None:
        return 0.0
    first, last = series.first_open_ms, series.last_open_ms + series.interval.ms
    start = max(first, parse_date(request.from_date)) if request.from_date else first
    end = min(last, parse_date(request.until_date, end=True)) if request.until_date else last
    return float(series.candles * max(0, end - start) / (last - first))
