"""Following: the factors of one model's bands in one market, moved on by each moment's outcomes, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.conformal import GAMMA, Calibration, band_levels, bounded, outside
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Following:
    """Factors (h, b) as `models.conformal` has them. `moment_ms`: the open time of the newest candle that moved them.

    Both those from before that candle and those from after it are kept: a forecast from candle t uses what the outcomes
    until the candle before t say, whether it is made before or after the outcomes at t are in. So it is the same at
    every try, and no forecast is stretched by an outcome of its own moment or later.
    """

    moment_ms: int
    before: Floats
    after: Floats
    outcomes: int

    @classmethod
    def begun(cls, factors: Floats) -> Following:
        return cls(-1, factors, factors, 0)

    def at(self, last_open_time_ms: int) -> Floats | None:
        """For a forecast from this candle; None for one further back than what is kept."""
        if last_open_time_ms > self.moment_ms:
            return self.after
        return self.before if last_open_time_ms == self.moment_ms else None

    def moved(
        self,
        forecast: Floats,
        realised: Floats,
        target_ms: Ints,
        horizons: tuple[int, ...],
        quantiles: tuple[float, ...],
        gamma: float = GAMMA,
    ) -> Following:
        """By outcomes (n, h), NaN where there is none, at candles (n, h), of forecasts (n, h, q) as they were given.

        Each is to come once. One that comes after later ones (a backfill) counts too, from then on.
        """
        state, alpha = self, 1.0 - np.array(band_levels(quantiles))
        rates = gamma / np.array(horizons, dtype=np.float64)
        missed = outside(forecast, realised, quantiles)
        known = np.isfinite(realised)
        for moment in np.unique(target_ms[known]).tolist():
            rows, columns = np.nonzero(known & (target_ms == moment))
            steps = np.zeros_like(self.after)
            np.add.at(steps, columns, missed[rows, columns] - alpha)
            factors = bounded(state.after * np.exp(rates[:, None] * steps))
            before = state.after if moment > state.moment_ms else state.before
            state = Following(max(moment, state.moment_ms), before, factors, state.outcomes + len(rows))
        return state

    def to_bytes(self) -> tuple[bytes, bytes]:
        """`before` and `after`, little-endian float64."""
        return self.before.astype("<f8").tobytes(), self.after.astype("<f8").tobytes()


def beginning(report: object, horizons: tuple[int, ...], quantiles: tuple[float, ...]) -> Calibration | None:
    """Where a model starts: the split conformal factors of its training's report, or the bands as they are.

    None for quantiles that are not symmetric around a median: there are no bands to stretch.
    """
    try:
        neutral = Calibration.neutral(horizons, quantiles)
    except InvalidInput:
        return None
    given = report.get("calibration") if isinstance(report, dict) else None
    if not isinstance(given, dict):
        return neutral
    try:
        found = Calibration.from_dict(given)
    except InvalidInput:
        return neutral
    fits = (found.horizons, found.quantiles) == (neutral.horizons, neutral.quantiles)
    return replace(found, factors=bounded(found.factors)) if fits else neutral
