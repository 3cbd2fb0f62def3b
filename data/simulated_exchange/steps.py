"""Steps: plain numbers of replayed rows as whole ticks, lots and quote units and back, so that they can be refined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulated_exchange.candle_series import HIGH, QUOTE, TAKER, TAKER_QUOTE, TRADES, VOLUME, Values
from data.simulated_exchange.refinement import Integers

_LARGEST = 2**52
"""Whole numbers below it are exact as floats, which the proportions are computed in."""
_TYPICAL_TRADES = 600


@dataclass(frozen=True, slots=True)
class Steps:
    """How many steps make one unit of the asset."""

    per_price: float
    per_volume: float
    per_quote: float

    @property
    def quote_factor(self) -> float:
        """Quote steps that one lot costs per tick."""
        return self.per_quote / (self.per_price * self.per_volume)


def steps_of(values: Values, tick_e8: int) -> Steps:
    """The finest steps (to 1e-8) in which the largest of these rows still is exact."""
    return Steps(1e8 / tick_e8, _finest(values[VOLUME]), _finest(values[QUOTE]))


def to_steps(values: Values, steps: Steps) -> Integers:
    """Rows (9, n) in whole steps; where trades were not recorded, as many as such a row would have."""
    plain = np.nan_to_num(np.asarray(values, dtype=np.float64))
    whole = np.empty(plain.shape, dtype=np.int64)
    whole[:VOLUME] = np.rint(plain[:VOLUME] * steps.per_price)
    whole[VOLUME] = np.rint(plain[VOLUME] * steps.per_volume)
    whole[TAKER] = np.rint(plain[TAKER] * steps.per_volume)
    mean = plain[:VOLUME].mean(axis=0)
    quote = np.where(plain[QUOTE] > 0, plain[QUOTE], plain[VOLUME] * mean)
    whole[QUOTE] = np.rint(quote * steps.per_quote)
    whole[TAKER_QUOTE] = np.rint(plain[TAKER_QUOTE] * steps.per_quote)
    moved = (whole[VOLUME] > 0) | (plain[HIGH] > plain[HIGH + 1])
    counted = np.where(plain[TRADES] > 0, plain[TRADES], np.where(moved, _TYPICAL_TRADES, 0))
    whole[TRADES] = counted
    whole[VOLUME] = np.maximum(whole[VOLUME], whole[TRADES])
    return whole


def from_steps(whole: Integers, steps: Steps) -> NDArray[np.float64]:
    """Back to plain numbers; dividing by a whole number of steps gives the float nearest to the decimal."""
    plain = whole.astype(np.float64)
    plain[:VOLUME] /= steps.per_price
    plain[[VOLUME, TAKER]] /= steps.per_volume
    plain[[QUOTE, TAKER_QUOTE]] /= steps.per_quote
    return plain


def _finest(column: Values) -> float:
    largest = float(np.nanmax(column, initial=0.0))
    return float(next((10.0**power for power in range(8, 0, -1) if largest * 10.0**power < _LARGEST), 1.0))
