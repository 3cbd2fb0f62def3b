"""Panel: forecasts of many markets with their outcomes on one grid of time, for what goes moment by moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.conformal import GAMMA, Calibration, bounded, outside, stretched
from models.evaluation import Outcomes
from utils.errors import InvalidInput

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """t moments, n markets; NaN where a market has no forecast or no outcome. Log returns."""

    symbols: tuple[Symbol, ...]
    open_time_ms: NDArray[np.int64]
    """(t,) every candle of the grid, whether any market has it or not."""
    forecast: Floats
    """(t, n, h, q)"""
    realised: Floats
    """(t, n, h)"""

    @classmethod
    def of(cls, outcomes: Sequence[Outcomes], interval: Interval) -> Panel:
        """InvalidInput where there is no forecast, or where the interval has no fixed length."""
        if interval is Interval.MO1:
            raise InvalidInput("months have no grid of equal steps; take an interval up to 1w")
        given = [one for one in outcomes if len(one.open_time_ms)]
        if not given:
            raise InvalidInput("there are no forecasts to lay out")
        first = min(int(one.open_time_ms[0]) for one in given)
        last = max(int(one.open_time_ms[-1]) for one in given)
        times = np.arange(first, last + interval.ms, interval.ms, dtype=np.int64)
        shape = (len(times), len(given), *given[0].log_returns.shape[1:])
        forecast, realised = np.full(shape, np.nan), np.full(shape[:3], np.nan)
        for column, one in enumerate(given):
            rows = (one.open_time_ms - first) // interval.ms
            forecast[rows, column], realised[rows, column] = one.log_returns, one.realised
        return cls(tuple(one.symbol for one in given), times, forecast, realised)


def followed(panel: Panel, start: Calibration, *, gamma: float = GAMMA, each: bool = True) -> tuple[Floats, Floats]:
    """The bands (t, n, h, q) as they would have been given live, and the last factors (n, h, b).

    At each moment bands are stretched by the factors of that moment; an outcome changes them when its candle closes, h
    candles later, and is judged by the band that was given then. `each`: every market follows its own outcomes, from
    the same start; otherwise all share one state.
    """
    count, markets, horizons = panel.realised.shape
    given = np.empty_like(panel.forecast)
    factors = np.broadcast_to(start.factors, (markets, *start.factors.shape)).copy()
    quantiles, alpha = start.quantiles, 1.0 - np.array(start.levels)
    places, ahead = np.arange(horizons), np.array(start.horizons)
    middle = len(quantiles) // 2
    for moment in range(count):
        rows = moment - ahead
        rows, due = rows[rows >= 0], places[rows >= 0]
        if len(due):
            bands, outcomes = given[rows, :, due].transpose(1, 0, 2), panel.realised[rows, :, due].T
            known = np.isfinite(outcomes) & np.isfinite(bands[..., middle])
            steps = np.where(known[..., None], outside(bands, outcomes, quantiles) - alpha, 0.0)
            if not each:
                steps = np.broadcast_to(steps.sum(axis=0) / np.maximum(known.sum(axis=0), 1)[:, None], steps.shape)
            factors[:, due] = bounded(factors[:, due] * np.exp(gamma / ahead[due, None] * steps))
        given[moment] = stretched(panel.forecast[moment], factors, quantiles)
    return given, factors
