"""Steps: plain numbers of replayed rows as whole ticks, lots and quote units and back, so that they can be refined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.simulated_exchange.candle_series import HIGH, LOW, QUOTE, TAKER, TAKER_QUOTE, TRADES, VOLUME, Values
from data.simulated_exchange.refinement import Integers

_LARGEST = 2**52
"""Whole numbers below it are exact as floats, which the proportions are computed in."""


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


def steps_of(values: Values) -> Steps:
    """Steps in which these rows (9, n) are whole: their own decimals of price, the finest possible of volumes."""
    return Steps(10.0 ** decimals(values[:VOLUME]), _finest(values[VOLUME]), _finest(values[QUOTE]))


def to_steps(values: Values, steps: Steps) -> Integers:
    """Rows (9, n) in whole steps; never fewer lots than trades, and where something was traded, a trade."""
    scaled = np.asarray(values, dtype=np.float64).copy()
    scaled[:VOLUME] *= steps.per_price
    scaled[[VOLUME, TAKER]] *= steps.per_volume
    scaled[[QUOTE, TAKER_QUOTE]] *= steps.per_quote
    whole = np.rint(scaled).astype(np.int64)
    whole[TRADES] = np.maximum(whole[TRADES], (whole[VOLUME] > 0) | (whole[HIGH] > whole[LOW]))
    whole[VOLUME] = np.maximum(whole[VOLUME], whole[TRADES])
    return whole


def from_steps(whole: Integers, steps: Steps) -> NDArray[np.float64]:
    """Back to plain numbers; dividing by a whole number of steps gives the float nearest to the decimal."""
    plain = whole.astype(np.float64)
    plain[:VOLUME] /= steps.per_price
    plain[[VOLUME, TAKER]] /= steps.per_volume
    plain[[QUOTE, TAKER_QUOTE]] /= steps.per_quote
    return plain


def decimals(values: Values) -> int:
    """How many decimals (0 to 8) it takes to write all of these numbers."""
    for count in range(8):
        scaled = np.asarray(values, dtype=np.float64) * 10.0**count
        if bool((np.abs(scaled - np.rint(scaled)) < 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-7)).all()):
            return count
    return 8


def _finest(column: Values) -> float:
    largest = float(np.max(column, initial=0.0))
    return next((10.0**power for power in range(8, 0, -1) if largest * 10.0**power < _LARGEST), 1.0)
